package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// RecordTransfer writes a transfer found in a canonical block and reports whether it is new. One that is known already,
// because it was orphaned and mined again, keeps its row and its first block time and gets the new block. One that is
// known in that very block stays as it is.
func (tx *Tx) RecordTransfer(ctx context.Context, t models.Transfer) (isNew bool, err error) {
	var known models.Transfer
	err = tx.with(ctx).Where("chain_id = ? AND tx_hash = ? AND asset = ? AND recipient = ? AND ordinal = ?",
		t.ChainID, t.TxHash, t.Asset, t.Recipient, t.Ordinal).Take(&known).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return true, wrap("record transfer "+t.TxHash, tx.with(ctx).Create(&t).Error)
	case err != nil:
		return false, wrap("record transfer "+t.TxHash, err)
	case known.Canonical() && known.BlockHash == t.BlockHash && known.Amount.Cmp(t.Amount) == 0:
		return false, nil
	}
	err = tx.with(ctx).Model(&models.Transfer{}).Where("id = ?", known.ID).Updates(map[string]any{
		"amount": t.Amount, "sender": t.Sender, "log_index": t.LogIndex, "status": t.Status, "source": t.Source,
		"witness": t.Witness, "doubt_id": nil, "block_number": t.BlockNumber, "block_hash": t.BlockHash,
		"block_time": t.BlockTime, "updated_at": t.UpdatedAt,
	}).Error
	return !known.Canonical(), wrap("record transfer "+t.TxHash, err)
}

// RecordLate writes a transfer that was found after its block was recorded. Its ordinal counts what that reader was
// told and may be the one of another transfer of the transaction: then it gets the next free one. rank counts the
// transfers of the block before it that are the same but for the ordinal; where more of them are recorded, it is known.
func (tx *Tx) RecordLate(ctx context.Context, t models.Transfer, rank int) (isNew bool, err error) {
	if t.TxHash == "" { // withdrawals have their index, and balances count for themselves
		return tx.RecordTransfer(ctx, t)
	}
	var series []models.Transfer
	err = tx.with(ctx).Where("chain_id = ? AND tx_hash = ? AND asset = ? AND recipient = ?",
		t.ChainID, t.TxHash, t.Asset, t.Recipient).Find(&series).Error
	if err != nil {
		return false, wrap("record late transfer "+t.TxHash, err)
	}
	same, next, taken := 0, 0, false
	for _, known := range series {
		next = max(next, known.Ordinal+1)
		if !known.Canonical() || known.BlockHash != t.BlockHash {
			continue
		}
		taken = taken || known.Ordinal == t.Ordinal
		if known.Amount.Cmp(t.Amount) == 0 {
			same++
		}
	}
	if same > rank {
		return false, nil
	}
	if taken {
		t.Ordinal = next
	}
	return tx.RecordTransfer(ctx, t)
}

// OrphanTransfers marks the transfers of a chain from a block number on as orphaned and returns them as they were.
func (tx *Tx) OrphanTransfers(ctx context.Context, chainID, from uint64, now time.Time) ([]models.Transfer, error) {
	var lost []models.Transfer
	err := tx.with(ctx).Where("chain_id = ? AND block_number >= ? AND status <> 'orphaned'", chainID, from).
		Order("id").Find(&lost).Error
	if err != nil || len(lost) == 0 {
		return nil, wrap("transfers to orphan", err)
	}
	err = tx.with(ctx).Model(&models.Transfer{}).
		Where("chain_id = ? AND block_number >= ? AND status <> 'orphaned'", chainID, from).
		Updates(map[string]any{"status": models.TransferOrphaned, "doubt_id": nil, "updated_at": now}).Error
	return lost, wrap("orphan transfers", err)
}

