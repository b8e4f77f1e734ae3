package store

import (
	"context"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// WindowBucket is what attempts on an endpoint came to within the bucket of time that begins at At.
type WindowBucket struct {
	At         time.Time
	OK, Failed int
}

// LockHealth reads an endpoint and locks its row against other judges of its health, but not against those who write
// deliveries to it. A deleted one is [models.ErrNotFound].
func (tx *Tx) LockHealth(ctx context.Context, id string) (models.Endpoint, error) {
	lock := ""
	if tx.dialect == Postgres {
		lock = " FOR NO KEY UPDATE"
	}
	var rows []models.Endpoint
	if err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Endpoint{}, "")+" FROM webhook_endpoints WHERE id = ? AND deleted_at IS NULL"+lock,
		id).Scan(&rows).Error; err != nil {
		return models.Endpoint{}, wrap("lock health of "+id, err)
	}
	if len(rows) == 0 {
		return models.Endpoint{}, models.ErrNotFound
	}
	return rows[0], nil
}

// AddToWindow adds to the buckets of an endpoint and returns their sum since a moment.
func (tx *Tx) AddToWindow(ctx context.Context, id string, buckets []WindowBucket,
	since time.Time) (WindowBucket, error) {
	for _, t := range buckets {
		err := tx.with(ctx).Exec(`INSERT INTO endpoint_windows (endpoint_id, bucket, ok, failed) VALUES (?, ?, ?, ?)
			ON CONFLICT (endpoint_id, bucket) DO UPDATE SET ok = endpoint_windows.ok + excluded.ok, failed = endpoint_windows.failed + excluded.failed`,
			id, t.At, t.OK, t.Failed).Error
		if err != nil {
			return WindowBucket{}, wrap("add tallies of "+id, err)
		}
	}
	var sum WindowBucket
	err := tx.with(ctx).Raw(
		"SELECT COALESCE(SUM(ok), 0) AS ok, COALESCE(SUM(failed), 0) AS failed FROM endpoint_windows WHERE endpoint_id = ? AND bucket > ?", id, since).
		Row().Scan(&sum.OK, &sum.Failed)
	return sum, wrap("sum tallies of "+id, err)
}

// SaveHealth writes the health of an endpoint. Its version stays: settings did not change.
func (tx *Tx) SaveHealth(ctx context.Context, e models.Endpoint) error {
	return wrap("save health of "+e.ID, tx.with(ctx).Model(&models.Endpoint{}).Where("id = ?", e.ID).
		Select("BreakerState", "BreakerOpenUntil", "BreakerTrips", "BreakerProbe", "Timeouts", "Failures", "Slow",
			"LastSuccessAt", "FailingSince").
		UpdateColumns(&e).Error)
}

// ClearWindow forgets what an endpoint came to, when its breaker closes.
func (tx *Tx) ClearWindow(ctx context.Context, id string) error {
	return wrap("drop tallies of "+id, tx.with(ctx).Exec("DELETE FROM endpoint_windows WHERE endpoint_id = ?", id).Error)
}

// TouchSuccess notes that endpoints that are well had a success.
func (q *Queries) TouchSuccess(ctx context.Context, ids []string, at time.Time) error {
	for some := range slices.Chunk(ids, chunk) {
		err := q.with(ctx).Model(&models.Endpoint{}).Where("id IN ? AND deleted_at IS NULL", some).
			UpdateColumns(map[string]any{"last_success_at": at, "failures": 0, "timeouts": 0, "failing_since": nil}).Error
		if err != nil {
			return wrap("touch endpoints", err)
		}
	}
	return nil
}

