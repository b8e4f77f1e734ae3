package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestVerdictsAskSeldom: two hundred tests that wait ask the database no more often than one, each more seldom the
// longer it waits, and nobody asks when nobody waits.
func TestVerdictsAskSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tests = 200
		var mu sync.Mutex
		questions, asked, answered := 0, 0, map[string]bool{}
		v := &verdicts{attempted: func(_ context.Context, ids []string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			questions++
			asked += len(ids)
			var found []string
			for _, id := range ids {
				if answered[id] {
					found = append(found, id)
				}
			}
			return found, nil
		}}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var waiters sync.WaitGroup
		for i := range tests {
			waiters.Go(func() { v.wait(ctx, fmt.Sprint("dlv_", i)) })
		}
		time.Sleep(time.Second)
		mu.Lock()
		answered["dlv_0"] = true
		mu.Unlock()
		waiters.Wait()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("those without an answer waited for %v", took)
		}
		if most := int(10 * time.Second / firstLook); questions > most || asked > 25*tests {
			t.Errorf("%d questions for %d deliveries in all, at most %d questions", questions, asked, most)
		}
		before := questions
		time.Sleep(time.Minute)
		if questions != before {
			t.Errorf("%d questions that nobody waits for", questions-before)
		}
		started := time.Now()
		v.wait(t.Context(), "dlv_0")
		if took := time.Since(started); took > 2*firstLook {
			t.Errorf("an answer that is there is told after %v", took)
		}
		time.Sleep(2 * firstLook) // whoever asks sees that nobody waits
	})
}

// TestFewTestsWait: beyond a few tests that wait, an endpoint's next one is refused, and sends nothing; so is a
// merchant's. Another merchant's is not.
func TestFewTestsWait(t *testing.T) {
	s := storetest.Postgres(t)
	c := newCounter(t, s, func(o *Options) { o.WebhookTimeout = 12 * time.Second })
	mine, key := c.merchant(t, "a", false)
	_, other := c.merchant(t, "b", false)
	endpoint := func(key string) string {
		return decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
			`{"url":"https://shop.example/hooks"}`), http.StatusCreated).ID
	}
	sent := func() int {
		ds := decoded[struct{ Data []Delivery }](t, c.ask(key, "GET", "/api/v1/deliveries?limit=100", ""), http.StatusOK)
		return len(ds.Data)
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for i := range testsOfMerchant/testsOfEndpoint + 1 {
		id := endpoint(key)
		n := min(testsOfEndpoint, testsOfMerchant-i*testsOfEndpoint)
		for range n {
			waiting.Go(func() {
				d := decoded[DeliveryDetail](t, c.ask(key, "POST", "/api/v1/webhook_endpoints/"+id+"/test", ""), http.StatusOK)
				if d.State != "pending" {
					t.Errorf("nobody sent it, and it is %s", d.State)
				}
			})
		}
		testkit.Eventually(t, 20*time.Second, "the tests wait", func() bool { return sent() == i*testsOfEndpoint+n })
		w := c.ask(key, "POST", "/api/v1/webhook_endpoints/"+id+"/test", "")
		if p := decoded[Problem](t, w, http.StatusTooManyRequests); p.Code != CodeRateLimited ||
			w.Header().Get("Retry-After") != "2" {
			t.Fatalf("%+v, Retry-After %q", p, w.Header().Get("Retry-After"))
		}
	}
	if got := sent(); got != testsOfMerchant {
		t.Errorf("%d events, and %d tests of %s", got, testsOfMerchant, mine)
	}
	if w := c.ask(other, "POST", "/api/v1/webhook_endpoints/"+endpoint(other)+"/test", ""); w.Code != http.StatusOK {
		t.Errorf("another merchant's test: %d %s", w.Code, w.Body)
	}
}

// TestFewExports: a merchant reads a few exports at once; the next is refused, and another merchant's is not.
func TestFewExports(t *testing.T) {
	h := &handlers{store: storetest.SQLite(t), now: testNow}
	asked := func(merchant string) (export, error) {
		x := requestContext{merchant: models.Merchant{ID: merchant}}
		return h.newExport(context.WithValue(t.Context(), requestContextKey{}, x), "payments", nil, nil, nil)
	}
	var under []export
	for range payments.ExportsOfMerchant {
		e, err := asked("mer_1")
		if err != nil {
			t.Fatal(err)
		}
		under = append(under, e)
	}
	var p *Problem
	if _, err := asked("mer_1"); !errors.As(err, &p) || p.Code != CodeRateLimited {
		t.Fatalf("one export too many: %v", err)
	}
	if _, err := asked("mer_2"); err != nil {
		t.Fatalf("another merchant: %v", err)
	}
	under[0].leave()
	if _, err := asked("mer_1"); err != nil {
		t.Fatalf("after one was over: %v", err)
	}
}
