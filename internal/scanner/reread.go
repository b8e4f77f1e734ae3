package scanner

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// rereadTime is how much of a chain is read again once one of its bloom filters was found wrong, in block time.
	rereadTime = 24 * time.Hour
	// rereadAgain is how long a range that could not be read again waits.
	rereadAgain = time.Minute
)

// recall tells the source what was found out about the chain before this process led. Without it, it is found out anew.
func (s *Scanner) recall(ctx context.Context) {
	if cursor, err := s.store.Cursor(ctx, s.chain.ChainID); err == nil {
		s.source.Recall(chain.ParseKnown(cursor.Known))
	}
}

// retainKnown puts what was found out about the chain into its record. When a bloom filter was found wrong for the
// first time, the blocks of the last 24 hours are to be read again: their emptiness may have rested on such filters.
// Where those begin, the providers have to tell: while they do not, it holds up no block, and is asked again later.
func (s *Scanner) retainKnown(ctx context.Context, cursor *models.ChainCursor) error {
	was, now := chain.ParseKnown(cursor.Known), s.source.Known()
	if now.WrongBloom && !was.WrongBloom && cursor.Number > 0 {
		now.WrongBloom = s.toReread(ctx, cursor)
	}
	cursor.Known = now.String()
	return ctx.Err()
}

// toReread marks the last 24 hours to be read again, and reports whether it could.
func (s *Scanner) toReread(ctx context.Context, cursor *models.ChainCursor) bool {
	if s.clock().Sub(s.round.rereadFailed) < rereadAgain {
		return false
	}
	first, err := FirstSince(ctx, s.source, cursor.Number, cursor.BlockTime.Add(-rereadTime))
	if err != nil {
		s.log.WarnContext(ctx, "chain.reread_failed", "to", cursor.Number, "error", err)
		s.round.rereadFailed = s.clock()
		return false
	}
	cursor.RereadNext, cursor.RereadTo = max(first, 1), cursor.Number
	return true
}

// reread reads a window of the blocks that are to be read again and credits what is missing. What goes wrong is tried
// again later. It reports whether there is more.
func (s *Scanner) reread(ctx context.Context, fence int64) (more bool, err error) {
	cursor, err := s.store.Cursor(ctx, s.chain.ChainID)
	if err != nil || cursor.RereadNext == 0 || s.clock().Sub(s.round.rereadFailed) < rereadAgain {
		return false, err
	}
	next, last := cursor.RereadNext, min(cursor.RereadTo, cursor.Number)
	if next <= last {
		to := min(last, next+maxWindow-1)
		if err := s.rereadWindow(ctx, fence, next, to); err != nil {
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "chain.reread_failed", "from", next, "to", to, "error", err)
			}
			s.round.rereadFailed = s.clock()
			return false, ctx.Err()
		}
		next = to + 1
	}
	return next <= last, s.write(ctx, fence, func(tx *store.Tx) error {
		cursor, err := tx.Cursor(ctx, s.chain.ChainID)
		if err != nil {
			return err
		}
		if cursor.RereadNext = next; next > last {
			cursor.RereadNext, cursor.RereadTo = 0, 0
			s.log.InfoContext(ctx, "chain.reread", "to", last)
		}
		return tx.SaveCursor(ctx, cursor)
	})
}

func (s *Scanner) rereadWindow(ctx context.Context, fence int64, from, to uint64) error {
	blocks, err := s.source.Blocks(ctx, from, to)
	if err != nil {
		return err
	}
	watch := newWatchSet() // of that time: the window of whoever was paid then may have ended
	if err := watch.refresh(ctx, s.store, blocks[0].Time); err != nil {
		return err
	}
	hold := func(tx *store.Tx) error { return tx.HoldFence(ctx, s.chain.ChainID, s.holder, fence) }
	var done Rescanned
	for _, b := range blocks {
		err := rescanBlock(ctx, s.chain, s.source, s.store, s.payments, watch, hold, b, &done)
		if err != nil {
			return err
		}
	}
	if done.Credited+done.Doubts > 0 {
		s.log.WarnContext(ctx, "chain.reread_found", "from", from, "to", to, "credited", done.Credited,
			"doubts", done.Doubts)
	}
	return nil
}

// FirstSince is the first block of a chain, up to a number, that is no older than a time, or the first one that the
// providers still give. The record is of no help: it lets go of old blocks. It is looked for from the newest block
// down, because nodes may have let go of old ones too.
func FirstSince(ctx context.Context, source Source, upTo uint64, at time.Time) (uint64, error) {
	var missing error
	before := func(n uint64) bool {
		h, err := source.Header(ctx, n)
		if err != nil {
			missing = err
			return true
		}
		return h.Time.Before(at)
	}
	low, high := uint64(0), upTo
	for back := uint64(1); high > 0 && ctx.Err() == nil; back *= 2 {
		n := upTo - min(back, upTo)
		if before(n) {
			low = n + 1
			break
		}
		high = n
	}
	for low < high && ctx.Err() == nil {
		if middle := low + (high-low)/2; before(middle) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if ctx.Err() != nil || missing == nil {
		return low, ctx.Err()
	}
	// The blocks below are gone only if this one is still there and they are still not.
	if _, err := source.Header(ctx, low); err != nil {
		return 0, err
	}
	if low > 0 && !before(low-1) {
		return 0, fmt.Errorf("scanner: providers did not give blocks before %d, and now do: %w", low, missing)
	}
	return low, ctx.Err()
}
