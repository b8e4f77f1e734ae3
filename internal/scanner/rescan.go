package scanner

import (
	"context"
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
			if err := rescanBlock(ctx, c, source, st, p, watch, b, &done); err != nil {
				return done, err
			}
			done.Blocks++
		}
	}
	return done, nil
}

func rescanBlock(
	ctx context.Context, c config.Chain, source Source, st *store.Store, p *payments.Service, watch *watchSet,
	b chain.Block, done *Rescanned,
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
	step := payments.Step{ChainID: c.ChainID}
	for _, claim := range extra {
		if watched, err := watchedThen(ctx, st, claim.To, b.Time); err != nil {
			return err
		} else if !watched {
			continue
		}
		answers := source.Ask(ctx, b.Ref(), claim)
		yes, no := chain.Weigh(answers)
		switch need := min(source.Providers(), 2); {
		case yes >= need && yes > no:
			step.Late = append(step.Late, lateBlock(b.Header, claim))
		case no >= need && no > yes: // a transaction that failed
		default:
			step.Doubts = append(step.Doubts, payments.Doubt{
				Observed: payments.Observed{Block: b.Header, Transfer: claim.Transfer}, Kind: models.DoubtHidden,
				Answers: providerAnswers(answers),
			})
		}
	}
	if len(step.Late)+len(step.Doubts) == 0 {
		return ctx.Err()
	}
	done.Credited += len(step.Late)
	done.Doubts += len(step.Doubts)
	return st.InTx(ctx, func(tx *store.Tx) error {
		cursor, err := tx.Cursor(ctx, c.ChainID)
		if err != nil {
			return err
		}
		if b.Number > cursor.Number {
			return fmt.Errorf("scanner: block %d is not recorded yet", b.Number)
		}
		step.Head, step.Final = cursor.HeadNumber, cursor.FinalNumber
		_, err = p.Observe(ctx, tx, step)
		return err
	})
}
