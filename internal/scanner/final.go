package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// maxWitnessed is how many blocks become final in one step where a second provider reads each of them.
	maxWitnessed = 500
	// doubtEvery is how often the providers are asked again about open doubts.
	doubtEvery = time.Minute
	// doubtsCounted is how often open doubts are counted.
	doubtsCounted = 5 * time.Second
)

// recordFinal records what moves without a new block: a final point, a balance, a doubt that the providers settle by
// themselves.
func (s *Scanner) recordFinal(ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor) error {
	if err := s.askDoubts(ctx, fence); err != nil {
		return err
	}
	if s.found() || s.coins.due() {
		return s.record(ctx, fence, head, cursor, nil)
	}
	s.lookForFinal(ctx, cursor)
	return nil
}

// finality is how far the final point of the record can be moved. Depth is counted from the newest block that is
// recorded, not from the head that a provider claims, so that one who overstates it makes nothing final. It moves on
// only to a block that a second provider, where there is one, has too, and over blocks of which it tells the same
// transfers; until then payments are detected and wait.
func (s *Scanner) finality(ctx context.Context, step *payments.Step, cursor models.ChainCursor) uint64 {
	from := cursor.FinalNumber
	final, err := s.source.Final(ctx, cursor.Number)
	if err != nil { // blocks are recorded all the same: what is paid in them is detected, and waits
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "chain.final_unknown", "error", err)
		}
		return from
	}
	if final <= from {
		return from
	}
	// Of blocks below the record nothing can be told. The final point is 0 after an operator accepted a reorg.
	if first, err := s.store.FirstRecorded(ctx, s.chain.ChainID); err == nil && from+1 < first {
		from = min(final, first-1)
	}
	if s.source.Providers() > 1 {
		final = min(final, from+maxWitnessed)
	}
	block, err := s.store.BlockAt(ctx, s.chain.ChainID, final)
	switch {
	case errors.Is(err, models.ErrNotFound): // older than what we began with
		return final
	case err != nil:
		s.tellUnsearched(ctx, from, err)
		return from
	}
	at, err := ref(block.Number, block.Hash)
	if err != nil {
		s.tellUnsearched(ctx, from, err)
		return from
	}
	if s.source.Providers() < 2 {
		if err := s.source.Agree(ctx, at); err != nil {
			s.log.WarnContext(ctx, "chain.final_unconfirmed", "block", final, "error", err)
			return from
		}
	} else if final, err = s.witness(ctx, step, from+1, final); err != nil { // every block's hash is held against ours
		s.tellUnsearched(ctx, from, err)
	}
	if final, err = s.prove(ctx, step, from+1, final); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "chain.content_unproven", "from", from+1, "error", err)
	}
	return max(from, final)
}

func (s *Scanner) tellUnsearched(ctx context.Context, from uint64, err error) {
	if ctx.Err() == nil {
		s.log.WarnContext(ctx, "chain.content_unconfirmed", "from", from+1, "error", err)
	}
}

// finalLag is the time between the newest recorded block and the newest final one.
func (s *Scanner) finalLag(ctx context.Context, cursor models.ChainCursor) time.Duration {
	b, err := s.store.BlockAt(ctx, s.chain.ChainID, cursor.FinalNumber)
	if err != nil {
		return 0
	}
	return max(cursor.BlockTime.Sub(b.Time), 0)
}

// witness has the blocks of a range read by a second provider and holds its transfers against ours. It returns the last
// block up to which that could be done. What differs is put to every provider: two that say the same decide, and
// otherwise the transfer is doubted, which holds up nothing but itself.
func (s *Scanner) witness(ctx context.Context, step *payments.Step, from, to uint64) (uint64, error) {
	done := from - 1
	recorded, err := s.recordedTransfers(ctx, from, to)
	if err != nil {
		return done, err
	}
	for done < to {
		run, err := s.sameProvider(ctx, done+1, to)
		if err != nil {
			return done, err
		}
		if len(run) == 0 { // older than what we began with
			return to, nil
		}
		first, last := run[0].Number, run[len(run)-1].Number
		told, err := s.source.Testify(ctx, first, last, run[0].Provider)
		if err != nil {
			return done, err
		}
		for i, b := range told {
			if b.Hash.Hex() != run[i].Hash {
				s.metrics.Disagreement(s.chain.Name)
				return done, fmt.Errorf("scanner: block %d is %s at %s, and %s at %s",
					b.Number, b.Hash, b.Provider, run[i].Hash, run[i].Provider)
			}
			if err := s.compare(ctx, step, b, recorded[b.Number]); err != nil {
				return done, err
			}
			done = b.Number
		}
	}
	return done, nil
}

