package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	loadBatch   = 256
	loadTimeout = 5 * time.Second
	loaders     = 2
	// linger is how long a batch waits for company while attempts come faster than that anyway.
	linger = time.Millisecond
)

// loader reads deliveries for many attempts in one statement. A lone attempt waits for nobody; under load each statement
// serves those who came during the one before and a moment longer, because a statement costs about the same whatever
// it reads.
type loader struct {
	store *store.Store
	in    chan loadRequest

	gathering sync.Mutex // one gathers while the others read
	last      time.Time  // when the last batch was complete
}

type loadRequest struct {
	id   string
	done chan loaded
}

type loaded struct {
	row *store.Waiting // nil when there is none
	err error
}

func newLoader(s *store.Store) *loader {
	return &loader{store: s, in: make(chan loadRequest, loadBatch)}
}

// load reads one delivery, together with others. It returns nil for one that does not exist.
func (l *loader) load(ctx context.Context, id string) (*store.Waiting, error) {
	done := make(chan loaded, 1)
	select {
	case l.in <- loadRequest{id, done}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case got := <-done:
		return got.row, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run serves until stop is closed.
func (l *loader) run(stop <-chan struct{}) {
	batch := make([]loadRequest, 0, loadBatch)
	for {
		batch = l.gather(batch[:0], stop)
		if len(batch) == 0 {
			return
		}
		l.serve(batch)
	}
}

// gather returns the next batch, or none when stop is closed.
func (l *loader) gather(batch []loadRequest, stop <-chan struct{}) []loadRequest {
	l.gathering.Lock()
	defer l.gathering.Unlock()
	select {
	case <-stop:
		return batch
	case first := <-l.in:
		batch = append(batch, first)
	}
	busy := time.Since(l.last) < 2*linger
	var enough <-chan time.Time
	if busy {
		timer := time.NewTimer(linger)
		defer timer.Stop()
		enough = timer.C
	}
	defer func() { l.last = time.Now() }()
	for len(batch) < loadBatch {
		if !busy {
			select {
			case r := <-l.in:
				batch = append(batch, r)
				continue
			default:
				return batch
			}
		}
		select {
		case r := <-l.in:
			batch = append(batch, r)
		case <-enough:
			return batch
		}
	}
	return batch
}

func (l *loader) serve(batch []loadRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	ids := make([]string, len(batch))
	for i, r := range batch {
		ids[i] = r.id
	}
	rows, err := l.store.LoadWaiting(ctx, ids)
	for _, r := range batch {
		r.done <- loaded{rows[r.id], err}
	}
}
