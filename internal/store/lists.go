package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// Page asks for part of a list, newest first: at most Limit rows after the row that Before names.
type Page struct {
	Limit  int
	Before *Position
}

// Position is a row's place in a list.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// Range bounds the time of creation; a zero time does not. After is included, Before is not.
type Range struct{ After, Before time.Time }

// PaymentFilter narrows a list of payments; empty fields do not.
type PaymentFilter struct {
	Status  string
	Chain   string
	OrderID string
	Test    bool // only payments on test chains
	Created Range
}

// ListPayments reads a page of a merchant's payments.
func (q *Queries) ListPayments(ctx context.Context, merchantID string, f PaymentFilter,
	p Page) ([]models.Payment, error) {
	db := f.Created.narrow(p.apply(q.with(ctx).Where("merchant_id = ?", merchantID)))
	db = equal(db, "status", f.Status, "chain", f.Chain, "order_id", f.OrderID)
	if f.Test {
		db = db.Where("test")
	}
	var rows []models.Payment
	err := db.Find(&rows).Error
	return rows, wrap("list payments", err)
}

// EventFilter narrows a list of events; empty fields do not.
type EventFilter struct {
	Type      string
	PaymentID string
	Test      bool // only those of test mode
}

// ListEvents reads a page of a merchant's events, newest first.
func (q *Queries) ListEvents(ctx context.Context, merchantID string, f EventFilter, p Page) ([]models.Event, error) {
	var rows []models.Event
	err := f.narrow(p.apply(q.with(ctx).Where("merchant_id = ?", merchantID))).Find(&rows).Error
	return rows, wrap("list events", err)
}

func (f EventFilter) narrow(db *gorm.DB) *gorm.DB {
	db = equal(db, "type", f.Type, "payment_id", f.PaymentID)
	if f.Test {
		db = db.Where(testEvent("events"))
	}
	return db
}

// equal keeps the rows with these values, given as column, value, column, value; an empty value narrows nothing.
func equal(db *gorm.DB, columnsAndValues ...string) *gorm.DB {
	for i := 0; i < len(columnsAndValues); i += 2 {
		if v := columnsAndValues[i+1]; v != "" {
			db = db.Where(columnsAndValues[i]+" = ?", v)
		}
	}
	return db
}

func (p Page) apply(db *gorm.DB) *gorm.DB {
	if p.Before != nil {
		db = db.Where("(created_at, id) < (?, ?)", p.Before.CreatedAt, p.Before.ID)
	}
	return db.Order("created_at DESC, id DESC").Limit(p.Limit)
}

func (r Range) narrow(db *gorm.DB) *gorm.DB {
	if !r.After.IsZero() {
		db = db.Where("created_at >= ?", r.After)
	}
	if !r.Before.IsZero() {
		db = db.Where("created_at < ?", r.Before)
	}
	return db
}

// deliveriesOfPayment bounds how many deliveries of one payment are read.
const deliveriesOfPayment = 500

// DeliveriesOfEvents reads the deliveries of some events of a merchant, the oldest first, at most 500.
func (q *Queries) DeliveriesOfEvents(ctx context.Context, merchantID string,
	eventIDs []string) ([]models.Delivery, error) {
	var rows []models.Delivery
	if len(eventIDs) == 0 {
		return nil, nil
	}
	err := q.with(ctx).Where("merchant_id = ? AND (event_id IN ? AND replay_of IS NULL OR event_id IN ? AND replay_of IS "+
		"NOT NULL)", merchantID, eventIDs, eventIDs).Order("created_at, id").Limit(deliveriesOfPayment).Find(&rows).Error
	return rows, wrap("deliveries of a payment", err)
}
