package web_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestPortalChangesAreAudited: every route of the portal that changes something writes its line of the audit log; a
// route that the table does not have fails.
func TestPortalChangesAreAudited(t *testing.T) {
	s := storetest.SQLite(t)
	h := newHarness(t, s)
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	b := h.signedIn(false)
	form := url.Values{"csrf": {b.open("/portal/deliveries/" + d.ID).csrf()}}
	want := map[string]string{"POST /portal/sign-in": "portal.signed_in",
		"POST /portal/deliveries/{id}/redeliver": "delivery.redelivered", "POST /portal/sign-out": "portal.signed_out"}
	source, err := os.ReadFile("site.go")
	h.must(err)
	var routes []string
	changing := regexp.MustCompile(`"((?:POST|PUT|PATCH|DELETE) /[^"]+)"`)
	for _, m := range changing.FindAllStringSubmatch(string(source), -1) {
		routes = append(routes, m[1])
		if want[m[1]] == "" {
			t.Errorf("%s: say which line of the audit log it writes", m[1])
		}
	}
	if len(routes) != len(want) {
		t.Errorf("routes %v", routes)
	}
	for _, path := range []string{"/portal/deliveries/" + d.ID + "/redeliver", "/portal/sign-out"} {
		if res := b.post(path, form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d", path, res.StatusCode)
		}
	}
	lines, err := s.AuditLog(t.Context(), 1, 100)
	h.must(err)
	var did []string
	for _, l := range lines {
		if strings.HasPrefix(l.Actor, "key:") {
			did = append(did, l.Action)
		}
	}
	for route, action := range want {
		if !slices.Contains(did, action) {
			t.Errorf("%s wrote no line %s: %v", route, action, did)
		}
	}
}
