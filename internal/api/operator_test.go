package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestIncidentSwitch turns it for everybody, a merchant and an endpoint, and back, each twice; every turn is one audit line.
func TestIncidentSwitch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		endpoint := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/hooks"}`), http.StatusCreated).ID
		before, err := s.VerifyAudit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		why := `{"reason":"a secret leaked"}`
		for _, what := range []string{"", "/merchants/" + merchant, "/webhook_endpoints/" + endpoint} {
			for range 2 {
				decoded[Pauses](t, c.ask(operatorToken, "POST", "/admin/v1"+what+"/pause", why), http.StatusOK)
			}
		}
		p := decoded[Pauses](t, c.ask(operatorReadToken, "GET", "/admin/v1/pauses", ""), http.StatusOK)
		if p.All == nil || p.All.Reason != "a secret leaked" || len(p.Merchants) != 1 || p.Merchants[0].ID != merchant ||
			len(p.WebhookEndpoints) != 1 || p.WebhookEndpoints[0].MerchantID != merchant || p.WebhookEndpoints[0].Reason != "a secret leaked" {
			t.Errorf("%+v", p)
		}
		if problem := decoded[Problem](t, c.ask(key, "POST", "/api/v1/webhook_endpoints/"+endpoint+"/enable", ""), http.StatusConflict); problem.Code != CodeEndpointPaused {
			t.Errorf("%+v", problem)
		}
		m := decoded[OperatedMerchant](t, c.ask(operatorReadToken, "GET", "/admin/v1/merchants/"+merchant, ""), http.StatusOK)
		if m.DeliveriesPausedAt == nil || m.PausedAt != nil {
			t.Errorf("%+v", m)
		}
		for _, what := range []string{"", "/merchants/" + merchant, "/webhook_endpoints/" + endpoint} {
			for range 2 {
				p = decoded[Pauses](t, c.ask(operatorToken, "POST", "/admin/v1"+what+"/resume", ""), http.StatusOK)
			}
		}
		if p.All != nil || len(p.Merchants)+len(p.WebhookEndpoints) != 0 {
			t.Errorf("%+v", p)
		}
		after, err := s.VerifyAudit(t.Context())
		if err != nil || after-before != 6 {
			t.Errorf("%d audit lines, %v", after-before, err)
		}
		page := decoded[AuditPage](t, c.ask(operatorReadToken, "GET", "/admin/v1/audit?limit=2", ""), http.StatusOK)
		if len(page.Data) != 2 || page.Data[0].Seq != 1 || page.NextFrom == nil || *page.NextFrom != 3 {
			t.Errorf("%+v", page)
		}
	})
}

// TestOperatorRoles: a token that may look changes nothing, and no merchant's key opens anything, however close it is.
func TestOperatorRoles(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	if got := len(decoded[MerchantList](t, c.ask(operatorToken, "GET", "/admin/v1/merchants", ""), http.StatusOK).Data); got != 1 {
		t.Errorf("%d merchants", got)
	}
	for _, token := range []string{"", key, operatorToken + " x", operatorToken[:len(operatorToken)-1], strings.ToUpper(operatorToken), " "} {
		if w := c.ask(token, "GET", "/admin/v1/merchants", ""); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d", token, w.Code)
		}
	}
	if p := decoded[Problem](t, c.ask(operatorReadToken, "POST", "/admin/v1/pause", `{"reason":"x"}`), http.StatusForbidden); p.Code != CodeInsufficientScope {
		t.Errorf("%+v", p)
	}
	if (operators{}).scopes("") != nil {
		t.Error("a token that is not set opens something")
	}
	for _, target := range []string{"/admin/v1/merchants/mer_unknown", "/admin/v1/merchants/x"} {
		if w := c.ask(operatorToken, "GET", target, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	for _, target := range []string{"/admin/v1/merchants/mer_unknown/pause", "/admin/v1/webhook_endpoints/we_unknown/pause"} {
		if w := c.ask(operatorToken, "POST", target, `{"reason":"x"}`); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
		if p := decoded[Problem](t, c.ask(operatorToken, "POST", target, `{}`), http.StatusBadRequest); p.Errors[0].Field != "reason" {
			t.Errorf("%+v", p)
		}
	}
}
