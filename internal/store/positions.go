package store

import (
	"context"
	"database/sql/driver"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Events of a merchant have positions from 1: the order in which their transactions were committed, without holes. A
// transaction takes them as the last thing before its commit, from a row of event_heads that it holds until then, so
// that whoever sees a position sees every lower one, whatever else the cluster is doing. Merchants are taken in their
// order, so that two transactions never wait for each other here.

// placed is an event that waits for its position.
type placed struct{ merchantID, eventID string }

// numberedEvent tells the trigger of older binaries that this event's writer takes the position itself.
type numberedEvent struct {
	models.Event
	Numbered bool
}

// TableName is the table of events.
func (numberedEvent) TableName() string { return "events" }

// numberEvents takes the positions of the transaction's events. Nothing comes after it but the commit.
func (tx *Tx) numberEvents(ctx context.Context) error {
	if len(tx.events) == 0 {
		return nil
	}
	if tx.dialect == SQLite {
		return tx.numberEventsSQLite(ctx)
	}
	merchants, ids := make([]string, len(tx.events)), make([]string, len(tx.events))
	for i, e := range tx.events {
		merchants[i], ids[i] = e.merchantID, e.eventID
	}
	number := "SELECT number_events(?::text[], ?::text[])"
	if tx.waits { // for a key or an order; the row of the merchant's positions is only ever held for the time of a commit
		number = "SELECT set_config('lock_timeout', '0', true), number_events(?::text[], ?::text[])"
		tx.waits = false
	}
	return wrap("number events", tx.with(ctx).Exec(number, array(merchants), array(ids)).Error)
}

func (tx *Tx) numberEventsSQLite(ctx context.Context) error {
	for _, e := range tx.events {
		err := tx.with(ctx).Exec(`INSERT INTO event_heads (merchant_id, last) VALUES (?, 1)
			ON CONFLICT (merchant_id) DO UPDATE SET last = last + 1`, e.merchantID).Error
		if err == nil {
			err = tx.with(ctx).Exec(`INSERT INTO event_log (merchant_id, pos, event_id)
				SELECT merchant_id, last, ? FROM event_heads WHERE merchant_id = ?`, e.eventID, e.merchantID).Error
		}
		if err != nil {
			return wrap("number events", err)
		}
	}
	return nil
}

// PositionedEvent is an event and its place among its merchant's.
type PositionedEvent struct {
	models.Event
	Pos int64
}

// EventsAfter reads a merchant's events in the order of their positions, behind one; 0 is before the first.
func (q *Queries) EventsAfter(ctx context.Context, merchantID string, f EventFilter, after int64,
	limit int) ([]PositionedEvent, error) {
	var rows []PositionedEvent
	err := f.narrow(q.with(ctx).Table("event_log AS l").Select(eventColumns+", l.pos").
		Joins("JOIN events ON events.id = l.event_id").
		Where("l.merchant_id = ? AND l.pos > ?", merchantID, after)).Order("l.pos").Limit(limit).Find(&rows).Error
	return rows, wrap("events after", err)
}

const eventColumns = "events.id, events.merchant_id, events.payment_id, events.endpoint_id, events.type, " +
	"events.sequence, events.body, events.retracts, events.created_at, events.seq"

// Positions reads the positions of events, by id. Those of which none is known are left out.
func (q *Queries) Positions(ctx context.Context, eventIDs []string) (map[string]int64, error) {
	found := make(map[string]int64, len(eventIDs))
	for start := 0; start < len(eventIDs); start += chunk {
		var rows []struct {
			EventID string
			Pos     int64
		}
		err := q.with(ctx).Table("event_log").Select("event_id", "pos").
			Where("event_id IN ?", eventIDs[start:min(start+chunk, len(eventIDs))]).Find(&rows).Error
		if err != nil {
			return nil, wrap("positions", err)
		}
		for _, r := range rows {
			found[r.EventID] = r.Pos
		}
	}
	return found, nil
}

// LastPosition is the newest position of a merchant's events, 0 when there is none.
func (q *Queries) LastPosition(ctx context.Context, merchantID string) (int64, error) {
	var last []int64
	err := q.with(ctx).Table("event_heads").Where("merchant_id = ?", merchantID).Pluck("last", &last).Error
	if err != nil || len(last) == 0 {
		return 0, wrap("last position", err)
	}
	return last[0], nil
}

// PositionOf is the position of one of a merchant's events, or [models.ErrNotFound].
func (q *Queries) PositionOf(ctx context.Context, merchantID, eventID string) (int64, error) {
	var found []int64
	err := q.with(ctx).Table("event_log").Where("event_id = ? AND merchant_id = ?", eventID, merchantID).
		Pluck("pos", &found).Error
	if err == nil && len(found) == 0 {
		return 0, models.ErrNotFound
	}
	if err != nil {
		return 0, wrap("position of "+eventID, err)
	}
	return found[0], nil
}

// EventAtPosition reports which of a merchant's events has a position; "" when retention deleted it, or none ever had
// it.
func (q *Queries) EventAtPosition(ctx context.Context, merchantID string, pos int64) (eventID string, err error) {
	var ids []string
	err = q.with(ctx).Table("event_log").Where("merchant_id = ? AND pos = ?", merchantID, pos).
		Pluck("event_id", &ids).Error
	if err != nil || len(ids) == 0 {
		return "", wrap("event at position", err)
	}
	return ids[0], nil
}

const (
	// commitSlack is how much later than it was made an event may have been committed, where only its time is known.
	commitSlack = time.Minute
	// scannedEvents bounds how many events are looked at to place one.
	scannedEvents = 1000
)

// PositionAtTime is the position behind which a reader goes on that knows the time at which the last event it saw was
// made, and nothing else of it. It errs on the safe side: such a reader sees some events again.
func (q *Queries) PositionAtTime(ctx context.Context, merchantID string, at time.Time) (int64, error) {
	last, err := q.LastPosition(ctx, merchantID) // first: what comes between the two statements is then not passed over
	if err != nil {
		return 0, err
	}
	later := q.with(ctx).Table("events").Select("id").Where("merchant_id = ? AND created_at >= ?", merchantID,
		at.Add(-commitSlack)).Order("created_at, id").Limit(scannedEvents)
	return q.before(ctx, last, later)
}

// before is the position right before the first of the events that a query selects, or last when it selects none.
func (q *Queries) before(ctx context.Context, last int64, events any) (int64, error) {
	var first *int64
	err := q.with(ctx).Raw("SELECT min(pos) FROM event_log WHERE event_id IN (?)", events).Scan(&first).Error
	if err != nil || first == nil {
		return last, wrap("place of an event", err)
	}
	return min(last, *first-1), nil
}

// PositionOfMark is where a reader goes on whose cursor is older than positions: such a cursor holds the transaction
// and the sequence number of an event. Whatever that reader may not have seen comes after the place, and some that it
// has.
func (q *Queries) PositionOfMark(ctx context.Context, merchantID, xact string, seq int64) (int64, error) {
	last, err := q.LastPosition(ctx, merchantID)
	if err != nil {
		return 0, err
	}
	unseen := q.with(ctx).Table("events").Select("id").Where("merchant_id = ?", merchantID)
	if q.dialect == SQLite {
		unseen = unseen.Where("seq > ?", seq)
	} else {
		unseen = unseen.Where("(seq > ? OR xact > CAST(? AS text)::xid8)", seq, xact)
	}
	return q.before(ctx, last, unseen)
}

// array is a list of texts as the literal of a Postgres array. GORM would spread a plain slice.
type array []string

// Value gives the literal.
func (a array) Value() (driver.Value, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String(), nil
}
