package scanner

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// maxWindow is how many blocks of a backlog are read, and recorded, together.
	maxWindow = 50
	// readers is how many windows are read at the same time.
	readers = 4
)

// ahead reads the windows of a backlog in parallel. They are taken in order; one that does not follow the record is
// dropped with all that come after it.
type ahead struct {
	windows []*window
	reading context.Context // of what is being read; it outlives a step
	stop    context.CancelFunc
}

type window struct {
	from, to uint64
	done     chan struct{}
	blocks   []chain.Block
	err      error
}

// next returns the blocks that follow a block, up to a head: one window of them. While there is a backlog, the windows
// after it are read meanwhile.
func (a *ahead) next(ctx context.Context, source Source, after, head uint64) ([]chain.Block, error) {
	if len(a.windows) > 0 && a.windows[0].from != after+1 {
		a.drop()
	}
	if head-after == 1 && len(a.windows) == 0 {
		b, err := source.Block(ctx, head)
		return []chain.Block{b}, err
	}
	if a.stop == nil {
		a.reading, a.stop = context.WithCancel(ctx)
	}
	a.fill(source, after, head)
	first := a.windows[0]
	select {
	case <-first.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if first.err != nil {
		a.drop()
		if first.from == first.to || ctx.Err() != nil {
			return nil, first.err
		}
		b, err := source.Block(ctx, after+1) // one block that cannot be read must not hold up those before it
		return []chain.Block{b}, err
	}
	a.windows = a.windows[1:]
	return first.blocks, nil
}

func (a *ahead) fill(source Source, after, head uint64) {
	from, reading := after+1, a.reading
	if n := len(a.windows); n > 0 {
		from = a.windows[n-1].to + 1
	}
	for len(a.windows) < readers && from <= head {
		w := &window{from: from, to: min(head, from+maxWindow-1), done: make(chan struct{})}
		go func() {
			defer close(w.done)
			w.blocks, w.err = source.Blocks(reading, w.from, w.to)
		}()
		a.windows = append(a.windows, w)
		from = w.to + 1
	}
}

// drop gives up what was read ahead, and waits for the readers.
func (a *ahead) drop() {
	if a.stop != nil {
		a.stop()
	}
	for _, w := range a.windows {
		<-w.done
	}
	a.windows, a.reading, a.stop = nil, nil, nil
}
