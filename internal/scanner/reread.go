package scanner

import (
	"context"
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
func (s *Scanner) retainKnown(ctx context.Context, cursor *models.ChainCursor) error {
	was, now := chain.ParseKnown(cursor.Known), s.source.Known()
	cursor.Known = now.String()
	if !now.WrongBloom || was.WrongBloom || cursor.Number == 0 {
		return nil
	}
	first, err := FirstSince(ctx, s.source, cursor.Number, cursor.BlockTime.Add(-rereadTime))
	if err != nil {
		return err
	}
	cursor.RereadNext, cursor.RereadTo = max(first, 1), cursor.Number
	return nil
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
		if err := s.rereadWindow(ctx, fence, cursor.BlockTime, next, to); err != nil {
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

func (s *Scanner) rereadWindow(ctx context.Context, fence int64, recorded time.Time, from, to uint64) error {
	blocks, err := s.source.Blocks(ctx, from, to)
	if err != nil {
		return err
	}
	if err := s.watch.refresh(ctx, s.store, recorded); err != nil {
		return err
	}
	hold := func(tx *store.Tx) error { return tx.HoldFence(ctx, s.chain.ChainID, s.holder, fence) }
	var done Rescanned
	for _, b := range blocks {
		err := rescanBlock(ctx, s.chain, s.source, s.store, s.payments, s.watch, hold, b, &done)
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

// FirstSince is the first block of a chain, up to a number, that is no older than a time. The record is of no help: it
// lets go of old blocks.
func FirstSince(ctx context.Context, source Source, upTo uint64, at time.Time) (uint64, error) {
	low, high := uint64(0), upTo
	for low < high {
		middle := low + (high-low)/2
		h, err := source.Header(ctx, middle)
		if err != nil {
			return 0, err
		}
		if h.Time.Before(at) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
