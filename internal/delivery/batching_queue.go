package delivery

import (
	"context"
	"sync"
	"time"
)

// gatherer turns what many goroutines hand in into batches for a few that write or read them, because a statement costs
// about the same however many rows it is for. A lone one waits for nobody; while they come fast, a batch waits a moment
// for company.
type gatherer[T any] struct {
	in   chan T
	most int
	wait func() time.Duration

	gathering sync.Mutex // one gathers while the others work
	last      time.Time  // when the last batch was complete
}

func newGatherer[T any](most int, wait func() time.Duration) *gatherer[T] {
	return &gatherer[T]{in: make(chan T, most), most: most, wait: wait}
}

// put hands one in.
func (b *gatherer[T]) put(ctx context.Context, v T) error {
	select {
	case b.in <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the next batch, or none once stop is closed and nothing is left.
func (b *gatherer[T]) next(stop <-chan struct{}) []T {
	b.gathering.Lock()
	defer b.gathering.Unlock()
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
	for len(batch) < b.most {
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