// sameProvider is the first run of recorded blocks of a range that one provider gave, at most maxWindow of them.
func (s *Scanner) sameProvider(ctx context.Context, from, to uint64) (run []models.Block, err error) {
	rows, err := s.store.BlocksBetween(ctx, s.chain.ChainID, from, to, maxWindow)
	if err != nil {
		return nil, err
	}
	for _, b := range rows {
		if len(run) > 0 && (b.Provider != run[0].Provider || b.Number != run[len(run)-1].Number+1) ||
			len(run) == maxWindow {
			break
		}
		run = append(run, b)
	}
	return run, nil
}

// recordedTransfers are the transfers that are recorded in a range of blocks, by block.
func (s *Scanner) recordedTransfers(ctx context.Context, from, to uint64) (map[uint64][]chain.Transfer, error) {
	rows, err := s.store.TransfersIn(ctx, s.chain.ChainID, from, to)
	if err != nil {
		return nil, err
	}
	byBlock := make(map[uint64][]chain.Transfer)
	for _, row := range rows {
		t, err := payments.TransferOf(row)
		if err != nil {
			return nil, err
		}
		byBlock[row.BlockNumber] = append(byBlock[row.BlockNumber], t)
	}
	return byBlock, nil
}

// compare holds what a second provider tells of a block against what is recorded of it.
func (s *Scanner) compare(ctx context.Context, step *payments.Step, told chain.Block, ours []chain.Transfer) error {
	paid := make(map[chain.Address]bool, len(ours))
	for _, t := range ours {
		paid[t.To] = true
	}
	theirs := chain.Match(told, func(a chain.Address) bool { return paid[a] || s.watch.contains(a) })
	missing, extra := chain.Difference(chain.Claims(ours), chain.Claims(theirs))
	for _, c := range missing {
		if c.Witness != "" {
			continue // a second provider told of it when its state was young enough to tell
		}
		s.judge(ctx, step, told.Header, c, true)
	}
	for _, c := range extra {
		if late, err := watchedThen(ctx, s.store, c.To, told.Time); err != nil {
			return err
		} else if late {
			s.judge(ctx, step, told.Header, c, false)
		}
	}
	return ctx.Err()
}

// witnessTraces asks for the word of a second provider about traced transfers as soon as they are found: a provider
// that does not trace can tell of them by balances, and only while the state of their blocks is young.
func (s *Scanner) witnessTraces(ctx context.Context, step *payments.Step) {
	if s.source.Providers() < 2 {
		return
	}
	for i := range step.Blocks {
		b := &step.Blocks[i]
		for j, c := range chain.Claims(b.Transfers) {
			if c.Source != chain.FromTrace {
				continue
			}
			answers := s.source.Ask(ctx, b.Ref(), c)
			if yes, no := chain.Weigh(answers); yes < 2 || no > 0 {
				continue // the second reading of the block looks at it again
			}
			for _, a := range answers {
				if a.Holds && a.Provider != b.Provider {
					b.Transfers[j].Witness = a.Provider
				}
			}
		}
	}
}

// watchedThen reports whether a payment watched an address when a block came.
func watchedThen(ctx context.Context, st *store.Store, a chain.Address, at time.Time) (bool, error) {
	ps, err := st.PaymentsAt(ctx, []string{a.Hex()})
	if err != nil || len(ps) == 0 {
		return false, err
	}
	return ps[0].WatchUntil == nil || !at.After(*ps[0].WatchUntil), nil
}

