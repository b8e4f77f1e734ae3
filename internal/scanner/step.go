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
	// keepBlocks is how many recorded blocks below the final point are kept, for an operator who accepts a deep reorg.
	keepBlocks = 256
	// pruneEvery spaces the deletes of older ones.
	pruneEvery = 64
)

// step records what the chain has that we have not, one block or one reorg, and reports whether there is more.
func (s *Scanner) step(ctx context.Context, fence int64) (more bool, err error) {
	head, err := s.Source.Head(ctx)
	if err != nil {
		return false, err
	}
	cursor, err := s.Store.Cursor(ctx, s.Chain.ChainID)
	if errors.Is(err, models.ErrNotFound) {
		return true, s.begin(ctx, fence, head)
	} else if err != nil {
		return false, err
	}
	s.note(func(st *State) { st.Number, st.Head, st.LastSeen = cursor.Number, head.Number, s.Now() })
	s.Metrics.ChainHead(s.Chain.Name, head.Number, cursor.Number)
	s.Metrics.ChainHalted(s.Chain.Name, cursor.HaltedAt != nil)
	if cursor.HaltedAt != nil {
		return false, ErrHalted
	}
	if head.Number <= cursor.Number {
		return s.behind(ctx, fence, head, cursor)
	}
	block, err := s.Source.Block(ctx, cursor.Number+1)
	if err != nil {
		return false, err
	}
	if block.Parent.Hex() != cursor.Hash {
		return true, s.reorg(ctx, fence, head, cursor)
	}
	return head.Number > block.Number, s.record(ctx, fence, head, cursor, nil, []chain.Block{block})
}

// begin puts the cursor where the chain is watched from: the block before start_block, or the head.
func (s *Scanner) begin(ctx context.Context, fence int64, head chain.Header) error {
	at := head
	if start := s.Chain.StartBlock; start != nil && *start <= head.Number {
		var err error
		if at, err = s.Source.Header(ctx, max(*start, 1)-1); err != nil {
			return err
		}
	}
	final, err := s.Source.Final(ctx, at.Number)
	if err != nil {
		return err
	}
	s.Logger.InfoContext(ctx, "scanner.begins", "block", at.Number)
	return s.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldFence(ctx, s.Chain.ChainID, s.Holder, fence); err != nil {
			return err
		}
		if err := tx.InsertBlocks(ctx, []models.Block{s.row(at)}); err != nil {
			return err
		}
		return tx.SaveCursor(ctx, models.ChainCursor{
			ChainID: s.Chain.ChainID, Chain: s.Chain.Name, Number: at.Number, Hash: at.Hash.Hex(), BlockTime: at.Time,
			HeadNumber: head.Number, FinalNumber: final, UpdatedAt: s.now(),
		})
	})
}

// behind deals with a head that is not past the cursor: usually nothing is new, or a provider lags; but the branch that
// we recorded may be gone, and a final point that comes from a tag moves without a new block.
func (s *Scanner) behind(ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor) (bool, error) {
	mine, err := s.Store.BlockAt(ctx, s.Chain.ChainID, head.Number)
	if err != nil && !errors.Is(err, models.ErrNotFound) {
		return false, err
	}
	if err == nil && mine.Hash != head.Hash.Hex() {
		return true, s.reorg(ctx, fence, head, cursor)
	}
	if head.Number < cursor.Number {
		return false, nil
	}
	final, err := s.Source.Final(ctx, cursor.Number)
	if err != nil || final <= cursor.FinalNumber {
		return false, err
	}
	return false, s.record(ctx, fence, head, cursor, nil, nil)
}

