package delivery

import (
	"context"
	"sync"
	"time"
)

// batchingQueue turns what many goroutines hand in into batches for a few that write or read them, because a statement
// costs about the same however many rows it is for. A single item is not delayed; while items come fast, a batch waits
// a moment to grow.
type batchingQueue[T any] struct {
	in   chan T
	max  int
	wait func() time.Duration

	filling sync.Mutex // one fills a batch while the others work
	last    time.Time  // when the last batch was complete
}

func newBatchingQueue[T any](limit int, wait func() time.Duration) *batchingQueue[T] {
	return &batchingQueue[T]{in: make(chan T, limit), max: limit, wait: wait}
}

// put hands one item in.
func (b *batchingQueue[T]) put(ctx context.Context, v T) error {
	select {
	case b.in <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the next batch, or none once stop is closed and nothing is left.
func (b *batchingQueue[T]) next(stop <-chan struct{}) []T {
	b.filling.Lock()
	defer b.filling.Unlock()
	var batch []T
	select {
	case v := <-b.in:
		batch = append(batch, v)
	default:
		select {
		case v := <-b.in:
			batch = append(batch, v)
		case <-stop:
			return nil
		}
	}
	defer func() { b.last = time.Now() }()
	var enough <-chan time.Time
	if wait := b.wait(); wait > 0 && time.Since(b.last) < 2*wait {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		enough = timer.C
	}
	for len(batch) < b.max {
		select {
		case v := <-b.in:
			batch = append(batch, v)
			continue
		default:
		}
		if enough == nil {
			break
		}
		select {
		case v := <-b.in:
			batch = append(batch, v)
			continue
		case <-enough:
		case <-stop:
		}
		break
	}
	return batch
}
