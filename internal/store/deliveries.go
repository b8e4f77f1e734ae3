package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ctrip-gateway/ctrip/models"
)

// Waiting is a delivery as a worker needs it for one attempt: the row, the event's bytes, and what can stop it.
type Waiting struct {
	models.Delivery
	IsBatch    bool // a batch delivery: EventID is then the batch's id, and Body its body
	Body       []byte
	Positions  string    // of the event, of a batch those of its events, as the header tells them
	OccurredAt time.Time // when the event was created, of a batch the first one
	// Of the endpoint, as it is now.
	EndpointVersion int
	EndpointStatus  models.EndpointStatus
	EndpointDeleted bool
	EndpointMode    models.Mode
	NotBefore       *time.Time
	Breaker         string // its state
	BreakerUntil    *time.Time
	BreakerProbe    string // the delivery that may pass a breaker that is half open
	EndpointSlow    bool
}

const waitingColumns = `SELECT d.id, COALESCE(d.event_id, d.batch_id, ''), d.event_id IS NULL, d.endpoint_id, d.merchant_id, d.payment_id, d.event_type, d.state, d.generation,
	d.attempts, d.attempt_base, d.max_attempts, d.next_attempt_at, d.dead_at, COALESCE(e.body, b.body), d.created_at, e.created_at,
	w.version, w.status, w.deleted_at, w.not_before, d.parked, d.slow, w.breaker_state, w.breaker_open_until, w.breaker_probe, w.slow, d.sign_with, w.mode, d.test,
	COALESCE(CAST(l.pos AS TEXT), b.positions, ''), COALESCE(e.traceparent, b.traceparent, '')
	FROM deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id LEFT JOIN events e ON e.id = d.event_id
	LEFT JOIN batches b ON b.id = d.batch_id AND d.event_id IS NULL LEFT JOIN event_log l ON l.event_id = d.event_id WHERE d.id `

// LoadWaiting reads deliveries for an attempt in one statement; ids that do not exist are not in the answer.
func (s *Store) LoadWaiting(ctx context.Context, ids []string) (map[string]*Waiting, error) {
	if s.dialect == Postgres {
		found, err := s.loadWaitingPostgres(ctx, ids)
		return found, wrap("load deliveries", err)
	}
	query, args := s.in(waitingColumns, ids)
	rows, err := s.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap("load deliveries", err)
	}
	defer rows.Close()
	found := make(map[string]*Waiting, len(ids))
	for rows.Next() {
		var w Waiting
		var deleted, occurred *time.Time
		err := rows.Scan(&w.ID, &w.EventID, &w.IsBatch, &w.EndpointID, &w.MerchantID, &w.PaymentID, &w.EventType, &w.State,
			&w.Generation,
			&w.Attempts, &w.AttemptBase, &w.MaxAttempts, &w.NextAttemptAt, &w.DeadAt, &w.Body, &w.OccurredAt, &occurred,
			&w.EndpointVersion, &w.EndpointStatus, &deleted, &w.NotBefore, &w.Suspended, &w.Slow, &w.Breaker, &w.BreakerUntil,
			&w.BreakerProbe,
			&w.EndpointSlow, &w.SignWith, &w.EndpointMode, &w.Test, &w.Positions, &w.Traceparent)
		if err != nil {
			return nil, wrap("load deliveries", err)
		}
		w.EndpointDeleted = deleted != nil
		if occurred != nil {
			w.OccurredAt = *occurred
		}
		found[w.ID] = &w
	}
	return found, wrap("load deliveries", rows.Err())
}

