package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	loadBatch   = 256
	loadTimeout = 5 * time.Second
	loaders     = 2
)

// loader reads deliveries for many attempts in one statement. A loader never waits for company: it takes whoever is
// there when the one before has been served, so that batches grow with the load and a lone attempt waits for nobody.
type loader struct {
	store *store.Store
	in    chan loadRequest
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
		select {
		case <-stop:
			return
		case first := <-l.in:
			batch = append(batch[:0], first)
		}
	gather:
		for len(batch) < loadBatch {
			select {
			case r := <-l.in:
				batch = append(batch, r)
			default:
				break gather
			}
		}
		l.serve(batch)
	}
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
