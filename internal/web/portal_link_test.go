package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func (h *harness) link(granter *models.APIKey, test bool, scopes ...models.Scope) string {
	h.t.Helper()
	var link string
	h.InTx(func(tx *store.Tx) (err error) {
		_, link, err = h.access.CreateLink(h.t.Context(), tx, operator, access.LinkRequest{MerchantID: h.merchant.ID,
			Scopes: scopes, Test: test, Granter: granter})
		return err
	})
	return link
}

// TestLinksOpenThePortal: a link opens a session once, that may do what the link says and no more, of its mode, and
// ends with the key that made it, by signing out, and after its time.
func TestLinksOpenThePortal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		p := h.payment(nil)
		open := func(link string) (*browser, int) {
			b := &browser{h: h}
			if page := b.get(link); page.StatusCode != http.StatusOK { // looking does not spend it
				return b, page.StatusCode
			}
			return b, b.post(link, url.Values{}).StatusCode
		}
		opened := func(link string) *browser {
			t.Helper()
			b, code := open(link)
			if code != http.StatusSeeOther || b.cookie == nil {
				t.Fatalf("a link opens with %d", code)
			}
			return b
		}
		sees := func(b *browser, path string) int { return b.get(path).StatusCode }
		once := h.link(nil, false, models.ScopePaymentsRead)
		b := opened(once)
		if sees(b, "/portal/payments") != 200 || sees(b, "/portal/payments/"+p.ID) != 200 {
			t.Error("the session does not see payments")
		}
		if code := sees(b, "/portal/endpoints"); code != http.StatusForbidden {
			t.Errorf("a link for payments opens endpoints: %d", code)
		}
		if _, code := open(once); code != http.StatusNotFound {
			t.Errorf("a link opens twice: %d", code)
		}
		if code := b.post(once, url.Values{}).StatusCode; code != http.StatusNotFound {
			t.Errorf("a link opens twice, without a look: %d", code)
		}
		token := once[strings.LastIndex(once, "/")+1:]
		if log := h.logged.String(); !strings.Contains(log, "portal.link_refused") || strings.Contains(log, token) {
			t.Error("a refused link is not told of, or with its token")
		}
		if code := sees(opened(h.link(nil, true, models.ScopePaymentsRead)), "/portal/payments/"+p.ID); code != 404 {
			t.Errorf("a test link opens a live payment: %d", code)
		}
		key, _ := h.key(false)
		first, waiting := opened(h.link(&key, false, models.ScopePaymentsRead)), h.link(&key, false, models.ScopePaymentsRead)
		h.InTx(func(tx *store.Tx) error {
			return h.access.RevokeKey(t.Context(), tx, operator, access.Revocation{ID: key.ID})
		})
		if code := sees(first, "/portal/payments"); code != http.StatusSeeOther {
			t.Errorf("a session outlives the key that made its link: %d", code)
		}
		if _, code := open(waiting); code != http.StatusNotFound {
			t.Errorf("a link outlives the key that made it: %d", code)
		}
		copied := &browser{h: h, cookie: b.cookie}
		form := url.Values{"csrf": {b.open("/portal/payments").csrf()}}
		if b.post("/portal/sign-out", form); sees(copied, "/portal/payments") != http.StatusSeeOther {
			t.Error("a session outlives signing out")
		}
		late, left := h.link(nil, false, models.ScopePaymentsRead), opened(h.link(nil, false, models.ScopePaymentsRead))
		h.clock.Advance(access.DefaultLinkLife)
		if _, code := open(late); code != http.StatusNotFound {
			t.Errorf("a link outlives its time: %d", code)
		}
		h.clock.Advance(8 * time.Hour)
		if sees(left, "/portal/payments") != http.StatusSeeOther {
			t.Error("a session outlives its time")
		}
		lines, err := s.AuditLog(t.Context(), 1, 100)
		h.must(err)
		made, used := 0, 0
		for _, l := range lines {
			if l.Action == "portal.link_created" {
				made++
			}
			if l.Action == "portal.signed_in" && strings.HasPrefix(l.Actor, "portal_link:pln_") {
				used++
			}
		}
		if made != 6 || used != 4 {
			t.Errorf("%d links made and %d used, by the audit log", made, used)
		}
	})
}
