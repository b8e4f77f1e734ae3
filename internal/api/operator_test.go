package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestIncidentSwitch turns it for everybody, a merchant and an endpoint, and back, each twice; every turn is one audit
// line.
func TestIncidentSwitch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		endpoint := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
			`{"url":"https://shop.example/hooks"}`), http.StatusCreated).ID
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
			len(p.WebhookEndpoints) != 1 || p.WebhookEndpoints[0].MerchantID != merchant ||
			p.WebhookEndpoints[0].Reason != "a secret leaked" {
			t.Errorf("%+v", p)
		}
		if problem := decoded[Problem](t, c.ask(key, "POST", "/api/v1/webhook_endpoints/"+endpoint+"/enable", ""),
			http.StatusConflict); problem.Code != CodeEndpointPaused {
			t.Errorf("%+v", problem)
		}
		for what, w := range map[string]*httptest.ResponseRecorder{
			"deleted": c.ask(key, "DELETE", "/api/v1/webhook_endpoints/"+endpoint, ""),
			"another": c.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"http://SHOP.example./other"}`),
			"moved":   c.ask(key, "PATCH", "/api/v1/webhook_endpoints/"+endpoint, `{"url":"https://elsewhere.example/"}`),
		} {
			if problem := decoded[Problem](t, w, http.StatusConflict); problem.Code != CodeEndpointPaused {
				t.Errorf("%s while paused: %+v", what, problem)
			}
		}
		if d := decoded[DeliveryDetail](t, c.ask(key, "POST", "/api/v1/webhook_endpoints/"+endpoint+"/test", ""),
			http.StatusOK); d.State != "held" {
			t.Errorf("a test while paused is %s", d.State)
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
		if err != nil || after-before != 7 { // with the test
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
	if got := len(decoded[MerchantList](t, c.ask(operatorToken, "GET", "/admin/v1/merchants", ""),
		http.StatusOK).Data); got != 1 {
		t.Errorf("%d merchants", got)
	}
	for _, token := range []string{"", key, operatorToken + " x", operatorToken[:len(operatorToken)-1],
		strings.ToUpper(operatorToken), " "} {
		if w := c.ask(token, "GET", "/admin/v1/merchants", ""); w.Code != http.StatusUnauthorized ||
			w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d", token, w.Code)
		}
	}
	if p := decoded[Problem](t, c.ask(operatorReadToken, "POST", "/admin/v1/pause", `{"reason":"x"}`),
		http.StatusForbidden); p.Code != CodeInsufficientScope {
		t.Errorf("%+v", p)
	}
	open := newCounter(t, storetest.SQLite(t), func(o *Options) { o.OperatorToken, o.OperatorReadToken = "", "" })
	if w := open.ask("", "GET", "/admin/v1/merchants", "", "Authorization", "Bearer "); w.Code != http.StatusUnauthorized {
		t.Errorf("a token that is not set opens something: %d", w.Code)
	}
	for _, target := range []string{"/admin/v1/merchants/mer_unknown", "/admin/v1/merchants/x"} {
		if w := c.ask(operatorToken, "GET", target, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	for _, target := range []string{"/admin/v1/merchants/mer_unknown/pause",
		"/admin/v1/webhook_endpoints/we_unknown/pause"} {
		if w := c.ask(operatorToken, "POST", target, `{"reason":"x"}`); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
		if p := decoded[Problem](t, c.ask(operatorToken, "POST", target, `{}`),
			http.StatusBadRequest); p.Errors[0].Field != "reason" {
			t.Errorf("%+v", p)
		}
	}
}

// TestOperatorsRepeatRequests: a POST of the operator's is done once for one Idempotency-Key, also ten at once, and
// says so.
func TestOperatorsRepeatRequests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		path := "/admin/v1/merchants/" + merchant
		answers := make([]*httptest.ResponseRecorder, 10)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				answers[i] = c.ask(operatorToken, "POST", path+"/pause", `{"reason":"x"}`, "Idempotency-Key", "k")
			})
		}
		wg.Wait()
		replayed := 0
		for _, w := range answers {
			if p := decoded[Pauses](t, w, http.StatusOK); len(p.Merchants) != 1 || w.Body.String() != answers[0].Body.String() {
				t.Errorf("%s", w.Body)
			}
			if w.Header().Get("Idempotency-Replayed") == "true" {
				replayed++
			}
		}
		if replayed != len(answers)-1 {
			t.Errorf("%d of %d answers are replays", replayed, len(answers))
		}
		if p := decoded[Pauses](t, c.ask(operatorToken, "POST", path+"/resume", "", "Idempotency-Key", "k"),
			http.StatusOK); len(p.Merchants) != 0 {
			t.Errorf("the same key on another path: %+v", p)
		}
		c.ask(operatorToken, "POST", path+"/pause", `{"reason":"x"}`, "Idempotency-Key", "k")
		if p := decoded[Pauses](t, c.ask(operatorReadToken, "GET", "/admin/v1/pauses", ""),
			http.StatusOK); len(p.Merchants) != 0 {
			t.Errorf("a repeated request paused again: %+v", p)
		}
		if p := decoded[Problem](t, c.ask(operatorToken, "POST", path+"/pause", `{"reason":"y"}`, "Idempotency-Key", "k"),
			http.StatusConflict); p.Code != CodeIdempotencyKeyReused {
			t.Errorf("%+v", p)
		}
		if w := c.ask(key, "POST", path+"/pause", `{"reason":"x"}`, "Idempotency-Key",
			"k"); w.Code != http.StatusUnauthorized {
			t.Errorf("a merchant is answered what the operator was: %d", w.Code)
		}
	})
}

// TestLimitsOfAMerchant: what the operator sets holds at once for requests, endpoints, keys and open payments, and null
// takes it back.
func TestLimitsOfAMerchant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		_, other := c.merchant(t, "b", false)
		path := "/admin/v1/merchants/" + merchant
		limited := c.ask(operatorToken, "PATCH", path,
			`{"name":"Tea","accept_late":true,"limits":{"requests_per_second":2,"webhook_endpoints":1,"api_keys":2,"open_payments":2}}`)
		m := decoded[OperatedMerchant](t, limited, http.StatusOK)
		if m.Name != "Tea" || !m.AcceptLate || *m.Limits.RequestsPerSecond != 2 || *m.Limits.WebhookEndpoints != 1 ||
			*m.Limits.APIKeys != 2 || *m.Limits.OpenPayments != 2 {
			t.Fatalf("%s", limited.Body)
		}
		decoded[OperatedMerchant](t, c.ask(operatorToken, "PATCH", path, `{"limits":{"requests_per_second":null}}`),
			http.StatusOK)
		if v := decoded[Merchant](t, c.ask(key, "GET", "/api/v1/merchant", ""),
			http.StatusOK); v.Limits != (Limits{RequestsPerSecond: 1000, WebhookEndpoints: 1, APIKeys: 2, OpenPayments: 2}) ||
			!v.AcceptLate {
			t.Errorf("%+v", v)
		}
		for _, q := range []struct{ path, body string }{
			{"webhook_endpoints", `{"url":"https://shop.example/%d"}`}, {"api_keys", `{"name":"%d","scopes":["payments:read"]}`}, {"payments", `{"chain":"ethereum","asset":"native","amount":"%d"}`},
		} {
			made := 0
			for i := range 4 {
				w := c.ask(key, "POST", "/api/v1/"+q.path, fmt.Sprintf(q.body, i+1))
				if w.Code == http.StatusCreated {
					made++
				} else if p := decoded[Problem](t, w, http.StatusConflict); p.Code != CodeLimitReached {
					t.Errorf("%s: %+v", q.path, p)
				}
			}
			// it had a key before
			if want := map[string]int{"webhook_endpoints": 1, "api_keys": 1, "payments": 2}[q.path]; made != want {
				t.Errorf("%d %s were made, want %d", made, q.path, want)
			}
			if w := c.ask(other, "POST", "/api/v1/"+q.path, fmt.Sprintf(q.body, 1)); w.Code != http.StatusCreated {
				t.Errorf("another merchant: %d", w.Code)
			}
		}
		decoded[OperatedMerchant](t, c.ask(operatorToken, "PATCH", path, `{"limits":{"requests_per_second":1}}`),
			http.StatusOK)
		for i, want := range []int{200, 429} {
			if w := c.ask(key, "GET", "/api/v1/merchant", ""); w.Code != want || w.Header().Get("RateLimit-Limit") != "1" ||
				(w.Header().Get("Retry-After") != "") != (want == 429) {
				t.Errorf("request %d of one a second: %d %v", i+1, w.Code, w.Header())
			}
		}
		lines, err := s.AuditAbout(t.Context(), []string{merchant})
		changed := slices.DeleteFunc(lines, func(l models.AuditEntry) bool { return l.Action != "merchant.changed" })
		if err != nil || len(changed) != 3 || changed[0].Detail["open_payments"] != "2" ||
			changed[1].Detail["requests_per_second"] != "default" || len(changed[1].Detail) != 1 {
			t.Errorf("%+v, %v", changed, err)
		}
		for _, q := range []struct {
			token, path, body string
			status            int
		}{
			{operatorReadToken, path, `{"name":"x"}`, 403}, {key, path, `{"name":"x"}`, 401}, {operatorToken, "/admin/v1/merchants/mer_x", `{"name":"x"}`, 404},
			{operatorToken, path, `{}`, 400}, {operatorToken, path, `{"limits":{"api_keys":0}}`, 400}, {operatorToken, path, `{"limits":{"rate":5}}`, 400}, {operatorToken, path, `{"name":" "}`, 422},
		} {
			if w := c.ask(q.token, "PATCH", q.path, q.body); w.Code != q.status {
				t.Errorf("%s: %d %s", q.body, w.Code, w.Body)
			}
		}
	})
}
