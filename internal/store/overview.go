package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// overviewPayments and overviewDeliveries bound how many rows an overview reads.
	overviewPayments   = 10_000
	overviewDeliveries = 2_000
	overviewAttempts   = 10_000
)

// Sale is what an overview reads of a payment.
type Sale struct {
	Status          models.PaymentStatus
	Chain           string
	Asset           string
	AssetSymbol     string
	AssetDecimals   uint8
	AmountConfirmed models.Amount
	CreatedAt       time.Time
}

// TableName reads the payments.
func (Sale) TableName() string { return "payments" }

// Sales reads what a merchant's newest payments since a moment came to, at most 10,000 of them.
func (q *Queries) Sales(ctx context.Context, merchantID string, test bool, since time.Time) ([]Sale, error) {
	db := q.with(ctx).Where("merchant_id = ? AND created_at >= ?", merchantID, since)
	if test {
		db = db.Where("test")
	}
	var rows []Sale
	err := db.Select("status", "chain", "asset", "asset_symbol", "asset_decimals", "amount_confirmed", "created_at").
		Order("created_at DESC, id DESC").Limit(overviewPayments).Find(&rows).Error
	return rows, wrap("sales", err)
}

// Sent is what an overview reads of an attempt.
type Sent struct {
	StartedAt   time.Time
	TotalMicros int64
	Class       string
}

// SentSince reads the attempts since a moment on a merchant's newest deliveries, at most 2,000 of them that were made
// since then, and of those the newest 10,000.
func (q *Queries) SentSince(ctx context.Context, merchantID string, test bool, since time.Time) ([]Sent, error) {
	newest := q.with(ctx).Table("deliveries").Select("id").
		Where("merchant_id = ? AND created_at >= ? AND event_id IS NOT NULL AND attempts > 0", merchantID, since)
	if test {
		newest = newest.Where(testShown("deliveries"))
	}
	newest = newest.Order("created_at DESC, id DESC").Limit(overviewDeliveries)
	var rows []Sent
	err := q.with(ctx).Table("attempts").Select("started_at, total_us AS total_micros, class").
		Where("delivery_id IN (?) AND started_at >= ?", newest, since).
		Order("started_at DESC").Limit(overviewAttempts).Scan(&rows).Error
	return rows, wrap("attempts of deliveries", err)
}

// PaymentsByID reads payments whoever they belong to; those that there are not are left out.
func (q *Queries) PaymentsByID(ctx context.Context, ids []string) ([]models.Payment, error) {
	var all []models.Payment
	for start := 0; start < len(ids); start += chunk {
		var some []models.Payment
		if err := q.with(ctx).Where("id IN ?", ids[start:min(start+chunk, len(ids))]).Find(&some).Error; err != nil {
			return nil, wrap("payments by id", err)
		}
		all = append(all, some...)
	}
	return all, nil
}