// OrphanTransfer marks one transfer as orphaned and returns it as it was; nil when it is not canonical. Its identity
// and its block say which.
func (tx *Tx) OrphanTransfer(ctx context.Context, t models.Transfer, now time.Time) (*models.Transfer, error) {
	var was models.Transfer
	err := tx.with(ctx).Where("chain_id = ? AND tx_hash = ? AND asset = ? AND recipient = ? AND ordinal = ? AND "+
		"block_hash = ? AND status <> 'orphaned'", t.ChainID, t.TxHash, t.Asset, t.Recipient, t.Ordinal,
		t.BlockHash).Take(&was).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, wrap("transfer to orphan", err)
	}
	err = tx.with(ctx).Model(&models.Transfer{}).Where("id = ?", was.ID).
		Updates(map[string]any{"status": models.TransferOrphaned, "doubt_id": nil, "updated_at": now}).Error
	return &was, wrap("orphan transfer", err)
}

// FinalTransfers marks the seen transfers of a chain up to a block number as confirmed and returns the ids of their
// payments. A transfer that a doubt holds up stays as it is.
func (tx *Tx) FinalTransfers(ctx context.Context, chainID, final uint64, now time.Time) ([]string, error) {
	const due = "chain_id = ? AND status = 'seen' AND doubt_id IS NULL AND block_number <= ?"
	var ids []string
	err := tx.with(ctx).Model(&models.Transfer{}).Where(due, chainID, final).Distinct().Order("payment_id").
		Pluck("payment_id", &ids).Error
	if err != nil || len(ids) == 0 {
		return nil, wrap("final transfers", err)
	}
	err = tx.with(ctx).Model(&models.Transfer{}).Where(due, chainID, final).
		Updates(map[string]any{"status": models.TransferConfirmed, "updated_at": now}).Error
	return ids, wrap("confirm transfers", err)
}

// TransfersIn reads the canonical transfers in the blocks of a range that no balance made.
func (q *Queries) TransfersIn(ctx context.Context, chainID, from, to uint64) ([]models.Transfer, error) {
	var ts []models.Transfer
	err := q.with(ctx).Where("chain_id = ? AND block_number BETWEEN ? AND ? AND status <> 'orphaned' AND "+
		"source <> 'balance'", chainID, from, to).Order("block_number, id").Find(&ts).Error
	return ts, wrap("transfers in blocks", err)
}

// CoinOf reads the canonical transfers in the chain's own coin to payments, up to a block.
func (q *Queries) CoinOf(
	ctx context.Context, chainID, upTo uint64, paymentIDs []string,
) (map[string][]models.Transfer, error) {
	all := make(map[string][]models.Transfer)
	for start := 0; start < len(paymentIDs); start += chunk {
		var some []models.Transfer
		err := q.with(ctx).Where("payment_id IN ? AND chain_id = ? AND asset = 'native' AND status <> 'orphaned' AND "+
			"block_number <= ?", paymentIDs[start:min(start+chunk, len(paymentIDs))], chainID, upTo).
			Order("payment_id, ordinal").Find(&some).Error
		if err != nil {
			return nil, wrap("coin of payments", err)
		}
		for _, t := range some {
			all[t.PaymentID] = append(all[t.PaymentID], t)
		}
	}
	return all, nil
}

// LowerTransfer takes something off a transfer that a balance made, because the coin was found in a block. What is left
// of nothing is orphaned.
func (tx *Tx) LowerTransfer(ctx context.Context, id string, left models.Amount, now time.Time) error {
	change := map[string]any{"amount": left, "updated_at": now}
	if left.Sign() == 0 {
		change = map[string]any{"status": models.TransferOrphaned, "updated_at": now}
	}
	return wrap("lower transfer", tx.with(ctx).Model(&models.Transfer{}).Where("id = ?", id).Updates(change).Error)
}

// TransfersOf reads the transfers of payments, oldest block first, orphaned ones included.
func (q *Queries) TransfersOf(ctx context.Context, paymentIDs []string) (map[string][]models.Transfer, error) {
	all := make(map[string][]models.Transfer)
	for start := 0; start < len(paymentIDs); start += chunk {
		var some []models.Transfer
		err := q.with(ctx).Where("payment_id IN ?", paymentIDs[start:min(start+chunk, len(paymentIDs))]).
			Order("payment_id, block_number, id").Find(&some).Error
		if err != nil {
			return nil, wrap("transfers of payments", err)
		}
		for _, t := range some {
			all[t.PaymentID] = append(all[t.PaymentID], t)
		}
	}
	return all, nil
}
