package web_test

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestPortalMakesAndRevokesKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		b := h.signedIn(false, models.ScopeKeysWrite, models.ScopePaymentsRead)
		page := b.open("/portal/keys")
		page.want(t, "this session", "payments:read")
		page.lacks(t, `value="webhooks:write"`)
		for name, bad := range map[string][]string{
			"a wider scope": {"name", "x", "scopes", "webhooks:write"}, "no scope": {"name", "x"},
			"no name":    {"scopes", "payments:read"},
			"a past end": {"name", "x", "scopes", "payments:read", "expires_at", "2020-01-01T00:00"},
			"no time":    {"name", evil, "scopes", "payments:read", "expires_at", "whenever"},
		} {
			res, _ := b.press("/portal/keys", "/portal/keys", bad...)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(res.body, "for example") {
				t.Errorf("a key with %s: %d", name, res.StatusCode)
			}
			res.lacks(t, evil)
		}
		_, page = b.press("/portal/keys", "/portal/keys", "name", "till 4", "scopes", "payments:read", "test", "1",
			"expires_at", "2026-12-24T18:00")
		secret := page.secret()
		key, _, err := h.access.Authenticate(t.Context(), secret)
		h.must(err)
		if !key.Test || key.Name != "till 4" || !slices.Equal(key.Scopes, []models.Scope{models.ScopePaymentsRead}) ||
			!key.ExpiresAt.Equal(time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)) {
			t.Errorf("made %+v", key)
		}
		b.open("/portal/keys").lacks(t, secret)

		wider, _ := h.key(false)
		if res, _ := b.press("/portal/keys", "/portal/keys/"+wider.ID+"/revoke"); res.StatusCode != http.StatusForbidden {
			t.Errorf("revoked a wider key: %d", res.StatusCode)
		}
		_, page = b.press("/portal/keys", "/portal/keys/"+key.ID+"/revoke")
		page.want(t, "The key was revoked", "revoked")
		if _, _, err := h.access.Authenticate(t.Context(), secret); err == nil {
			t.Error("a revoked key lives")
		}

		tester := h.signedIn(true, models.ScopeKeysWrite)
		tester.open("/portal/keys").lacks(t, wider.ID)
		if res, _ := tester.press("/portal/keys", "/portal/keys/"+wider.ID+"/revoke"); res.StatusCode != http.StatusNotFound {
			t.Errorf("a test key revoked a live one: %d", res.StatusCode)
		}
		_, page = tester.press("/portal/keys", "/portal/keys", "name", "x", "scopes", "keys:write")
		if key, _, err := h.access.Authenticate(t.Context(), page.secret()); err != nil || !key.Test {
			t.Errorf("a test key made %+v, %v", key, err)
		}
		mine, mineSecret := h.key(false)
		own := &browser{h: h}
		own.post("/portal/sign-in", url.Values{"key": {mineSecret}})
		form := url.Values{"csrf": {own.open("/portal/keys").csrf()}}
		own.post("/portal/keys/"+mine.ID+"/revoke", form)
		if res := own.get("/portal/keys"); res.StatusCode != http.StatusSeeOther {
			t.Errorf("the session goes on without its key: %d", res.StatusCode)
		}
	})
}

// TestActivity: a session reads what its key did and what its scopes cover; a test key nothing of live keys. Nobody
// reads where an operator sits.
func TestActivity(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		h.InTx(func(tx *store.Tx) error {
			return tx.Audit(t.Context(), models.AuditEntry{At: noon, Actor: "operator:eve", IP: "198.51.100.77",
				Action: "endpoint.paused", Subject: "we_1", Merchant: h.merchant.ID, Detail: map[string]string{"reason": evil}})
		})
		owner := h.signedIn(false)
		owner.press("/portal/endpoints/new", "/portal/endpoints", "url", "https://shop.example/hooks", "events", "*")
		made, _ := owner.press("/portal/keys", "/portal/keys", "name", "x", "scopes", "payments:read")
		if made.StatusCode != http.StatusSeeOther {
			t.Fatal(made.body)
		}
		page := owner.open("/portal/activity")
		page.want(t, "endpoint.created", "key.created", "portal.signed_in", "your key", "192.0.2.1", "operator:eve", shown)
		page.lacks(t, "198.51.100.77", evil)

		reader := h.signedIn(false, models.ScopePaymentsRead).open("/portal/activity")
		reader.want(t, "portal.signed_in")
		reader.lacks(t, "endpoint.created", "key.created", "operator:eve")
		tester := h.signedIn(true).open("/portal/activity")
		tester.want(t, "portal.signed_in")
		tester.lacks(t, "endpoint.created", "key.created", "operator:eve")
		h.merchant = h.newMerchant("Other", "")
		other := h.signedIn(false)
		other.open("/portal/activity").lacks(t, "endpoint.created", "operator:eve")
		_, secret := h.key(false)
		for range pageSize {
			(&browser{h: h}).post("/portal/sign-in", url.Values{"key": {secret}})
		}
		first := other.open("/portal/activity")
		first.want(t, `rel="next"`)
		if res := other.get("/portal/activity?before=x"); res.StatusCode != http.StatusBadRequest {
			t.Errorf("before=x: %d", res.StatusCode)
		}
	})
}