// judge asks every provider about a transfer on which two readings of its block differ, and adds the outcome to the
// step. recorded says that it is ours.
func (s *Scanner) judge(ctx context.Context, step *payments.Step, b chain.Header, c chain.Claim, recorded bool) {
	s.metrics.Disagreement(s.chain.Name)
	answers := s.source.Ask(ctx, b.Ref(), c)
	yes, no := chain.Weigh(answers)
	seen := payments.Observed{Block: b, Transfer: c.Transfer}
	switch {
	case yes >= 2 && yes > no:
		if !recorded {
			s.log.WarnContext(ctx, "transfer.found_late", "block", b.Number, "tx_hash", c.TxHash.Hex(), "answers", answers)
			step.Late = append(step.Late, lateBlock(b, c))
		}
	case no >= 2 && no > yes:
		if recorded {
			s.log.ErrorContext(ctx, "transfer.refuted", "block", b.Number, "tx_hash", c.TxHash.Hex(), "answers", answers)
			step.Refuted = append(step.Refuted, seen)
		}
	default:
		step.Doubts = append(step.Doubts, payments.Doubt{
			Observed: seen, Kind: doubtKind(recorded, yes, no), Answers: providerAnswers(answers),
		})
	}
}

// lateBlock holds a transfer that its block's first reading did not hold.
func lateBlock(b chain.Header, c chain.Claim) payments.Block {
	return payments.Block{Header: b, Transfers: []chain.Transfer{c.Transfer}, Rank: c.Rank}
}

func doubtKind(recorded bool, yes, no int) string {
	switch {
	case !recorded:
		return models.DoubtHidden
	case no == 0:
		return models.DoubtUnproven
	}
	return models.DoubtInvented
}

func providerAnswers(answers []chain.Answer) []models.ProviderAnswer {
	out := make([]models.ProviderAnswer, len(answers))
	for i, a := range answers {
		out[i] = models.ProviderAnswer(a)
	}
	return out
}

// askDoubts asks the providers again about open doubts, once in a while: evidence that was missing may be there now.
func (s *Scanner) askDoubts(ctx context.Context, fence int64) error {
	now := s.clock()
	if now.Sub(s.round.counted) < doubtsCounted {
		return nil
	}
	open, err := s.store.Doubts(ctx, s.chain.ChainID, models.DoubtOpen, 100)
	if err != nil {
		return err
	}
	s.metrics.OpenDoubts(s.chain.Name, len(open))
	if s.round.counted = now; now.Sub(s.round.doubts) < doubtEvery {
		return nil
	}
	s.round.doubts = now
	for _, d := range open {
		yes, no, err := s.askDoubt(ctx, d)
		if err != nil {
			return err
		}
		if max(yes, no) < 2 || yes == no || d.Kind == models.DoubtGross && yes > no {
			continue // that a log is there says nothing of what arrived
		}
		err = s.write(ctx, fence, func(tx *store.Tx) error {
			_, err := s.payments.SettleDoubt(ctx, tx, models.System, d.ID, yes > no, "the providers settled it themselves")
			return err
		})
		if err != nil && !errors.Is(err, payments.ErrSettled) {
			return err
		}
		s.log.WarnContext(ctx, "payment.doubt_settled", "doubt", d.ID, "payment_id", d.PaymentID, "accepted", yes > no)
	}
	return nil
}

func (s *Scanner) askDoubt(ctx context.Context, d models.Doubt) (yes, no int, err error) {
	at, err := ref(d.BlockNumber, d.BlockHash)
	if err != nil || d.Kind == models.DoubtBalance {
		return 0, 0, err
	}
	t, err := payments.TransferOf(models.Transfer{
		TxHash: d.TxHash, Asset: d.Asset, Recipient: d.Recipient, Ordinal: d.Ordinal, Sender: d.Sender, Amount: d.Amount,
		LogIndex: d.LogIndex, Source: d.Source,
	})
	if err != nil {
		return 0, 0, err
	}
	weigh := chain.Weigh
	if d.Kind == models.DoubtProof { // their words were not enough
		weigh = chain.WeighProven
	}
	yes, no = weigh(s.source.Ask(ctx, at, chain.Claim{Transfer: t, Sum: t.Value}))
	return yes, no, ctx.Err()
}