// loadWaitingPostgres goes past database/sql, which would copy every value twice, because this is half of what a
// delivery costs us.
func (s *Store) loadWaitingPostgres(ctx context.Context, ids []string) (map[string]*Waiting, error) {
	conn, err := s.sql.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	found := make(map[string]*Waiting, len(ids))
	read := func(driver any) error {
		rows, err := driver.(repeating).Conn.Conn().Query(ctx, waitingColumns+"= ANY($1)", ids)
		if err != nil {
			return err
		}
		defer rows.Close()
		var w Waiting
		var payment pgtype.Text
		var state, status, mode string
		var test pgtype.Bool
		var generation, attempts, base, most, version int64
		var dead, deleted, gate, until, occurred pgtype.Timestamptz
		into := []any{&w.ID, &w.EventID, &w.IsBatch, &w.EndpointID, &w.MerchantID, &payment, &w.EventType, &state,
			&generation, &attempts, &base,
			&most, &w.NextAttemptAt, &dead, &w.Body, &w.OccurredAt, &occurred, &version, &status, &deleted, &gate,
			&w.Suspended, &w.Slow, &w.Breaker, &until, &w.BreakerProbe, &w.EndpointSlow, &w.SignWith, &mode, &test,
			&w.Positions, &w.Traceparent}
		for rows.Next() {
			w.Body = nil // the one before belongs to its row
			if err := rows.Scan(into...); err != nil {
				return err
			}
			row := w
			if payment.Valid {
				id := payment.String
				row.PaymentID = &id
			}
			row.EndpointMode = models.Mode(mode)
			if test.Valid {
				row.Test = new(test.Bool)
			}
			row.State, row.EndpointStatus = models.DeliveryState(state), models.EndpointStatus(status)
			row.Generation, row.Attempts, row.AttemptBase, row.MaxAttempts, row.EndpointVersion = int(generation), int(attempts),
				int(base), int(most), int(version)
			row.DeadAt, row.NotBefore, row.BreakerUntil, row.EndpointDeleted = moment(dead), moment(gate), moment(until),
				deleted.Valid
			if occurred.Valid {
				row.OccurredAt = occurred.Time
			}
			found[row.ID] = &row
		}
		return rows.Err()
	}
	if err = conn.Raw(read); isStale(err) {
		err = conn.Raw(read)
	}
	return found, err
}

func moment(t pgtype.Timestamptz) *time.Time {
	if !t.Valid {
		return nil
	}
	at := t.Time.UTC()
	return &at
}

