package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// makers is how many payments are made at the same time.
const makers = 16

// load makes payments over REST and cancels each, so that every payment has two events. Whatever fails is asked for
// again with the same idempotency key until the API has answered for it.
type load struct {
	h      *harness
	events int
	orders chan int
	made   atomic.Int64
	next   int
	all    sync.WaitGroup

	mu     sync.Mutex
	wanted []Arrival
}

func newLoad(h *harness, events int) *load {
	orders := make(chan int, events)
	l := &load{h: h, events: events, orders: orders}
	for range makers {
		l.all.Go(func() {
			for i := range orders {
				l.make(i)
				l.made.Add(1)
			}
		})
	}
	h.t.Cleanup(l.Close)
	return l
}

// Order asks for n more payments, as far as the events of the run reach.
func (l *load) Order(n int) {
	for range n {
		if 2*l.next >= l.events {
			return
		}
		l.orders <- l.next
		l.next++
	}
}

// Behind is how many ordered payments are not made yet.
func (l *load) Behind() int { return l.next - int(l.made.Load()) }

// Close ends the makers when they have made what was ordered, or the run has ended.
func (l *load) Close() {
	if l.orders != nil {
		close(l.orders)
		l.orders = nil
	}
	l.all.Wait()
}

func (l *load) make(i int) {
	m := l.h.merchants[i%len(l.h.merchants)]
	var p struct {
		ID string `json:"id"`
	}
	body := map[string]any{"chain": l.h.Chain, "asset": "native", "amount": "1000", "order_id": fmt.Sprint(i)}
	if !l.insist(m.Key, "/api/v1/payments", fmt.Sprintf("create-%d", i), body, &p, http.StatusCreated) {
		return
	}
	events := 1
	if 2*i+1 < l.events {
		if !l.insist(m.Key, "/api/v1/payments/"+p.ID+"/cancel", fmt.Sprintf("cancel-%d", i), nil, nil, http.StatusOK) {
			return
		}
		events = 2
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range events {
		for _, e := range m.endpoints {
			l.wanted = append(l.wanted, Arrival{p.ID, n + 1, e})
		}
	}
}

// insist asks until the answer is the one that is wanted, and reports false when the run ended first.
func (l *load) insist(key, path, idempotency string, in, out any, want int) bool {
	for l.h.t.Context().Err() == nil {
		status := l.h.Call(key, http.MethodPost, path, idempotency, in, out)
		if status == want {
			return true
		}
		if status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests {
			l.h.t.Errorf("%s was answered with %d", path, status)
			return false
		}
		pause(l.h.t.Context(), 100*time.Millisecond)
	}
	return false
}

// Wanted is what the API has answered for.
func (l *load) Wanted() []Arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Arrival(nil), l.wanted...)
}
