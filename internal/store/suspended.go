package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// never is the sweep_after of a row that no sweep may take: what it waits for ends otherwise.
var never = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// A parked delivery is pending without a task, because there is no use in one before an hour that nobody knows yet: its
// endpoint's breaker is open, or deliveries are paused. [Store.ReleaseSuspended] lets it go.

// Deferral is a pending delivery that gives its task up. It is due at Until, and the sweeper makes it a new task then; a
// parked one is due at Until at the earliest.
type Deferral struct {
	ID         string
	Generation int
	Until      time.Time
	Suspend    bool
}

// sweepMargin keeps the sweeper from finding the task of a postponed delivery just before it is acked.
const sweepMargin = time.Second

const deferPostgres = `UPDATE deliveries d SET next_attempt_at = GREATEST(d.next_attempt_at, v.until), parked = v.park,
	sweep_after = CASE WHEN v.park THEN $5 ELSE GREATEST(d.next_attempt_at, v.until, $6) END
	FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::boolean[]) AS v (id, generation, until, park)
	WHERE d.id = v.id AND d.generation = v.generation AND d.state = 'pending'`

// Defer defers deliveries as they were read; those that moved in the meantime are left alone.
func (s *Store) Defer(ctx context.Context, ps []Deferral, now time.Time) error {
	if s.dialect == SQLite {
		return s.deferSQLite(ctx, ps, now)
	}
	ids, generations := make([]string, len(ps)), make([]int32, len(ps))
	untils, parks := make([]time.Time, len(ps)), make([]bool, len(ps))
	for i, p := range ps {
		ids[i], generations[i], untils[i], parks[i] = p.ID, int32(p.Generation), p.Until, p.Suspend
	}
	_, err := s.sql.ExecContext(ctx, deferPostgres, ids, generations, untils, parks, never, now.Add(sweepMargin))
	return wrap("postpone deliveries", err)
}

func (s *Store) deferSQLite(ctx context.Context, ps []Deferral, now time.Time) error {
	return s.InTx(ctx, func(tx *Tx) error {
		for _, p := range ps {
			sweep := later(p.Until, now.Add(sweepMargin))
			if p.Suspend {
				sweep = never
			}
			err := tx.with(ctx).Exec("UPDATE deliveries SET next_attempt_at = max(next_attempt_at, ?), parked = ?, sweep_after = max(?, next_attempt_at) WHERE id = ? AND generation = ? AND state = 'pending'",
				p.Until, p.Suspend, sweep, p.ID, p.Generation).Error
			if err != nil {
				return wrap("postpone delivery "+p.ID, err)
			}
		}
		return nil
	})
}

// suspendAll parks what waits for an endpoint, except tests and what waits with or for a batch, until at the earliest a moment.
func (q *Queries) suspendAll(ctx context.Context, endpointID string, until time.Time) error {
	greatest := "GREATEST"
	if q.dialect == SQLite {
		greatest = "max"
	}
	return wrap("park deliveries of "+endpointID, q.with(ctx).Exec("UPDATE deliveries SET parked = ?, sweep_after = ?, next_attempt_at = "+greatest+`(next_attempt_at, ?)
		WHERE endpoint_id = ? AND state = 'pending' AND event_type <> 'webhook.test' AND sign_with = '' AND NOT (`+carried+")", true, never, until, endpointID).Error)
}

// suspendedEndpoints jumps from one endpoint to the next in the index, because there may be a million rows in between.
const suspendedEndpoints = `WITH RECURSIVE p (id) AS (
	SELECT min(endpoint_id) FROM deliveries WHERE parked AND state = 'pending'
	UNION ALL SELECT (SELECT min(d.endpoint_id) FROM deliveries d WHERE d.parked AND d.state = 'pending' AND d.endpoint_id > p.id) FROM p WHERE p.id IS NOT NULL
) SELECT e.id FROM p JOIN webhook_endpoints e ON e.id = p.id JOIN merchants m ON m.id = e.merchant_id
	WHERE e.breaker_state = 'closed' AND m.deliveries_paused_at IS NULL
	AND NOT EXISTS (SELECT 1 FROM delivery_pause WHERE paused_at IS NOT NULL) LIMIT 100`

// ReleaseSuspended lets up to most deliveries of every endpoint go whose breaker is closed and whose merchant is not
// paused, the oldest first: number n of an endpoint is due delay(n) from now. The sweeper enqueues them then. It returns
// how many it let go.
func (s *Store) ReleaseSuspended(ctx context.Context, now time.Time, most int, delay func(n int) time.Duration) (int, error) {
	var endpoints []string
	if err := s.with(ctx).Raw(suspendedEndpoints).Scan(&endpoints).Error; err != nil {
		return 0, wrap("parked endpoints", err)
	}
	total := 0
	for _, id := range endpoints {
		err := s.InTx(ctx, func(tx *Tx) error {
			var rows []models.Delivery
			err := tx.with(ctx).Raw(`SELECT id, next_attempt_at FROM deliveries WHERE endpoint_id = ? AND parked AND state = 'pending'
				ORDER BY created_at, id LIMIT ?`+tx.dialect.skipLocked(), id, most).Scan(&rows).Error
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

// release gives what it lets go a new generation: the task of the old one may be about to be acked, and is not to be taken for
// a live one.
func (tx *Tx) release(ctx context.Context, rows []models.Delivery, now time.Time, delay func(n int) time.Duration) error {
	if tx.dialect == SQLite {
		for n, d := range rows {
			due := later(d.NextAttemptAt, now.Add(delay(n)))
			if err := tx.with(ctx).Exec("UPDATE deliveries SET parked = ?, generation = generation + 1, next_attempt_at = ?, sweep_after = ? WHERE id = ?", false, due, due, d.ID).Error; err != nil {
				return err
			}
		}
		return nil
	}
	ids, dues := make([]string, len(rows)), make([]time.Time, len(rows))
	for n, d := range rows {
		ids[n], dues[n] = d.ID, later(d.NextAttemptAt, now.Add(delay(n)))
	}
	_, err := tx.db.Statement.ConnPool.ExecContext(ctx, `UPDATE deliveries d SET parked = FALSE, generation = d.generation + 1, next_attempt_at = v.due, sweep_after = v.due
		FROM unnest($1::text[], $2::timestamptz[]) AS v (id, due) WHERE d.id = v.id`, ids, dues)
	return err
}
