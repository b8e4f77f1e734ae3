package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestHundredAtOnce: a hundred requests at the same moment make a hundred payments with the addresses 0 to 99 and
// nothing left out, also when ten of them are refused in the transaction, and none waits for ever.
func TestHundredAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/hooks"}`),
			http.StatusCreated)
		decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"native","amount":"1","order_id":"taken"}`), http.StatusCreated)
		const made, refused = 100, 10
		answers := make([]*httptest.ResponseRecorder, made+refused)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range answers {
			body := fmt.Sprintf(`{"chain":"ethereum","asset":"%s","amount":"%d","order_id":"o-%d","metadata":{"n":"%d"}}`,
				[]string{"native", "USDC"}[i%2], i+1, i, i)
			if i >= made {
				body = `{"chain":"ethereum","asset":"native","amount":"1","order_id":"taken"}`
			}
			wg.Go(func() {
				<-start
				answers[i] = c.ask(key, "POST", "/api/v1/payments", body, "Idempotency-Key", strconv.Itoa(i))
			})
		}
		close(start)
		wg.Wait()
		var indexes []int
		addresses := make(map[string]bool)
		for i, w := range answers {
			if i >= made {
				if p := decoded[Problem](t, w, http.StatusConflict); p.Code != CodeOrderIDTaken {
					t.Errorf("%+v", p)
				}
				continue
			}
			p := decoded[Payment](t, w, http.StatusCreated)
			index, err := strconv.Atoi(p.DerivationPath[strings.LastIndexByte(p.DerivationPath, '/')+1:])
			if err != nil {
				t.Fatal(err)
			}
			indexes, addresses[p.Address] = append(indexes, index), true
		}
		slices.Sort(indexes)
		if len(addresses) != made || len(slices.Compact(indexes)) != made {
			t.Errorf("%d addresses, indexes %v", len(addresses), indexes)
		}
		// What a refused request had is given out again, so a hole is at most as wide as what was refused, and closes.
		for i := range refused {
			p := decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments",
				fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1","order_id":"after-%d"}`, i)), http.StatusCreated)
			index, err := strconv.Atoi(p.DerivationPath[strings.LastIndexByte(p.DerivationPath, '/')+1:])
			if err != nil {
				t.Fatal(err)
			}
			indexes = append(indexes, index)
		}
		slices.Sort(indexes)
		for i, index := range indexes {
			if index != i+1 { // 0 is the first payment's
				t.Fatalf("the sequence of indexes has a hole at %d: %v", i, indexes)
			}
		}
		list := decoded[DeliveryList](t, c.ask(key, "GET", "/api/v1/deliveries?limit=100&event_type=payment.created", ""),
			http.StatusOK)
		if len(list.Data) != 100 || list.NextCursor == nil {
			t.Errorf("%d deliveries on the first page", len(list.Data))
		}
		m := decoded[Merchant](t, c.ask(key, "GET", "/api/v1/merchant", ""), http.StatusOK)
		if m.AccountKey.NextIndex != made+refused+1 {
			t.Errorf("the next index is %d", m.AccountKey.NextIndex)
		}
	})
}
