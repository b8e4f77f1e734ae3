package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	// rateSpan is how much of an endpoint's rate a worker leases at a time; all workers share the rate through leases, and
	// one that dies takes no more than this with it.
	rateSpan = 200 * time.Millisecond
	// rateHorizon bounds how far ahead a task that is turned away is told to come again.
	rateHorizon = maxWait
	maxRates    = 10_000
)

// rates keeps the requests to each endpoint that has a rate limit below it, over all workers: a worker that has used up
// what it leased leases the next span from the database.
type rates struct {
	store  *store.Store
	mu     sync.Mutex
	leased map[string]*lease
}

// lease is a span of an endpoint's requests that this worker may make.
type lease struct {
	mu    sync.Mutex
	begin time.Time
	end   time.Time
	left  int
	next  time.Time // the first time that was not given out yet
}

func newRates(s *store.Store) *rates {
	return &rates{store: s, leased: make(map[string]*lease)}
}

// take takes one request of those that an endpoint may get each second. It returns the zero time, or when to come
// again. Those that come again are in no order with those that come new; the rate holds for all of them together.
func (r *rates) take(ctx context.Context, endpointID string, perSecond int, now time.Time) (time.Time, error) {
	l := r.of(endpointID, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || now.Sub(l.end) > rateSpan { // used up, or from a time without requests
		n := max(1, int(rateSpan.Seconds()*float64(perSecond)))
		span := time.Duration(n) * time.Second / time.Duration(perSecond)
		begin, err := r.store.LeaseRate(ctx, endpointID, span, now)
		if err != nil {
			return time.Time{}, err
		}
		l.begin, l.end, l.left = begin, begin.Add(span), n
	}
	if !l.begin.After(now) {
		l.left--
		return time.Time{}, nil
	}
	if l.next.Before(l.begin) {
		l.next = l.begin
	}
	at := l.next
	l.next = l.next.Add(time.Second / time.Duration(perSecond))
	if latest := now.Add(rateHorizon); l.next.After(latest) {
		l.next = latest
	}
	return at, nil
}

func (r *rates) of(endpointID string, now time.Time) *lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.leased[endpointID]
	if l == nil {
		if len(r.leased) >= maxRates {
			for id, old := range r.leased {
				if old.mu.TryLock() { // one that is in use stays
					if now.Sub(old.end) > rateSpan {
						delete(r.leased, id)
					}
					old.mu.Unlock()
				}
			}
		}
		l = &lease{}
		r.leased[endpointID] = l
	}
	return l
}
