package api

import (
	"context"
	"sync"
	"time"
)

const (
	// firstLook is how soon a test looks for its verdict, slowestLook how seldom it ends up looking: a test that waits
	// looks after a quarter of the time that it has waited.
	firstLook   = 50 * time.Millisecond
	slowestLook = time.Second
	lookTimeout = 5 * time.Second
)

// verdicts waits for the first attempts of deliveries. All that wait in this process share one question to the
// database, at most one in [firstLook], however many they are.
type verdicts struct {
	attempted func(ctx context.Context, ids []string) ([]string, error)

	mu      sync.Mutex
	waiting map[string]*verdictWaiter
	looking bool
}

type verdictWaiter struct {
	done       chan struct{} // closed when there was an attempt
	since, due time.Time
}

// wait returns when a delivery was attempted, or when ctx ends.
func (v *verdicts) wait(ctx context.Context, id string) {
	now := time.Now()
	w := &verdictWaiter{done: make(chan struct{}), since: now, due: now.Add(firstLook)}
	v.mu.Lock()
	if v.waiting == nil {
		v.waiting = make(map[string]*verdictWaiter)
	}
	v.waiting[id] = w
	if !v.looking {
		v.looking = true
		go v.look()
	}
	v.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.waiting, id)
}

// look asks for all that is due, until nobody waits.
func (v *verdicts) look() {
	for {
		time.Sleep(firstLook)
		ids, ok := v.due(time.Now())
		if !ok {
			return
		}
		if len(ids) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		attempted, err := v.attempted(ctx, ids)
		cancel()
		if err != nil { // asked again; who waits for too long is answered all the same
			continue
		}
		v.mu.Lock()
		for _, id := range attempted {
			if w := v.waiting[id]; w != nil {
				close(w.done)
				delete(v.waiting, id)
			}
		}
		v.mu.Unlock()
	}
}

// due returns the deliveries to ask for at now, and whether anybody waits at all.
func (v *verdicts) due(now time.Time) (ids []string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, w := range v.waiting {
		if !w.due.After(now) {
			ids = append(ids, id)
			w.due = now.Add(min(max(now.Sub(w.since)/4, firstLook), slowestLook))
		}
	}
	v.looking = len(v.waiting) > 0
	return ids, v.looking
}
