package scanner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
)

// proofWait is how long the final point waits for a provider that cannot be asked for a proof. What is not proven then
// is doubted.
const proofWait = 10 * time.Minute

// prove has the blocks of a range that pay somebody held against their hashes before they are final. It returns the
// last block up to which that could be done. A transfer that its proven block does not hold is taken off. One whose
// block no provider can prove, on a chain whose blocks can be proven, is doubted, and so is one that a proven block
// does not cover where one provider alone tells of it. Where the second provider of two cannot be asked, its own
// reading of the block was the witness.
func (s *Scanner) prove(ctx context.Context, step *payments.Step, from, to uint64) (uint64, error) {
	if s.chain.Proofs == "" || s.chain.Proofs == config.ProofsOff || from > to {
		return to, nil
	}
	claimed, headers, err := s.claimed(ctx, step, from, to)
	if err != nil {
		return from - 1, err
	}
	if len(claimed) == 0 {
		return to, nil
	}
	away := false
	for i, v := range s.source.Prove(ctx, claimed) {
		c := claimed[i]
		switch {
		case v.Proven:
			s.refute(ctx, step, headers[i], c, v)
			s.doubtUncovered(ctx, step, headers[i], c, v)
			continue
		case !v.Expected:
			continue
		case v.Unreachable && s.source.Providers() > 1:
			continue
		case v.Unreachable && s.mayWait():
			return c.Block.Number - 1, fmt.Errorf("scanner: no provider gives the content of block %d %s: %v",
				c.Block.Number, c.Block.Hash, v.Answers)
		}
		away = away || v.Unreachable
		for _, claim := range c.Claims {
			s.doubtProof(ctx, step, headers[i], claim, v.Answers)
		}
	}
	if !away {
		s.round.unasked = time.Time{}
	}
	return to, ctx.Err()
}

// mayWait reports whether a provider that cannot be asked may still hold up the final point.
func (s *Scanner) mayWait() bool {
	now := s.clock()
	if s.round.unasked.IsZero() {
		s.round.unasked = now
	}
	return now.Sub(s.round.unasked) < proofWait
}

// refute takes off what a proven block does not hold.
func (s *Scanner) refute(
	ctx context.Context, step *payments.Step, b chain.Header, c chain.Claimed, v chain.Verdict,
) {
	for i, claim := range c.Claims {
		if v.Findings[i] == chain.HoldsNot {
			s.log.ErrorContext(ctx, "transfer.refuted", "block", b.Number, "tx_hash", claim.TxHash.Hex(),
				"told_by", c.Provider, "proven_by", v.ProvenBy)
			step.Refuted = append(step.Refuted, payments.Observed{Block: b, Transfer: claim.Transfer})
		}
	}
}

// doubtUncovered doubts what a proven block cannot tell of, where nobody but the provider that told of it can.
func (s *Scanner) doubtUncovered(
	ctx context.Context, step *payments.Step, b chain.Header, c chain.Claimed, v chain.Verdict,
) {
	if s.source.Providers() > 1 { // another one has read the block
		return
	}
	for i, claim := range c.Claims {
		if v.Findings[i] == chain.CannotTell {
			s.doubtProof(ctx, step, b, claim, []chain.Answer{{
				Provider: v.ProvenBy, Known: true, Holds: true,
				Text: "the block is proven, and its roots do not cover the transfer: one provider alone tells of it",
			}})
		}
	}
}

func (s *Scanner) doubtProof(
	ctx context.Context, step *payments.Step, b chain.Header, claim chain.Claim, answers []chain.Answer,
) {
	s.log.ErrorContext(ctx, "transfer.unproven", "block", b.Number, "tx_hash", claim.TxHash.Hex(), "answers", answers)
	step.Doubts = append(step.Doubts, payments.Doubt{
		Observed: payments.Observed{Block: b, Transfer: claim.Transfer}, Kind: models.DoubtProof,
		Answers: providerAnswers(answers),
	})
}

// claimed are the blocks of a range in which a transfer is recorded, with those transfers that a block can
// prove, and their headers.
func (s *Scanner) claimed(
	ctx context.Context, step *payments.Step, from, to uint64,
) (claimed []chain.Claimed, headers []chain.Header, err error) {
	recorded, err := s.recordedTransfers(ctx, from, to)
	if err != nil {
		return nil, nil, err
	}
	for number := from; number <= to; number++ {
		transfers := slices.DeleteFunc(recorded[number], func(t chain.Transfer) bool {
			return t.Source == chain.FromBalance || t.Source == chain.FromTrace || judged(step, number, t)
		})
		if len(transfers) == 0 {
			continue
		}
		b, err := s.store.BlockAt(ctx, s.chain.ChainID, number)
		if err != nil {
			return nil, nil, err
		}
		at, err := ref(b.Number, b.Hash)
		if err != nil {
			return nil, nil, err
		}
		claimed = append(claimed, chain.Claimed{Block: at, Provider: b.Provider, Claims: chain.Claims(transfers)})
		headers = append(headers, chain.Header{Number: b.Number, Hash: at.Hash, Time: b.Time})
	}
	return claimed, headers, nil
}

// judged reports whether the step settles or doubts a transfer already.
func judged(step *payments.Step, number uint64, t chain.Transfer) bool {
	same := func(o payments.Observed) bool {
		return o.Block.Number == number && o.Transfer.Same(t) && o.Transfer.Ordinal == t.Ordinal
	}
	return slices.ContainsFunc(step.Refuted, same) ||
		slices.ContainsFunc(step.Doubts, func(d payments.Doubt) bool { return same(d.Observed) })
}
