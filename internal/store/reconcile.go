package store

import (
	"context"
	"time"
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
