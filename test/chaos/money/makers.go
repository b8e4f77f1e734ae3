package money

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// atOnce is how many payments are made at the same time.
const atOnce = 8

// makers make payments over REST. Whatever fails is asked for again with the same idempotency key until the API has
// answered for it.
type makers struct {
	w      *harness
	shop   gateway.Merchant
	orders chan int
	next   int
	made   atomic.Int64
	all    sync.WaitGroup

	mu     sync.Mutex
	ready  []*payment // made, and not paid yet
	unpaid []*payment // that nobody pays
}

func newMakers(w *harness, shop gateway.Merchant) *makers {
	orders := make(chan int, w.plan.Payments)
	m := &makers{w: w, shop: shop, orders: orders}
	for range atOnce {
		m.all.Go(func() {
			for i := range orders {
				m.make(i)
			}
		})
	}
	w.t.Cleanup(func() {
		close(orders)
		m.all.Wait()
	})
	return m
}

// Order asks for n more payments.
func (m *makers) Order(n int) {
	for range n {
		m.orders <- m.next
		m.next++
	}
}

// Made is how many are made, Behind how many are ordered and not made yet.
func (m *makers) Made() int   { return int(m.made.Load()) }
func (m *makers) Behind() int { return m.next - m.Made() }

// Ready hands out the payments that were made since it was last called.
func (m *makers) Ready() []*payment {
	m.mu.Lock()
	defer m.mu.Unlock()
	ready := m.ready
	m.ready = nil
	return ready
}

// Victim is a payment that nobody pays and about which a liar may lie.
func (m *makers) Victim() lie {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.unpaid) == 0 {
		return lie{victim: decoy, amount: 1}
	}
	p := m.unpaid[len(m.unpaid)-1]
	return lie{victim: p.address, amount: p.Amount}
}

func (m *makers) make(i int) {
	in := m.w.plan.Intents[i]
	asset := "native"
	if in.Way == Token || in.Way == TooLittle || in.Way == Nothing && i%2 == 0 {
		asset = "DEMO"
	}
	body := map[string]any{"chain": m.w.Chain, "asset": asset, "amount": fmt.Sprint(in.Amount), "order_id": fmt.Sprint(i),
		"expires_in": 604_800}
	var p struct{ ID, Address string }
	for m.w.t.Context().Err() == nil {
		status := m.w.Call(m.shop.Key, http.MethodPost, "/api/v1/payments", fmt.Sprintf("create-%d", i), body, &p)
		if status == http.StatusCreated {
			break
		}
		if status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests {
			m.w.t.Errorf("a payment was answered with %d", status)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	one := &payment{Intent: in, number: i, id: p.ID, address: p.Address}
	m.w.book.add(one)
	m.mu.Lock()
	defer m.mu.Unlock()
	if in.Way == Nothing {
		m.unpaid = append(m.unpaid, one)
	}
	m.ready = append(m.ready, one)
	m.made.Add(1)
}