// reorg finds the newest block that both branches share, reads the branch that replaces ours, and records the change as
// one step. Nothing below the final point is ever replaced: the chain halts instead (ruling 5).
func (s *Scanner) reorg(ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor) error {
	recorded, err := s.Store.Blocks(ctx, s.Chain.ChainID, keepBlocks)
	if err != nil {
		return err
	}
	i := len(recorded) - 1
	for ; i >= 0; i-- {
		if recorded[i].Number > head.Number {
			continue
		}
		theirs, err := s.Source.Header(ctx, recorded[i].Number)
		if err != nil {
			return err
		}
		if theirs.Hash.Hex() == recorded[i].Hash {
			break
		}
		if recorded[i].Number <= cursor.FinalNumber {
			return s.halt(ctx, fence, cursor, fmt.Sprintf("block %d was final as %s and is %s now", recorded[i].Number, recorded[i].Hash, theirs.Hash.Hex()))
		}
	}
	if i < 0 {
		return s.halt(ctx, fence, cursor, fmt.Sprintf("no recorded block from %d on is on the chain any more", recorded[0].Number))
	}
	ancestor := recorded[i]
	var branch []chain.Block
	parent := ancestor.Hash
	for n := ancestor.Number + 1; n <= min(head.Number, cursor.Number+1); n++ {
		b, err := s.Source.Block(ctx, n)
		if err != nil {
			return err
		}
		if b.Parent.Hex() != parent {
			return fmt.Errorf("scanner: block %d of the new branch does not follow block %d: the branch has changed again", n, n-1)
		}
		branch, parent = append(branch, b), b.Hash.Hex()
	}
	s.Metrics.Reorg(s.Chain.Name)
	s.Logger.WarnContext(ctx, "chain.reorged", "ancestor", ancestor.Number, "depth", cursor.Number-ancestor.Number, "blocks", len(branch))
	from := ancestor.Number + 1
	cursor.Number, cursor.Hash, cursor.BlockTime = ancestor.Number, ancestor.Hash, ancestor.Time
	return s.record(ctx, fence, head, cursor, &from, branch)
}

// record writes one step in one transaction.
func (s *Scanner) record(ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor, orphanFrom *uint64, blocks []chain.Block) error {
	start := s.Now()
	// The set is read after the blocks: who could pay into one of them knew the address from a committed payment.
	if err := s.watch.refresh(ctx, s.Store, cursor.BlockTime); err != nil {
		return err
	}
	step := payments.Step{ChainID: s.Chain.ChainID, OrphanFrom: orphanFrom, Head: head.Number}
	rows := make([]models.Block, 0, len(blocks))
	var err error
	for _, b := range blocks {
		sightings, err := s.sightings(ctx, b)
		if err != nil {
			return err
		}
		step.Blocks = append(step.Blocks, payments.Block{Number: b.Number, Hash: b.Hash.Hex(), Time: b.Time, Sightings: sightings})
		rows = append(rows, s.row(b.Header))
		cursor.Number, cursor.Hash, cursor.BlockTime = b.Number, b.Hash.Hex(), b.Time
	}
	if cursor.FinalNumber, err = s.final(ctx, cursor, rows); err != nil {
		return err
	}
	cursor.HeadNumber, cursor.UpdatedAt = head.Number, s.now()
	step.Final = cursor.FinalNumber
	var moved []payments.Moved
	err = s.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldFence(ctx, s.Chain.ChainID, s.Holder, fence); err != nil {
			return err
		}
		if orphanFrom != nil {
			if err := tx.DropBlocksFrom(ctx, s.Chain.ChainID, *orphanFrom); err != nil {
				return err
			}
		}
		if err := tx.InsertBlocks(ctx, rows); err != nil {
			return err
		}
		var err error
		if moved, err = s.Payments.Observe(ctx, tx, step); err != nil {
			return err
		}
		if cursor.Number%pruneEvery == 0 && cursor.FinalNumber > keepBlocks {
			if err := tx.PruneBlocks(ctx, s.Chain.ChainID, cursor.FinalNumber-keepBlocks); err != nil {
				return err
			}
		}
		return tx.SaveCursor(ctx, cursor)
	})
	if err != nil {
		return err
	}
	s.Metrics.BlocksScanned(s.Chain.Name, len(blocks))
	s.Metrics.ChainHead(s.Chain.Name, head.Number, cursor.Number)
	s.note(func(st *State) { st.Number, st.Head = cursor.Number, head.Number })
	s.tell(ctx, step, moved, start)
	return nil
}