// ClaimProbes finds endpoints whose breaker may let one delivery through: it was open for long enough, or the last
// probe was never answered. The oldest that waits becomes the probe, due now under a new generation; until the end of
// its lease no other does.
func (s *Store) ClaimProbes(ctx context.Context, now time.Time, lease time.Duration,
	sweep SweepDelays) ([]models.Delivery, error) {
	var probes []models.Delivery
	err := s.InTx(ctx, func(tx *Tx) error {
		probes = nil
		var endpoints []string
		err := tx.with(ctx).Raw(`SELECT e.id FROM webhook_endpoints e JOIN merchants m ON m.id = e.merchant_id
			WHERE e.breaker_state <> 'closed' AND e.breaker_open_until <= ? AND e.status = 'enabled' AND e.deleted_at IS NULL
			AND m.deliveries_paused_at IS NULL AND NOT EXISTS (SELECT 1 FROM delivery_pause WHERE paused_at IS NOT NULL)
			AND EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' AND NOT (`+waitsInBatch+`))
			ORDER BY e.breaker_open_until LIMIT 100`+tx.skipHealth(), now).Scan(&endpoints).Error
		if err != nil {
			return err
		}
		for _, id := range endpoints {
			d, err := tx.probe(ctx, id, now, now.Add(lease), sweep)
			if err != nil {
				return err
			}
			if d != nil {
				probes = append(probes, *d)
			}
		}
		return nil
	})
	return probes, wrap("claim probes", err)
}

func (tx *Tx) skipHealth() string {
	if tx.dialect == SQLite {
		return ""
	}
	return " FOR NO KEY UPDATE OF e SKIP LOCKED"
}

func (tx *Tx) probe(ctx context.Context, endpointID string, now, until time.Time,
	sweep SweepDelays) (*models.Delivery, error) {
	var oldest []models.Delivery
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Delivery{}, "")+" FROM deliveries WHERE endpoint_id = ? AND state = 'pending' AND NOT ("+waitsInBatch+
		") ORDER BY created_at, id LIMIT 1"+tx.dialect.skipLocked(), endpointID).
		Scan(&oldest).Error
	if err != nil || len(oldest) == 0 {
		return nil, err
	}
	d := oldest[0]
	d.Generation, d.Suspended, d.NextAttemptAt, d.SweepAfter = d.Generation+1, false, now, now.Add(sweep.Enqueued)
	err = tx.with(ctx).Exec(
		"UPDATE deliveries SET generation = ?, parked = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ? WHERE id = ?",
		d.Generation, false, d.NextAttemptAt, d.SweepAfter, now, d.ID).Error
	if err != nil {
		return nil, err
	}
	return &d,
		tx.with(ctx).Exec(
			"UPDATE webhook_endpoints SET breaker_state = 'half_open', breaker_open_until = ?, breaker_probe = ? WHERE id = ?",
			until, d.ID, endpointID).Error
}

// OpenBreakers counts the endpoints whose breaker is not closed.
func (q *Queries) OpenBreakers(ctx context.Context) (int64, error) {
	var n int64
	err := q.with(ctx).Model(&models.Endpoint{}).Where("breaker_state <> 'closed' AND deleted_at IS NULL").Count(&n).Error
	return n, wrap("open breakers", err)
}

// LeaseRate gives the next span of an endpoint's requests to one worker, and returns when it begins: now, or when those
// end that were given out before.
func (s *Store) LeaseRate(ctx context.Context, endpointID string, span time.Duration,
	now time.Time) (time.Time, error) {
	var begin time.Time
	if s.dialect == Postgres {
		var until time.Time
		err := s.sql.QueryRowContext(ctx, `INSERT INTO endpoint_rates (endpoint_id, given_until) VALUES ($1, $2::timestamptz + make_interval(secs => $3))
			ON CONFLICT (endpoint_id) DO UPDATE SET given_until = GREATEST(endpoint_rates.given_until, $2::timestamptz) + make_interval(secs => $3)
			RETURNING given_until`, endpointID, now, span.Seconds()).Scan(&until)
		return until.Add(-span), wrap("lease rate of "+endpointID, err)
	}
	err := s.InTx(ctx, func(tx *Tx) error {
		var given []time.Time
		if err := tx.with(ctx).Raw("SELECT given_until FROM endpoint_rates WHERE endpoint_id = ?",
			endpointID).Scan(&given).Error; err != nil {
			return err
		}
		begin = now
		if len(given) > 0 {
			begin = later(given[0], now)
		}
		return tx.with(ctx).Exec(
			"INSERT INTO endpoint_rates (endpoint_id, given_until) VALUES (?, ?) ON CONFLICT (endpoint_id) DO UPDATE SET given_until = excluded.given_until",
			endpointID, begin.Add(span)).Error
	})
	return begin, wrap("lease rate of "+endpointID, err)
}
