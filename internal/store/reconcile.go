package store

import (
	"context"
	"errors"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// TokenPayment is an open payment in a token whose balance is to be read.
type TokenPayment struct {
	ID        string
	Address   string
	Asset     string
	CreatedAt time.Time
}

// TokenPayments reads the open payments of a chain in tokens, newest first, below an id ("" for the newest).
func (q *Queries) TokenPayments(ctx context.Context, chainID uint64, below string, limit int) ([]TokenPayment, error) {
	db := q.with(ctx).Table("payments").Select("id", "address", "asset", "created_at").
		Where("chain_id = ? AND asset <> 'native' AND status IN ('pending', 'detected')", chainID).
		Order("id DESC").Limit(limit)
	if below != "" {
		db = db.Where("id < ?", below)
	}
	var ps []TokenPayment
	return ps, wrap("payments in tokens", db.Find(&ps).Error)
}

// FirstBlock is the newest recorded block of a chain that is not younger than a time, or the oldest recorded one.
func (q *Queries) FirstBlock(ctx context.Context, chainID uint64, at time.Time) (uint64, error) {
	var b models.Block
	err := q.with(ctx).Where("chain_id = ? AND time <= ?", chainID, at).Order("number DESC").Take(&b).Error
	err = one("block", err)
	if errors.Is(err, models.ErrNotFound) {
		err = one("block", q.with(ctx).Where("chain_id = ?", chainID).Order("number").Take(&b).Error)
	}
	return b.Number, err
}
