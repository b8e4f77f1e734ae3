package store

import (
	"context"
	"time"

	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// RecordTransfer writes a transfer found in a canonical block. One that is known already, because it was orphaned and
// mined again, keeps its row and its first block time and gets the new block.
func (tx *Tx) RecordTransfer(ctx context.Context, t models.Transfer) error {
	err := tx.with(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "chain_id"}, {Name: "tx_hash"}, {Name: "asset"}, {Name: "recipient"},
			{Name: "ordinal"}},
		DoUpdates: clause.AssignmentColumns([]string{
			"amount", "sender", "log_index", "status", "block_number", "block_hash", "block_time", "updated_at",
		}),
	}).Create(&t).Error
	return wrap("see transfer "+t.TxHash, err)
}

// OrphanTransfers marks the transfers of a chain from a block number on as orphaned and returns them as they were.
func (tx *Tx) OrphanTransfers(ctx context.Context, chainID, from uint64, now time.Time) ([]models.Transfer, error) {
	var lost []models.Transfer
	err := tx.with(ctx).Where("chain_id = ? AND block_number >= ? AND status <> 'orphaned' AND source = 'chain'", chainID,
		from).
		Order("id").Find(&lost).Error
	if err != nil || len(lost) == 0 {
		return nil, wrap("transfers to orphan", err)
	}
	err = tx.with(ctx).Model(&models.Transfer{}).
		Where("chain_id = ? AND block_number >= ? AND status <> 'orphaned' AND source = 'chain'", chainID, from).
		Updates(map[string]any{"status": models.TransferOrphaned, "updated_at": now}).Error
	return lost, wrap("orphan transfers", err)
}

// FinalTransfers marks the seen transfers of a chain up to a block number as confirmed and returns the ids of their
// payments.
func (tx *Tx) FinalTransfers(ctx context.Context, chainID, final uint64, now time.Time) ([]string, error) {
	var ids []string
	err := tx.with(ctx).Model(&models.Transfer{}).
		Where("chain_id = ? AND status = 'seen' AND block_number <= ?", chainID,
			final).Distinct().Order("payment_id").Pluck("payment_id", &ids).Error
	if err != nil || len(ids) == 0 {
		return nil, wrap("final transfers", err)
	}
	err = tx.with(ctx).Model(&models.Transfer{}).
		Where("chain_id = ? AND status = 'seen' AND block_number <= ?", chainID, final).
		Updates(map[string]any{"status": models.TransferConfirmed, "updated_at": now}).Error
	return ids, wrap("confirm transfers", err)
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
