package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/web"
)

// TestSessionsEndOnOurSide: whoever kept a copy of a cookie has nothing any more once its session was signed out, or
// its key revoked. Other sessions go on.
func TestSessionsEndOnOurSide(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		key, secret := h.key(false)
		signIn := func() *browser {
			b := &browser{h: h}
			if res := b.post("/portal/sign-in", url.Values{"key": {secret}}); res.StatusCode != http.StatusSeeOther {
				t.Fatalf("sign in: %d", res.StatusCode)
			}
			return b
		}
		open := func(b *browser) bool { return b.get("/portal/payments").StatusCode == http.StatusOK }
		first, second := signIn(), signIn()
		copied := &browser{h: h, cookie: first.cookie}
		if !open(first) || !open(second) || !open(copied) {
			t.Fatal("a session does not open")
		}
		form := url.Values{"csrf": {first.open("/portal/payments").csrf()}}
		if res := first.post("/portal/sign-out", form); res.StatusCode != http.StatusSeeOther || first.cookie != nil {
			t.Fatalf("sign out: %d", res.StatusCode)
		}
		if open(copied) || copied.post("/portal/sign-out", form).Header.Get("Location") != "/portal" {
			t.Error("a copy of the cookie outlives signing out")
		}
		if !open(second) {
			t.Error("signing out ended another session")
		}
		h.InTx(func(tx *store.Tx) error {
			return h.access.RevokeKey(t.Context(), tx, operator, access.Revocation{ID: key.ID})
		})
		if open(second) {
			t.Error("a session outlives its key")
		}
		lines, err := s.AuditLog(t.Context(), 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		var did []string
		for _, line := range lines {
			if strings.HasPrefix(line.Action, "portal.") {
				did = append(did, line.Action)
			}
		}
		if got := strings.Join(did, " "); got != "portal.signed_in portal.signed_in portal.signed_out" {
			t.Errorf("the audit log has %s", got)
		}
		h.clock.Set(noon.Add(9 * time.Hour)) // what is over is taken away when somebody signs in
		_, secret = h.key(false)
		third := signIn()
		if !open(third) {
			t.Error("nobody can sign in any more")
		}
	})
}

// TestWrongSignInsAreCounted: in the metric that the alert is on, and in the log with the address they came from.
func TestWrongSignInsAreCounted(t *testing.T) {
	metrics := telemetry.NewMetrics()
	h := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.Metrics = metrics })
	b := &browser{h: h}
	for range 3 {
		b.post("/portal/sign-in", url.Values{"key": {"ck_live_wrong"}})
	}
	h.signedIn(false)
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\nctrip_portal_sign_in_failures_total 3\n") {
		t.Error("three wrong sign-ins are not counted")
	}
	if got := strings.Count(h.logged.String(), "portal.sign_in_refused remote=192.0.2.1"); got != 3 ||
		strings.Contains(h.logged.String(), "ck_live_wrong") {
		t.Errorf("the log has %d wrong sign-ins: %s", got, h.logged)
	}
}
