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
