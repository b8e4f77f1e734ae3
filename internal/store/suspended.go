package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// NoSweep is the sweep_after of a row that no sweep may take, because something else ends what it waits for.
var NoSweep = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// A suspended delivery is pending without a task, because nobody knows yet when it can be sent: its endpoint's breaker
// is open, or deliveries are paused. [Store.ReleaseSuspended] makes it due again.

// Deferral is a pending delivery that gives its task up. It is due at Until, and the sweeper makes it a new task then;
// a suspended one is due at Until at the earliest.
type Deferral struct {
	ID         string
	Generation int
	Until      time.Time
	Suspend    bool
}

const deferPostgres = `UPDATE deliveries d SET next_attempt_at = GREATEST(d.next_attempt_at, v.until), parked = v.suspend,
	sweep_after = CASE WHEN v.suspend THEN $5 ELSE GREATEST(d.next_attempt_at, v.until, $6) END
	FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::boolean[]) AS v (id, generation, until, suspend)
	WHERE d.id = v.id AND d.generation = v.generation AND d.state = 'pending'`

// Defer defers deliveries as they were read; those that somebody changed in the meantime are left alone.
func (s *Store) Defer(ctx context.Context, ds []Deferral, now time.Time, sweep SweepDelays) error {
	if s.dialect == SQLite {
		return s.deferSQLite(ctx, ds, now.Add(sweep.Deferred))
	}
	ids, generations := make([]string, len(ds)), make([]int32, len(ds))
	untils, suspends := make([]time.Time, len(ds)), make([]bool, len(ds))
	for i, d := range ds {
		ids[i], generations[i], untils[i], suspends[i] = d.ID, int32(d.Generation), d.Until, d.Suspend
	}
	_, err := s.sql.ExecContext(ctx, deferPostgres, ids, generations, untils, suspends, NoSweep, now.Add(sweep.Deferred))
	return wrap("defer deliveries", err)
}

func (s *Store) deferSQLite(ctx context.Context, ds []Deferral, earliest time.Time) error {
	return s.InTx(ctx, func(tx *Tx) error {
		for _, d := range ds {
			sweepAfter := later(d.Until, earliest)
			if d.Suspend {
				sweepAfter = NoSweep
			}
			err := tx.with(ctx).Exec(`UPDATE deliveries SET next_attempt_at = max(next_attempt_at, ?), parked = ?,
				sweep_after = max(?, next_attempt_at) WHERE id = ? AND generation = ? AND state = 'pending'`,
				d.Until, d.Suspend, sweepAfter, d.ID, d.Generation).Error
			if err != nil {
				return wrap("defer delivery "+d.ID, err)
			}
		}
		return nil
	})
}

// SuspendDeliveries suspends what is pending for an endpoint, except tests and what waits for a batch or with one.
// Nothing of it is due before until.
func (q *Queries) SuspendDeliveries(ctx context.Context, endpointID string, until time.Time) error {
	greatest := "GREATEST"
	if q.dialect == SQLite {
		greatest = "max"
	}
	err := q.with(ctx).Exec("UPDATE deliveries SET parked = ?, sweep_after = ?, next_attempt_at = "+greatest+`(next_attempt_at, ?)
		WHERE endpoint_id = ? AND state = 'pending' AND event_type <> 'webhook.test' AND sign_with = '' AND NOT (`+waitsInBatch+")",
		true, NoSweep, until, endpointID).Error
	return wrap("suspend deliveries of "+endpointID, err)
}

// suspendedEndpoints jumps from one endpoint to the next in the index, because there may be a million rows in between.
const suspendedEndpoints = `WITH RECURSIVE p (id) AS (
	SELECT min(endpoint_id) FROM deliveries WHERE parked AND state = 'pending'
	UNION ALL SELECT (SELECT min(d.endpoint_id) FROM deliveries d WHERE d.parked AND d.state = 'pending' AND d.endpoint_id > p.id) FROM p WHERE p.id IS NOT NULL
) SELECT e.id FROM p JOIN webhook_endpoints e ON e.id = p.id JOIN merchants m ON m.id = e.merchant_id
	WHERE e.breaker_state = 'closed' AND m.deliveries_paused_at IS NULL
	AND NOT EXISTS (SELECT 1 FROM delivery_pause WHERE paused_at IS NOT NULL) LIMIT 100`

// ReleaseSuspended releases up to limit deliveries of every endpoint whose breaker is closed and whose merchant is not
// paused, the oldest first: number n of an endpoint is due delay(n) from now. The sweeper enqueues them then. It
// returns how many it released.
func (s *Store) ReleaseSuspended(ctx context.Context, now time.Time, limit int,
	delay func(n int) time.Duration) (int, error) {
	var endpoints []string
	if err := s.with(ctx).Raw(suspendedEndpoints).Scan(&endpoints).Error; err != nil {
		return 0, wrap("endpoints with suspended deliveries", err)
	}
	total := 0
	for _, id := range endpoints {
		err := s.InTx(ctx, func(tx *Tx) error {
			var rows []models.Delivery
			err := tx.with(ctx).Raw(`SELECT id, next_attempt_at FROM deliveries WHERE endpoint_id = ? AND parked AND state = 'pending'
				ORDER BY created_at, id LIMIT ?`+tx.dialect.skipLocked(), id, limit).Scan(&rows).Error
			if err != nil || len(rows) == 0 {
				return err
			}
			total += len(rows)
			return tx.release(ctx, rows, now, delay)
		})
		if err != nil {
			return total, wrap("release deliveries of "+id, err)
		}
	}
	return total, nil
}

// release gives every row a new generation: the task of the old one may be about to be acked, and must not count as a
// live one.
func (tx *Tx) release(ctx context.Context, rows []models.Delivery, now time.Time,
	delay func(n int) time.Duration) error {
	if tx.dialect == SQLite {
		for n, d := range rows {
			due := later(d.NextAttemptAt, now.Add(delay(n)))
			err := tx.with(ctx).Exec(
				"UPDATE deliveries SET parked = ?, generation = generation + 1, next_attempt_at = ?, sweep_after = ? WHERE id = ?",
				false, due, due, d.ID).Error
			if err != nil {
				return err
			}
		}
		return nil
	}
	ids, dues := make([]string, len(rows)), make([]time.Time, len(rows))
	for n, d := range rows {
		ids[n], dues[n] = d.ID, later(d.NextAttemptAt, now.Add(delay(n)))
	}
	_, err := tx.db.Statement.ConnPool.ExecContext(ctx, `UPDATE deliveries d
		SET parked = FALSE, generation = d.generation + 1, next_attempt_at = v.due, sweep_after = v.due
		FROM unnest($1::text[], $2::timestamptz[]) AS v (id, due) WHERE d.id = v.id`, ids, dues)
	return err
}
