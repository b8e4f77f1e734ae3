package store

import (
	"context"
	"time"

	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// besideRecorded is added to the ordinal of a transfer that is doubted and not recorded, where another transfer of the
// transaction is recorded under that ordinal, which may be doubted itself.
const besideRecorded = 1 << 28

// InsertDoubt writes a doubt and marks the transfer that it holds up, where there is one. A doubt about the same
// transfer in the same block is known already, whatever became of it; then nothing is written.
func (tx *Tx) InsertDoubt(ctx context.Context, d models.Doubt) (inserted bool, err error) {
	if d.Kind == models.DoubtHidden && d.TxHash != "" {
		var other int64
		err := tx.with(ctx).Model(&models.Transfer{}).Where("chain_id = ? AND tx_hash = ? AND asset = ? AND "+
			"recipient = ? AND ordinal = ? AND block_hash = ? AND amount <> ?", d.ChainID, d.TxHash, d.Asset, d.Recipient,
			d.Ordinal, d.BlockHash, d.Amount).Count(&other).Error
		if err != nil {
			return false, wrap("insert doubt", err)
		}
		if other > 0 {
			d.Ordinal += besideRecorded
		}
	}
	result := tx.with(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&d)
	if result.Error != nil || result.RowsAffected == 0 {
		return false, wrap("insert doubt", result.Error)
	}
	if !d.Recorded() {
		return true, nil
	}
	return true, wrap("doubt a transfer", tx.with(ctx).Model(&models.Transfer{}).
		Where("chain_id = ? AND tx_hash = ? AND asset = ? AND recipient = ? AND ordinal = ? AND block_hash = ? AND "+
			"status = 'seen'", d.ChainID, d.TxHash, d.Asset, d.Recipient, d.Ordinal, d.BlockHash).
		Update("doubt_id", d.ID).Error)
}

// Doubt reads one doubt.
func (q *Queries) Doubt(ctx context.Context, id string) (models.Doubt, error) {
	var d models.Doubt
	err := q.with(ctx).Where("id = ?", id).Take(&d).Error
	return d, one("doubt "+id, err)
}

// Doubts reads the newest doubts, those of one status when it is not empty and of one chain when chainID is not 0.
func (q *Queries) Doubts(
	ctx context.Context, chainID uint64, status models.DoubtStatus, limit int,
) ([]models.Doubt, error) {
	db := q.with(ctx).Order("id DESC").Limit(limit)
	if chainID != 0 {
		db = db.Where("chain_id = ?", chainID)
	}
	if status != "" {
		db = db.Where("status = ?", status)
	}
	var ds []models.Doubt
	return ds, wrap("doubts", db.Find(&ds).Error)
}

// CountOpenDoubts counts the open doubts of a chain.
func (q *Queries) CountOpenDoubts(ctx context.Context, chainID uint64) (int, error) {
	var n int64
	err := q.with(ctx).Model(&models.Doubt{}).Where("chain_id = ? AND status = 'open'", chainID).Count(&n).Error
	return int(n), wrap("count open doubts", err)
}

// OpenDoubts reads the open doubts of payments, oldest first.
func (q *Queries) OpenDoubts(ctx context.Context, paymentIDs []string) (map[string][]models.Doubt, error) {
	open := make(map[string][]models.Doubt)
	for start := 0; start < len(paymentIDs); start += chunk {
		var some []models.Doubt
		err := q.with(ctx).Where("status = 'open' AND payment_id IN ?",
			paymentIDs[start:min(start+chunk, len(paymentIDs))]).Order("id").Find(&some).Error
		if err != nil {
			return nil, wrap("open doubts", err)
		}
		for _, d := range some {
			open[d.PaymentID] = append(open[d.PaymentID], d)
		}
	}
	return open, nil
}

// LockDoubt reads a doubt and locks its row until the transaction ends.
func (tx *Tx) LockDoubt(ctx context.Context, id string) (models.Doubt, error) {
	var d models.Doubt
	return d, one("doubt "+id, tx.with(ctx).Raw("SELECT "+tx.columns(&models.Doubt{}, "")+" FROM doubts WHERE id = ?"+tx.dialect.forUpdate(), id).
		Take(&d).Error)
}

// SettleDoubt writes how a doubt ended, and lets go of the transfer that it held up.
func (tx *Tx) SettleDoubt(ctx context.Context, d models.Doubt) error {
	err := tx.with(ctx).Model(&models.Doubt{}).Where("id = ?", d.ID).Updates(map[string]any{
		"status": d.Status, "settled_by": d.SettledBy, "reason": d.Reason, "settled_at": d.SettledAt,
		"updated_at": d.UpdatedAt,
	}).Error
	if err != nil || d.Status != models.DoubtAccepted {
		return wrap("settle doubt "+d.ID, err)
	}
	return wrap("settle doubt "+d.ID, tx.with(ctx).Model(&models.Transfer{}).Where("doubt_id = ?", d.ID).
		Update("doubt_id", nil).Error)
}

// ForgetDoubts drops the open doubts about blocks that a reorg took off the chain.
func (tx *Tx) ForgetDoubts(ctx context.Context, chainID, from uint64, now time.Time) error {
	return wrap("forget doubts", tx.with(ctx).Model(&models.Doubt{}).
		Where("chain_id = ? AND status = 'open' AND block_number >= ?", chainID, from).
		Updates(map[string]any{"status": models.DoubtRejected, "settled_by": models.System.Name, "settled_at": now,
			"reason": "the block left the chain", "updated_at": now}).Error)
}

// EndDoubts rejects the open doubts about a recorded transfer that was taken off its payment.
func (tx *Tx) EndDoubts(ctx context.Context, t models.Transfer, reason string, now time.Time) error {
	return wrap("end doubts", tx.with(ctx).Model(&models.Doubt{}).
		Where("status = 'open' AND kind NOT IN ('hidden', 'balance') AND chain_id = ? AND tx_hash = ? AND "+
			"asset = ? AND recipient = ? AND ordinal = ? AND block_hash = ?",
			t.ChainID, t.TxHash, t.Asset, t.Recipient, t.Ordinal, t.BlockHash).
		Updates(map[string]any{"status": models.DoubtRejected, "settled_by": models.System.Name, "settled_at": now,
			"reason": reason, "updated_at": now}).Error)
}

// RankOf counts the transfers that are the same as one that a doubt found missing, but for the ordinal, and are
// recorded beside it: those that were recorded when the doubt arose, and those that other doubts have brought since.
func (tx *Tx) RankOf(ctx context.Context, d models.Doubt) (int, error) {
	const same = "chain_id = ? AND tx_hash = ? AND asset = ? AND recipient = ? AND block_hash = ? AND amount = ? AND "
	of := []any{d.ChainID, d.TxHash, d.Asset, d.Recipient, d.BlockHash, d.Amount}
	var before, accepted int64
	err := tx.with(ctx).Model(&models.Transfer{}).Where(same+"status <> 'orphaned' AND created_at <= ?",
		append(of, d.CreatedAt)...).Count(&before).Error
	if err != nil {
		return 0, wrap("rank of doubt "+d.ID, err)
	}
	err = tx.with(ctx).Model(&models.Doubt{}).Where(same+"status = 'accepted' AND kind = 'hidden' AND id <> ?",
		append(of, d.ID)...).Count(&accepted).Error
	return int(before + accepted), wrap("rank of doubt "+d.ID, err)
}

// DoubtedCoin reads the amounts of a payment's doubts in the chain's own coin that are about coin which no transfer
// records, open and rejected ones.
func (q *Queries) DoubtedCoin(ctx context.Context, chainID uint64, paymentID string) ([]models.Amount, error) {
	var ds []models.Doubt
	err := q.with(ctx).Select("amount").Where("payment_id = ? AND chain_id = ? AND asset = 'native' AND "+
		"status IN ('open', 'rejected') AND kind IN ('hidden', 'balance') AND reason <> 'the block left the chain'",
		paymentID, chainID).Find(&ds).Error
	amounts := make([]models.Amount, len(ds))
	for i, d := range ds {
		amounts[i] = d.Amount
	}
	return amounts, wrap("doubted coin", err)
}