const pageSize = 25

func TestPortalCancels(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := h.signedIn(false)
	p := h.payment(nil)
	path := "/portal/payments/" + p.ID
	b.open(path).want(t, "Cancel the payment")
	_, page := b.press(path, path+"/cancel")
	page.want(t, "The payment was canceled", "canceled", "payment.canceled")
	page.lacks(t, "Cancel the payment")
	if res, _ := b.press(path, path+"/cancel"); res.StatusCode != http.StatusConflict ||
		!strings.Contains(res.body, "canceled already") {
		t.Errorf("canceled twice: %d", res.StatusCode)
	}
	paid := h.payment(nil)
	h.move(paid, 12_500_000, models.TransferSeen, func(p *models.Payment) { p.Status = models.PaymentDetected })
	path = "/portal/payments/" + paid.ID
	page = b.open(path)
	page.want(t, "Timeline", "12.5 USDC arrived", hash(0xabc))
	page.lacks(t, "Cancel the payment")
	if res, _ := b.press(path, path+"/cancel"); res.StatusCode != http.StatusConflict {
		t.Errorf("canceled what has money: %d", res.StatusCode)
	}
	tester := h.signedIn(true)
	token := url.Values{"csrf": {tester.open("/portal/payments").csrf()}}
	if res := tester.post(path+"/cancel", token); res.StatusCode != http.StatusNotFound {
		t.Errorf("a test key cancels a live payment: %d", res.StatusCode)
	}
}

// TestPaymentsAsCSV: all rows that match, cells that no spreadsheet takes for a formula, and a line of the audit log.
func TestPaymentsAsCSV(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		for _, id := range []string{"=1+1", "two", "three"} {
			h.clock.Advance(12 * time.Hour)
			h.InTx(func(tx *store.Tx) error { return h.head(tx, 1, 100) })
			h.payment(orderID(id))
		}
		b := h.signedIn(false)
		rows := func(query string) [][]string {
			t.Helper()
			all, err := csv.NewReader(strings.NewReader(b.open("/portal/payments.csv" + query).body)).ReadAll()
			h.must(err)
			return all
		}
		all := rows("")
		if len(all) != 4 || !slices.Equal(all[0], payments.Columns) || all[3][1] != "'=1+1" {
			t.Errorf("%q", all)
		}
		for query, want := range map[string]int{"?status=confirmed": 0, "?order_id=two": 1, "?chain=sepolia": 0,
			"?from=2026-11-24": 3, "?until=2026-11-23": 0, "?until=2026-11-24": 2, "?from=2026-11-24&until=2026-11-24": 2} {
			if got := len(rows(query)) - 1; got != want {
				t.Errorf("%s: %d rows, want %d", query, got, want)
			}
		}
		for _, query := range []string{"?from=soon", "?status=x", "?until=2026-13-01"} {
			if res := b.get("/portal/payments.csv" + query); res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %d", query, res.StatusCode)
			}
		}
		if did := h.did(); did[len(did)-1].Action != "payments.exported" {
			t.Errorf("the audit log has %v", did)
		}
		b.open("/portal/payments?chain=ethereum&cursor=").want(t, `href="/portal/payments.csv?chain=ethereum"`)
		tester := h.signedIn(true)
		if body := tester.open("/portal/payments.csv").body; strings.Count(body, "\n") != 1 {
			t.Errorf("a test key exports %s", body)
		}
	})
}