// in completes a statement that ends in a column with the list of ids.
func (s *Store) in(query string, ids []string) (string, []any) {
	if s.dialect == Postgres {
		return query + "= ANY($1)", []any{ids}
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return query + "IN (?" + strings.Repeat(", ?", len(ids)-1) + ")", args
}

// Delivery reads one delivery of a merchant.
func (q *Queries) Delivery(ctx context.Context, merchantID, id string) (models.Delivery, error) {
	var d models.Delivery
	err := q.with(ctx).Where("merchant_id = ? AND id = ? AND event_id IS NOT NULL", merchantID, id).Take(&d).Error
	return d, one("delivery "+id, err)
}

// LockDelivery reads one delivery and locks its row until the transaction ends. An empty merchantID is any merchant,
// and finds batch deliveries too.
func (tx *Tx) LockDelivery(ctx context.Context, merchantID, id string) (models.Delivery, error) {
	var rows []models.Delivery
	err := tx.with(ctx).Raw(
		"SELECT "+tx.columns(&models.Delivery{}, "")+" FROM deliveries WHERE id = ? AND (merchant_id = ? AND event_id IS NOT NULL OR ? = '')"+
			tx.dialect.forUpdate(), id, merchantID, merchantID).
		Scan(&rows).Error
	if err != nil {
		return models.Delivery{}, wrap("lock delivery "+id, err)
	}
	if len(rows) == 0 {
		return models.Delivery{}, models.ErrNotFound
	}
	return rows[0], nil
}

// DeliveryFilter narrows a list of deliveries; empty fields do not.
type DeliveryFilter struct {
	EndpointID string
	EventID    string
	EventType  string
	State      string
	Test       bool // only those that a test key sees
	Created    Range
}

// ListDeliveries reads a page of a merchant's deliveries.
func (q *Queries) ListDeliveries(ctx context.Context, merchantID string, f DeliveryFilter,
	p Page) ([]models.Delivery, error) {
	db := f.Created.narrow(p.apply(q.with(ctx).Where("merchant_id = ? AND event_id IS NOT NULL", merchantID)))
	db = equal(db, "endpoint_id", f.EndpointID, "event_type", f.EventType, "state", f.State)
	if f.EventID != "" { // in the words of the two indexes that lead from an event to its deliveries
		db = db.Where("(event_id = ? AND replay_of IS NULL OR event_id = ? AND replay_of IS NOT NULL)", f.EventID, f.EventID)
	}
	switch models.DeliveryState(f.State) { // in those of the indexes of rare states, of which the parameter says nothing
	case models.DeliveryPending, models.DeliveryHeld:
		db = db.Where("state IN ('pending', 'held') AND endpoint_id IN (SELECT id FROM webhook_endpoints WHERE merchant_id "+
			"= ?)", merchantID)
	case models.DeliveryDead, models.DeliveryCanceled:
		db = db.Where("state IN ('dead', 'canceled')")
	}
	if f.Test {
		db = db.Where(testShown("deliveries"))
	}
	var rows []models.Delivery
	err := db.Find(&rows).Error
	return rows, wrap("list deliveries", err)
}

// DueNow makes a pending delivery due at now under a new generation; after the commit it reaches the hook of
// [Store.OnCommit].
func (tx *Tx) DueNow(ctx context.Context, d models.Delivery, now time.Time,
	sweep SweepDelays) (models.Delivery, error) {
	d.Generation++
	d.NextAttemptAt, d.SweepAfter, d.UpdatedAt, d.Suspended = now, now.Add(sweep.Enqueued), now, false
	err := tx.with(ctx).Exec(`UPDATE deliveries SET generation = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ?, parked = ?,
		batch_id = NULLIF(batch_id, endpoint_id) WHERE id = ? AND state = 'pending'`,
		d.Generation, d.NextAttemptAt, d.SweepAfter, d.UpdatedAt, d.Suspended, d.ID).Error
	if err != nil {
		return d, wrap("make due "+d.ID, err)
	}
	tx.enqueue(d)
	return d, nil
}

// SetWaiting moves one pending delivery of a generation to held or canceled, when its endpoint turns out to be paused,
// disabled or deleted, and with a batch delivery its members.
func (q *Queries) SetWaiting(ctx context.Context, id string, generation int, to models.DeliveryState,
	now time.Time) error {
	err := q.with(ctx).Exec(
		"UPDATE deliveries SET state = ?, updated_at = ? WHERE id = ? AND generation = ? AND state = 'pending'", to,
		now, id, generation).Error
	if err == nil {
		err = q.with(ctx).Exec("UPDATE deliveries SET state = ?, updated_at = ? WHERE state = 'pending' AND "+waitsInBatch+` AND batch_id =
			(SELECT c.batch_id FROM deliveries c WHERE c.id = ? AND c.event_id IS NULL AND c.state = ? AND c.generation = ?)`, to, now, id, to, generation).Error
	}
	return wrap("set delivery "+id+" "+string(to), err)
}

// AttemptsMade sums the attempts of every row of an event and an endpoint: where webhook-attempt goes on. The
// first row has a base of its own when it went in a batch before it went alone.
func (q *Queries) AttemptsMade(ctx context.Context, eventID, endpointID string) (int, error) {
	var n int
	err := q.with(ctx).Raw(
		"SELECT COALESCE(SUM(attempts + CASE WHEN replay_of IS NULL THEN attempt_base ELSE 0 END), 0) FROM deliveries WHERE event_id = ? AND endpoint_id = ?", eventID, endpointID).Scan(&n).Error
	return n, wrap("attempts made", err)
}

// PendingReplay reads the pending replay of a delivery, if there is one.
func (q *Queries) PendingReplay(ctx context.Context, d models.Delivery) (models.Delivery, error) {
	var r models.Delivery
	err := q.with(ctx).Where("event_id = ? AND endpoint_id = ? AND replay_of = ? AND state = 'pending'", d.EventID,
		d.EndpointID, d.ID).Take(&r).Error
	return r, one("pending replay of "+d.ID, err)
}

// scanRows reads every row of a raw query into T by f.
func scanRows[T any](rows *sql.Rows, err error, f func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := f(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// Attempted returns those of some deliveries for which a request was made.
func (q *Queries) Attempted(ctx context.Context, ids []string) ([]string, error) {
	var found []string
	err := q.with(ctx).Model(&models.Delivery{}).Where("id IN ? AND attempts > 0", ids).Pluck("id", &found).Error
	return found, wrap("attempted", err)
}
