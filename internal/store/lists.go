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

// Mark is a place in the log of events: everything before it has been read.
type Mark struct {
	Xact string // the transaction that wrote the event, "" in SQLite
	Seq  int64
}

// EventsAfter reads a merchant's events in commit order, oldest first, after a mark, and the mark of the last one. It
// shows no event while an older transaction could still commit one before it, so a reader who goes on from
// the last mark misses nothing.
func (q *Queries) EventsAfter(ctx context.Context, merchantID string, f EventFilter, after Mark,
	limit int) ([]models.Event, []Mark, error) {
	db := f.narrow(q.with(ctx).Table("events").Where("merchant_id = ?", merchantID)).Limit(limit)
	if q.dialect == SQLite {
		db = db.Select("*, '' AS xact").Where("seq > ?", after.Seq).Order("seq")
	} else {
		if after.Xact == "" {
			after.Xact = "0"
		}
		db = db.Select("*, xact::text AS xact").
			Where("(xact, seq) > (CAST(? AS text)::xid8, ?) AND xact < pg_snapshot_xmin(pg_current_snapshot())", after.Xact,
				after.Seq).
			Order("events.xact, seq")
	}
	var rows []struct {
		models.Event
		Xact string
	}
	if err := db.Find(&rows).Error; err != nil {
		return nil, nil, wrap("events after", err)
	}
	events, marks := make([]models.Event, len(rows)), make([]Mark, len(rows))
	for i, r := range rows {
		events[i], marks[i] = r.Event, Mark{r.Xact, r.Seq}
	}
	return events, marks, nil
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

// MarkOf is the place of one of a merchant's events in the log.
func (q *Queries) MarkOf(ctx context.Context, merchantID, eventID string) (Mark, error) {
	xact := "xact::text"
	if q.dialect == SQLite {
		xact = "''"
	}
	var m Mark
	err := q.with(ctx).Table("events").Select(xact+" AS xact", "seq").Where("merchant_id = ? AND id = ?", merchantID,
		eventID).Take(&m).Error
	return m, one("mark of "+eventID, err)
}
