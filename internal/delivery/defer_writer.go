package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	deferBatch   = 500
	deferWait    = 5 * time.Millisecond
	deferWriters = 1
)

// deferWriter takes deliveries out of Redis, many at a time: the row is told when it is due again, and its task is
// acked.
type deferWriter struct {
	store *store.Store
	queue *batchingQueue[deferral]
	now   func() time.Time
}

type deferral struct {
	store.Deferral
	done chan error
}

func newDeferWriter(s *store.Store, now func() time.Time) *deferWriter {
	return &deferWriter{store: s, queue: newBatchingQueue[deferral](deferBatch, func() time.Duration { return deferWait }),
		now: now}
}

// write returns when it is in the record.
func (p *deferWriter) write(ctx context.Context, row store.Deferral) error {
	done := make(chan error, 1)
	if err := p.queue.put(ctx, deferral{row, done}); err != nil {
		return err
	}
	return <-done
}

// run writes until stop is closed and nothing is left.
func (p *deferWriter) run(stop <-chan struct{}) {
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
		err := p.store.Defer(ctx, rows, p.now(), outbox.Sweep)
		cancel()
		for _, b := range batch {
			b.done <- err
		}
	}
}
