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

// batchLoader reads deliveries for many attempts in one statement.
type batchLoader struct {
	store *store.Store
	queue *batchingQueue[loadRequest]
}

type loadRequest struct {
	id   string
	done chan loaded
}

type loaded struct {
	row *store.Waiting // nil when there is none
	err error
}

func newBatchLoader(s *store.Store, wait func() time.Duration) *batchLoader {
	return &batchLoader{store: s, queue: newBatchingQueue[loadRequest](loadBatch, wait)}
}

// load reads one delivery, together with others. It returns nil for one that does not exist.
func (l *batchLoader) load(ctx context.Context, id string) (*store.Waiting, error) {
	done := make(chan loaded, 1)
	if err := l.queue.put(ctx, loadRequest{id, done}); err != nil {
		return nil, err
	}
	select {
	case got := <-done:
		return got.row, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run serves until stop is closed.
func (l *batchLoader) run(stop <-chan struct{}) {
	for {
		batch := l.queue.next(stop)
		if len(batch) == 0 {
			return
		}
		l.serve(batch)
	}
}

func (l *batchLoader) serve(batch []loadRequest) {
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
