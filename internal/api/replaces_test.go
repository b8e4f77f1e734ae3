package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestReplacesOverREST: a payment takes an order over from another one, once for each Idempotency-Key; whoever asks for
// an order that is taken, or cancels twice, is told by whom and why.
func TestReplacesOverREST(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchantID, key := c.merchant(t, "a", false)
		ask := func(key, rest string, headers ...string) (int, Payment, Problem) {
			w := c.ask(key, "POST", "/api/v1/payments", `{"asset":"native","amount":"1",`+rest+`}`, headers...)
			if w.Code == http.StatusCreated {
				return w.Code, decoded[Payment](t, w, w.Code), Problem{}
			}
			return w.Code, Payment{}, decoded[Problem](t, w, w.Code)
		}
		_, a, _ := ask(key, `"chain":"ethereum","order_id":"A-17"`)
		if !a.OrderCurrent || a.Replaces != nil || a.Doubts == nil {
			t.Fatalf("%+v", a)
		}
		if code, _, p := ask(key, `"chain":"ethereum","order_id":"A-17"`); code != http.StatusConflict ||
			p.Code != CodeOrderIDTaken || p.PaymentID != a.ID {
			t.Fatalf("%d %+v", code, p)
		}
		replace := fmt.Sprintf(`"chain":"ethereum","replaces":%q`, a.ID)
		_, b, p := ask(key, replace, "Idempotency-Key", "k1")
		if b.Replaces == nil || *b.Replaces != a.ID || b.OrderID == nil || *b.OrderID != "A-17" {
			t.Fatalf("%+v, %+v", b, p)
		}
		if code, again, _ := ask(key, replace, "Idempotency-Key", "k1"); code != http.StatusCreated || again.ID != b.ID {
			t.Errorf("the same key made %s, want %s (%d)", again.ID, b.ID, code)
		}
		if code, _, p := ask(key, replace, "Idempotency-Key", "k2"); code != http.StatusConflict || p.PaymentID != b.ID {
			t.Errorf("another key: %d %+v", code, p)
		}
		got := decoded[Payment](t, c.ask(key, "GET", "/api/v1/payments/"+a.ID, ""), http.StatusOK)
		if got.OrderCurrent || got.ReplacedBy == nil || *got.ReplacedBy != b.ID || got.Status != "pending" {
			t.Errorf("the replaced payment is %+v", got)
		}

		_, stranger := c.merchant(t, "b", false)
		for name, q := range map[string]struct{ key, body string }{
			"another merchant": {stranger, replace},
			"a test key":       {c.key(t, merchantID, true), fmt.Sprintf(`"chain":"sepolia","replaces":%q`, b.ID)},
			"the other mode":   {key, fmt.Sprintf(`"chain":"sepolia","replaces":%q`, b.ID)},
		} {
			if code, _, p := ask(q.key, q.body); code != http.StatusUnprocessableEntity || len(p.Errors) != 1 ||
				p.Errors[0].Field != "replaces" || p.Errors[0].Example == "" {
				t.Errorf("%s: %d %+v", name, code, p)
			}
		}
		if code, _, p := ask(key, `"chain":"ethereum","replaces":"A-17"`); code != http.StatusBadRequest ||
			p.Errors[0].Field != "replaces" {
			t.Errorf("an order id: %d %+v", code, p)
		}

		decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments/"+a.ID+"/cancel", ""), http.StatusOK)
		if p := decoded[Problem](t, c.ask(key, "POST", "/api/v1/payments/"+a.ID+"/cancel", ""),
			http.StatusConflict); p.Code != CodePaymentNotCancelable || !strings.Contains(p.Detail, "canceled already") {
			t.Errorf("%+v", p)
		}
	})
}
