package scanner

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// pruneEvery spaces the deletes of blocks that are older than [keepBlocks].
const pruneEvery = 64

// record writes one step in one transaction.
func (s *Scanner) record(
	ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor, blocks []chain.Block,
) error {
	return s.recordOn(ctx, fence, head, cursor, nil, nil, blocks)
}

// recordOn writes one step in one transaction. With orphanFrom the recorded blocks from that number on go first; below
// is the block on which the others are put then, where none that is recorded is left.
func (s *Scanner) recordOn(
	ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor,
	orphanFrom *uint64, below []models.Block, blocks []chain.Block,
) (failed error) {
	start := s.clock()
	ctx, span := s.tracing.Start(ctx, "chain.record", slog.String("chain", s.chain.Name), slog.Int("blocks", len(blocks)),
		slog.Uint64("head", head.Number))
	defer func() { span.End(failed) }()
	// The set is read after the blocks: who could pay into one of them knew the address from a committed payment.
	if err := s.watch.refresh(ctx, s.store, cursor.BlockTime); err != nil {
		return err
	}
	s.metrics.AddressesWatched(s.chain.Name, len(s.watch.addresses))
	step := payments.Step{ChainID: s.chain.ChainID, OrphanFrom: orphanFrom, Head: head.Number}
	rows := append(make([]models.Block, 0, len(below)+len(blocks)), below...)
	found, err := inOrder(len(blocks), func(i int) ([]chain.Transfer, error) { return s.transfers(ctx, blocks[i]) })
	if err != nil {
		return err
	}
	s.doubtGross(ctx, &step, head.Number, blocks, found)
	for i, b := range blocks {
		step.Blocks = append(step.Blocks, payments.Block{Header: b.Header, Provider: b.Provider, Transfers: found[i]})
		rows = append(rows, s.row(b.Header, b.Provider))
		cursor.Number, cursor.Hash, cursor.BlockTime = b.Number, b.Hash.Hex(), b.Time
	}
	s.witnessTraces(ctx, &step)
	s.takeFound(&step, &cursor)
	caughtUp := cursor.Number >= head.Number
	s.coins.note(blocks)
	if caughtUp {
		s.readBalances(ctx, &step, &cursor)
	}
	s.coinTime(&step, cursor)
	if err := s.retainKnown(ctx, &cursor); err != nil {
		return err
	}
	now := models.Now(s.clock)
	cursor.HeadNumber, cursor.UpdatedAt, cursor.SeenAt = head.Number, now, &now
	step.Final = cursor.FinalNumber
	var changes []payments.StatusChange
	err = s.write(ctx, fence, func(tx *store.Tx) (err error) {
		changes, err = s.writeStep(ctx, tx, step, cursor, rows)
		return err
	})
	if err != nil {
		return err
	}
	if len(step.Doubts) > 0 {
		s.round.counted = time.Time{}
	}
	s.metrics.BlocksScanned(s.chain.Name, len(blocks))
	s.metrics.ChainHead(s.chain.Name, head.Number, cursor.Number)
	s.note(func(st *State) { st.Number, st.Head = cursor.Number, head.Number })
	s.report(ctx, step, changes, start)
	if caughtUp || s.clock().Sub(s.round.finalAt) >= roundTime {
		s.lookForFinal(ctx, cursor)
	}
	return nil
}

// atOnce is how many questions about transfers are put at the same time.
const atOnce = 8

// inOrder does something for each of n things, some at the same time, and returns what came of them in their order.
func inOrder[T any](n int, do func(i int) (T, error)) ([]T, error) {
	all, errs := make([]T, n), make([]error, n)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, atOnce) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				all[i], errs[i] = do(i)
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// writeStep writes the blocks, what they do to payments, and the cursor.
func (s *Scanner) writeStep(
	ctx context.Context, tx *store.Tx, step payments.Step, cursor models.ChainCursor, rows []models.Block,
) ([]payments.StatusChange, error) {
	if step.OrphanFrom != nil {
		if err := tx.DropBlocksFrom(ctx, s.chain.ChainID, *step.OrphanFrom); err != nil {
			return nil, err
		}
	}
	if err := tx.InsertBlocks(ctx, rows); err != nil {
		return nil, err
	}
	changes, err := s.payments.Observe(ctx, tx, step)
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 && cursor.FinalNumber > blocksBelowFinal &&
		(cursor.Number%pruneEvery == 0 || len(rows) > 1) {
		if err := tx.PruneBlocks(ctx, s.chain.ChainID, cursor.FinalNumber-blocksBelowFinal); err != nil {
			return nil, err
		}
	}
	return changes, tx.SaveCursor(ctx, cursor)
}

// transfers are the block's transfers to addresses that somebody watches. The chain's own coin counts only when its
// transaction succeeded: a failed one is in the block all the same.
func (s *Scanner) transfers(ctx context.Context, b chain.Block) ([]chain.Transfer, error) {
	var found []chain.Transfer
	for _, t := range chain.Match(b, s.watch.contains) {
		if t.NeedsReceipt {
			ok, err := s.source.Happened(ctx, b.Hash, t)
			if err != nil {
				return nil, err
			}
			if !ok {
				s.log.InfoContext(ctx, "transfer.failed_on_chain", "tx_hash", t.TxHash.Hex())
				continue
			}
		}
		found = append(found, t)
	}
	return found, nil
}

// report logs and counts a step that is committed.
func (s *Scanner) report(ctx context.Context, step payments.Step, changes []payments.StatusChange, start time.Time) {
	took := s.clock().Sub(start).Milliseconds()
	for _, b := range step.Blocks {
		s.log.InfoContext(ctx, "block.scanned", "block", b.Number, "hash", b.Hash.Hex(),
			"transfers", len(b.Transfers), "took_ms", took)
	}
	for _, c := range changes {
		for _, a := range c.Announce {
			s.log.InfoContext(ctx, "payment.moved", "payment_id", c.Payment.ID,
				"from", c.From, "to", c.Payment.Status, "event", a.Type)
		}
	}
}