// final is how far the record is final. Depth is counted from the newest block that we have recorded, not from the head that
// a provider claims, so that one who overstates it makes nothing final. It moves on only to a block that a second provider,
// where there is one, has too; until then payments are detected and wait.
func (s *Scanner) final(ctx context.Context, cursor models.ChainCursor, recording []models.Block) (uint64, error) {
	final, err := s.Source.Final(ctx, cursor.Number)
	if err != nil || final <= cursor.FinalNumber {
		return cursor.FinalNumber, err
	}
	block, err := s.recorded(ctx, final, recording)
	if errors.Is(err, models.ErrNotFound) { // older than what we began with
		return final, nil
	} else if err != nil {
		return 0, err
	}
	hash, err := chain.ParseHash(block.Hash)
	if err != nil {
		return 0, err
	}
	if err := s.Source.Agree(ctx, chain.Ref{Number: final, Hash: hash}); err != nil {
		s.Logger.WarnContext(ctx, "chain.final_unconfirmed", "block", final, "err", err)
		return cursor.FinalNumber, nil
	}
	return final, nil
}

// recorded finds a block among those about to be recorded or in the record.
func (s *Scanner) recorded(ctx context.Context, number uint64, recording []models.Block) (models.Block, error) {
	for _, b := range recording {
		if b.Number == number {
			return b, nil
		}
	}
	return s.Store.BlockAt(ctx, s.Chain.ChainID, number)
}

// sightings are the block's transfers to addresses that somebody watches. Native money counts only when its transaction
// succeeded: a failed one is in the block all the same.
func (s *Scanner) sightings(ctx context.Context, b chain.Block) ([]payments.Sighting, error) {
	var found []payments.Sighting
	for _, t := range chain.Match(b, s.watch.contains) {
		if t.NeedsReceipt {
			ok, err := s.Source.Succeeded(ctx, b.Hash, t.TxHash)
			if err != nil {
				return nil, err
			}
			if !ok {
				s.Logger.InfoContext(ctx, "transfer.failed_on_chain", "tx_hash", t.TxHash.Hex())
				continue
			}
		}
		amount, err := models.AmountFromBig(t.Value)
		if err != nil {
			return nil, fmt.Errorf("scanner: value of %s: %w", t.TxHash.Hex(), err)
		}
		sighting := payments.Sighting{
			TxHash: t.TxHash.Hex(), Asset: t.Asset, Recipient: t.To.Hex(), Sender: t.From.Hex(), Amount: amount, Ordinal: t.Ordinal,
		}
		if t.LogIndex >= 0 {
			sighting.LogIndex = &t.LogIndex
		}
		found = append(found, sighting)
	}
	return found, nil
}

// halt stops the chain until an operator has looked (ruling 5). Payments keep what they are.
func (s *Scanner) halt(ctx context.Context, fence int64, cursor models.ChainCursor, reason string) error {
	at := s.now()
	cursor.HaltedAt, cursor.HaltReason, cursor.UpdatedAt = &at, reason, at
	err := s.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldFence(ctx, s.Chain.ChainID, s.Holder, fence); err != nil {
			return err
		}
		return tx.SaveCursor(ctx, cursor)
	})
	if err != nil {
		return err
	}
	s.Metrics.ChainHalted(s.Chain.Name, true)
	s.Logger.ErrorContext(ctx, "chain.halted", "reason", reason)
	return ErrHalted
}

func (s *Scanner) tell(ctx context.Context, step payments.Step, moved []payments.Moved, start time.Time) {
	for _, b := range step.Blocks {
		s.Logger.InfoContext(ctx, "block.scanned", "block", b.Number, "hash", b.Hash, "transfers", len(b.Sightings), "took_ms", s.Now().Sub(start).Milliseconds())
	}
	for _, m := range moved {
		for _, a := range m.Announce {
			s.Logger.InfoContext(ctx, "payment.moved", "payment_id", m.Payment.ID, "from", m.From, "to", m.Payment.Status, "event", a.Type)
		}
		if m.From != m.Payment.Status {
			s.Metrics.PaymentMoved(string(m.Payment.Status))
		}
	}
}

func (s *Scanner) row(h chain.Header) models.Block {
	return models.Block{ChainID: s.Chain.ChainID, Number: h.Number, Hash: h.Hash.Hex(), ParentHash: h.Parent.Hex(), Time: h.Time}
}

func (s *Scanner) now() time.Time { return models.Now(s.Now) }
