package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Address is one row of the book of addresses: handed out to a payment, or skipped for a reason.
type Address struct {
	Address        string `gorm:"primaryKey"`
	AccountKeyID   string
	AddressIndex   uint32
	DerivationPath string
	MerchantID     string
	PaymentID      *string
	SkippedReason  string
	CreatedAt      time.Time
}

// InsertAddress writes one row of the book.
func (q *Queries) InsertAddress(ctx context.Context, a Address) error {
	return wrap("insert address", q.with(ctx).Create(&a).Error)
}

// Addresses reads a page of a merchant's book in the order of the index, after the given index of an account key.
func (q *Queries) Addresses(ctx context.Context, merchantID string, limit, offset int) ([]Address, error) {
	var rows []Address
	err := q.with(ctx).Where("merchant_id = ?", merchantID).Order("account_key_id, address_index").
		Limit(limit).Offset(offset).Find(&rows).Error
	return rows, wrap("addresses of "+merchantID, err)
}

// Watched is an address that a scanner has to look for.
type Watched struct {
	Address   string
	PaymentID string
}

// WatchMark remembers how much of the watch set a scanner has read.
type WatchMark struct{ value string }

// WatchSet reads the addresses of payments that were committed since mark, and the mark for next time; with the zero
// mark it reads all that are still watched at blockTime. In Postgres the mark is the oldest transaction that was still
// running: a payment whose transaction started earlier and committed later than its neighbours is therefore never
// passed over. In SQLite, with its one writer, it is the row id.
func (q *Queries) WatchSet(ctx context.Context, mark WatchMark, blockTime time.Time) ([]Watched, WatchMark, error) {
	next := "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
	since := "xact >= CAST(? AS text)::xid8"
	if q.dialect == SQLite {
		next, since = "SELECT CAST(COALESCE(max(rowid), 0) + 1 AS TEXT) FROM payments", "rowid >= CAST(? AS INTEGER)"
	}
	// The mark is read first: what commits between the two statements is then read twice, not lost.
	var upTo string
	if err := q.with(ctx).Raw(next).Scan(&upTo).Error; err != nil {
		return nil, mark, wrap("watch mark", err)
	}
	db := q.with(ctx).Table("payments").Select("address", "id AS payment_id")
	if mark.value == "" {
		db = db.Where("watch_until IS NULL OR watch_until >= ?", blockTime)
	} else {
		db = db.Where(since, mark.value)
	}
	var rows []Watched
	if err := db.Find(&rows).Error; err != nil {
		return nil, mark, wrap("watch set", err)
	}
	return rows, WatchMark{upTo}, nil
}

// PaymentsAt reads the payments that the given addresses belong to.
func (q *Queries) PaymentsAt(ctx context.Context, addresses []string) ([]models.Payment, error) {
	var ps []models.Payment
	for start := 0; start < len(addresses); start += chunk {
		var some []models.Payment
		if err := q.with(ctx).Where("address IN ?",
			addresses[start:min(start+chunk, len(addresses))]).Find(&some).Error; err != nil {
			return nil, wrap("payments at addresses", err)
		}
		ps = append(ps, some...)
	}
	return ps, nil
}

// chunk bounds the parameters of one IN list.
const chunk = 500
