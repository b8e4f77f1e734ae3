package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	postponeBatch = 500
	postponeWait  = 5 * time.Millisecond
	postponers    = 1
)

// postponer takes deliveries out of Redis, many at a time: the row is told when it is due again, and its task is acked.
type postponer struct {
	store *store.Store
	queue *gatherer[postponement]
	now   func() time.Time
}

type postponement struct {
	store.Deferral
	done chan error
}

func newPostponer(s *store.Store, now func() time.Time) *postponer {
	return &postponer{store: s, queue: newGatherer[postponement](postponeBatch, func() time.Duration { return postponeWait }), now: now}
}

// postpone returns when it is on record.
func (p *postponer) postpone(ctx context.Context, row store.Deferral) error {
	done := make(chan error, 1)
	if err := p.queue.put(ctx, postponement{row, done}); err != nil {
		return err
	}
	return <-done
}

// run writes until stop is closed and nothing is left.
func (p *postponer) run(stop <-chan struct{}) {
	for {
		batch := p.queue.next(stop)
		if len(batch) == 0 {
			return
		}
		rows := make([]store.Deferral, len(batch))
		for i, b := range batch {
			rows[i] = b.Deferral
		}
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		err := p.store.Defer(ctx, rows, p.now())
		cancel()
		for _, b := range batch {
			b.done <- err
		}
	}
}
