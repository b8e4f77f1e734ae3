package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Rescanned says what a second look at recorded blocks came to.
type Rescanned struct {
	Blocks, Transfers, Credited, Doubts int
	Next                                uint64 // the block to go on from; 0 when the range was read whole
}

// Rescan reads blocks of a chain once more, up to the last recorded one, and records the transfers in them that are
// missing: those of a token that was listed later, or of a range that was read wrongly. With two providers or more each
// of them needs the word of two; otherwise it is doubted. A second run finds nothing new. It ends early when half of
// the time that ctx leaves is over.
func Rescan(
	ctx context.Context, c config.Chain, source Source, st *store.Store, p *payments.Service, from, to uint64,
) (done Rescanned, err error) {
	watch := newWatchSet()
	lock := func(tx *store.Tx) error { return tx.LockLease(ctx, c.ChainID) }
	half := halfway(ctx)
	for next := from; next <= to; next += maxWindow {
		if next > from && !half.IsZero() && time.Now().After(half) {
			done.Next = next
			return done, nil
		}
		blocks, err := source.Blocks(ctx, next, min(to, next+maxWindow-1))
		if err != nil {
			return done, err
		}
		if next == from {
			if err := watch.refresh(ctx, st, blocks[0].Time); err != nil {
				return done, err
			}
		}
		for _, b := range blocks {
			if err := rescanBlock(ctx, c, source, st, p, watch, lock, b, &done); err != nil {
				return done, err
			}
			done.Blocks++
		}
	}
	return done, nil
}

// rescanBlock records what one block holds and the record lacks. lock begins its transaction and keeps the record from
// being moved meanwhile.
func rescanBlock(
	ctx context.Context, c config.Chain, source Source, st *store.Store, p *payments.Service, watch *watchSet,
	lock func(*store.Tx) error, b chain.Block, done *Rescanned,
) error {
	rows, err := st.TransfersIn(ctx, c.ChainID, b.Number, b.Number)
	if err != nil {
		return err
	}
	var ours []chain.Transfer
	for _, row := range rows {
		if row.BlockHash != b.Hash.Hex() {
			return fmt.Errorf("scanner: block %d is %s now, and a transfer is recorded in %s", b.Number, b.Hash, row.BlockHash)
		}
		t, err := payments.TransferOf(row)
		if err != nil {
			return err
		}
		ours = append(ours, t)
	}
	theirs := chain.Match(b, watch.contains)
	done.Transfers += len(theirs)
	_, extra := chain.Difference(chain.Claims(ours), chain.Claims(theirs))
	step, err := missed(ctx, c, source, st, b.Header, extra)
	if err != nil {
		return err
	}
	if len(step.Late)+len(step.Doubts) == 0 {
		return ctx.Err()
	}
	err = st.InTx(ctx, func(tx *store.Tx) error {
		if err := lock(tx); err != nil {
			return err
		}
		cursor, err := stillRecorded(ctx, tx, c.ChainID, b.Header)
		if err != nil {
			return err
		}
		step.Head, step.Final = cursor.HeadNumber, cursor.FinalNumber
		_, err = p.Observe(ctx, tx, step)
		return err
	})
	if err == nil {
		done.Credited += len(step.Late)
		done.Doubts += len(step.Doubts)
	}
	return err
}

// missed is what comes of the transfers of a block that are not recorded.
func missed(
	ctx context.Context, c config.Chain, source Source, st *store.Store, b chain.Header, extra []chain.Claim,
) (payments.Step, error) {
	step := payments.Step{ChainID: c.ChainID}
	for _, claim := range extra {
		if watched, err := watchedThen(ctx, st, claim.To, b.Time); err != nil {
			return step, err
		} else if !watched {
			continue
		}
		answers := source.Ask(ctx, b.Ref(), claim)
		yes, no := chain.Weigh(answers)
		switch need := min(source.Providers(), 2); {
		case yes >= need && yes > no:
			step.Late = append(step.Late, lateBlock(b, claim))
		case no >= need && no > yes: // a transaction that failed
		default:
			step.Doubts = append(step.Doubts, payments.Doubt{
				Observed: payments.Observed{Block: b, Transfer: claim.Transfer}, Kind: models.DoubtHidden,
				Answers: providerAnswers(answers),
			})
		}
	}
	return step, nil
}

// stillRecorded reads how far a chain is recorded, and fails where it is not recorded up to a block, or has another one
// in its place. Of old blocks the record has let go; nothing replaces those.
func stillRecorded(ctx context.Context, tx *store.Tx, chainID uint64, b chain.Header) (models.ChainCursor, error) {
	cursor, err := tx.Cursor(ctx, chainID)
	if err != nil {
		return cursor, err
	}
	if b.Number > cursor.Number {
		return cursor, fmt.Errorf("scanner: block %d is not recorded yet", b.Number)
	}
	recorded, err := tx.BlockAt(ctx, chainID, b.Number)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return cursor, nil
	case err != nil:
		return cursor, err
	case recorded.Hash != b.Hash.Hex():
		return cursor, fmt.Errorf("scanner: block %d is %s at the provider, and %s in the record", b.Number, b.Hash,
			recorded.Hash)
	}
	return cursor, nil
}
