package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// SweepDelays say for how long after it is due the sweeper leaves a delivery alone, by what should happen to it until
// then. The values are those of internal/outbox.
type SweepDelays struct {
	Enqueued time.Duration // a task that was just put into the queue
	Retried  time.Duration // a task that the queue keeps for another attempt
	Batched  time.Duration // a member of a batch, for whose batch delivery there is a task
	Resumed  time.Duration // a delivery that was held and waits for a batch again
	Deferred time.Duration // a delivery that gives its task up: from now, until that is acked
	// Least and Most bound how long a delivery is left alone that the sweeper has looked at: as long as it has been due.
	Least, Most time.Duration
}

const queued = "d.id, COALESCE(d.event_id, ''), d.endpoint_id, d.merchant_id, d.event_type, d.state, d.generation, " +
	"d.attempts, d.slow, d.next_attempt_at, d.created_at"

func scanQueued(rows *sql.Rows) (models.Delivery, error) {
	var d models.Delivery
	err := rows.Scan(&d.ID, &d.EventID, &d.EndpointID, &d.MerchantID, &d.EventType, &d.State, &d.Generation, &d.Attempts,
		&d.Slow, &d.NextAttemptAt, &d.CreatedAt)
	return d, err
}

// ClaimSweep takes up to limit pending deliveries whose time for the sweeper has come, the oldest first, and moves that
// time on, so that a live task costs nothing more. Rows that another sweeper or a commit holds are passed over.
func (s *Store) ClaimSweep(ctx context.Context, now time.Time, limit int,
	sweep SweepDelays) ([]models.Delivery, error) {
	if s.dialect == SQLite {
		return s.claimSweepSQLite(ctx, now, limit, sweep)
	}
	rows, err := s.sql.QueryContext(ctx, `UPDATE deliveries d
		SET sweep_after = GREATEST($1, d.next_attempt_at) + CASE WHEN `+isMember("d")+` THEN make_interval(secs => $5)
			ELSE LEAST(GREATEST($1 - d.next_attempt_at, make_interval(secs => $3)), make_interval(secs => $4)) END
		FROM (SELECT id FROM deliveries WHERE state = 'pending' AND sweep_after <= $1 ORDER BY sweep_after LIMIT $2 FOR UPDATE SKIP LOCKED) due
		WHERE d.id = due.id RETURNING `+queued, now, limit, sweep.Least.Seconds(), sweep.Most.Seconds(), sweep.Batched.Seconds())
	claimed, err := scanRows(rows, err, scanQueued)
	slices.SortFunc(claimed, byAge)
	return claimed, wrap("claim sweep", err)
}

func (s *Store) claimSweepSQLite(ctx context.Context, now time.Time, limit int,
	sweep SweepDelays) ([]models.Delivery, error) {
	var claimed []models.Delivery
	err := s.InTx(ctx, func(tx *Tx) error {
		claimed = nil
		if err := tx.with(ctx).Where("state = 'pending' AND sweep_after <= ?",
			now).Order("sweep_after").Limit(limit).Find(&claimed).Error; err != nil {
			return err
		}
		for _, d := range claimed {
			next := later(now, d.NextAttemptAt).Add(min(max(now.Sub(d.NextAttemptAt), sweep.Least), sweep.Most))
			if d.InBatch() {
				next = later(now, d.NextAttemptAt).Add(sweep.Batched)
			}
			if err := tx.with(ctx).Exec("UPDATE deliveries SET sweep_after = ? WHERE id = ?", next, d.ID).Error; err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(claimed, byAge)
	return claimed, wrap("claim sweep", err)
}

func byAge(a, b models.Delivery) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// WalkPending reads up to limit pending deliveries in a fixed order, after the one given; the zero Delivery is the
// start. It is how everything that has a task is looked at after Redis was lost.
func (q *Queries) WalkPending(ctx context.Context, after models.Delivery, limit int) ([]models.Delivery, error) {
	var rows []models.Delivery
	err := q.with(ctx).Where("state = 'pending' AND NOT parked AND NOT ("+waitsInBatch+
		") AND (endpoint_id, created_at, id) > (?, ?, ?)", after.EndpointID, after.CreatedAt, after.ID).
		Order("endpoint_id, created_at, id").Limit(limit).Find(&rows).Error
	return rows, wrap("walk pending", err)
}

// PendingByID reads those of the deliveries that are pending.
func (q *Queries) PendingByID(ctx context.Context, ids []string) ([]models.Delivery, error) {
	var rows []models.Delivery
	for some := range slices.Chunk(ids, chunk) {
		var part []models.Delivery
		if err := q.with(ctx).Where("id IN ? AND state = 'pending'",
			some).Order("created_at, id").Find(&part).Error; err != nil {
			return nil, wrap("pending deliveries", err)
		}
		rows = append(rows, part...)
	}
	return rows, nil
}

// BumpGeneration gives pending deliveries, as they were read, a new generation under which they can be enqueued again
// whatever became of the old task. Rows that moved in the meantime are left out of the answer, and so are the members
// of a batch as long as its batch delivery waits; nobody puts the others into a batch any more.
func (s *Store) BumpGeneration(ctx context.Context, ds []models.Delivery, now time.Time,
	sweep SweepDelays) ([]models.Delivery, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	ds = slices.SortedFunc(slices.Values(ds), func(a, b models.Delivery) int { return strings.Compare(a.ID, b.ID) })
	if s.dialect == SQLite {
		return s.bumpSQLite(ctx, ds, now, sweep)
	}
	ids, generations := make([]string, len(ds)), make([]int32, len(ds))
	for i, d := range ds {
		ids[i], generations[i] = d.ID, int32(d.Generation)
	}
	rows, err := s.sql.QueryContext(ctx, `UPDATE deliveries d
		SET generation = d.generation + 1, slow = w.slow, batch_id = NULLIF(d.batch_id, d.endpoint_id), sweep_after = GREATEST($3, d.next_attempt_at) + make_interval(secs => $4), updated_at = $3
		FROM unnest($1::text[], $2::int[]) AS v (id, generation), webhook_endpoints w
		WHERE d.id = v.id AND w.id = d.endpoint_id AND d.generation = v.generation AND d.state = 'pending' AND `+mayHaveTask("d")+` RETURNING `+queued, ids, generations, now, sweep.Enqueued.Seconds())
	bumped, err := scanRows(rows, err, scanQueued)
	slices.SortFunc(bumped, byAge)
	return bumped, wrap("bump generation", err)
}

func (s *Store) bumpSQLite(ctx context.Context, ds []models.Delivery, now time.Time,
	sweep SweepDelays) ([]models.Delivery, error) {
	var bumped []models.Delivery
	err := s.InTx(ctx, func(tx *Tx) error {
		bumped = nil
		for _, d := range ds {
			res := tx.with(ctx).Exec(`UPDATE deliveries SET generation = generation + 1, slow = (SELECT w.slow FROM webhook_endpoints w WHERE w.id = endpoint_id),
				batch_id = NULLIF(batch_id, endpoint_id), sweep_after = ?, updated_at = ?
				WHERE id = ? AND generation = ? AND state = 'pending' AND `+mayHaveTask("deliveries"),
				later(now, d.NextAttemptAt).Add(sweep.Enqueued), now, d.ID, d.Generation)
			if res.Error != nil {
				return res.Error
			}
			if res.RowsAffected == 1 {
				if err := tx.with(ctx).Where("id = ?", d.ID).Take(&d).Error; err != nil {
					return err
				}
				bumped = append(bumped, d)
			}
		}
		return nil
	})
	slices.SortFunc(bumped, byAge)
	return bumped, wrap("bump generation", err)
}

// SweepAt lets the sweeper look at deliveries again at a moment of the caller's choice, when enqueueing them failed.
func (q *Queries) SweepAt(ctx context.Context, ids []string, at time.Time) error {
	for some := range slices.Chunk(ids, chunk) {
		if err := q.with(ctx).Exec("UPDATE deliveries SET sweep_after = ? WHERE id IN ? AND state = 'pending'", at,
			some).Error; err != nil {
			return wrap("sweep again", err)
		}
	}
	return nil
}

// OldestDue is since when the longest waiting of the deliveries is due that the sweeper would take next; the zero time
// when none is due.
func (q *Queries) OldestDue(ctx context.Context, now time.Time) (time.Time, error) {
	var due []time.Time
	next := q.with(ctx).Model(&models.Delivery{}).Select("next_attempt_at").Where("state = 'pending'").
		Order("sweep_after").Limit(1000)
	err := q.with(ctx).Table("(?) AS waiting", next).Where("next_attempt_at <= ?", now).
		Order("next_attempt_at").Limit(1).Pluck("next_attempt_at", &due).Error
	if err != nil || len(due) == 0 {
		return time.Time{}, wrap("oldest due", err)
	}
	return due[0].UTC(), nil
}

// Unarchived reads dead deliveries that died before a moment and are not known to be in Asynq's archive.
func (q *Queries) Unarchived(ctx context.Context, before time.Time, limit int) ([]models.Delivery, error) {
	var rows []models.Delivery
	err := q.with(ctx).Where("state = 'dead' AND archived_at IS NULL AND dead_at <= ?",
		before).Order("dead_at").Limit(limit).Find(&rows).Error
	return rows, wrap("unarchived deliveries", err)
}

// MarkArchived notes that the tasks of dead deliveries are in Asynq's archive.
func (q *Queries) MarkArchived(ctx context.Context, ids []string, at time.Time) error {
	for some := range slices.Chunk(ids, chunk) {
		if err := q.with(ctx).Exec("UPDATE deliveries SET archived_at = ? WHERE id IN ? AND state = 'dead'", at,
			some).Error; err != nil {
			return wrap("mark archived", err)
		}
	}
	return nil
}

type redisIncarnation struct {
	ID          int    `gorm:"primaryKey"`
	Incarnation string `gorm:"column:epoch"`
	SeenAt      time.Time
}

func (redisIncarnation) TableName() string { return "queue_epoch" }

// RedisIncarnation reads which Redis the pending deliveries were last enqueued in; "" before the first.
func (q *Queries) RedisIncarnation(ctx context.Context) (string, error) {
	var e redisIncarnation
	err := q.with(ctx).Where("id = 1").Take(&e).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return "", nil
	}
	return e.Incarnation, wrap("redis incarnation", err)
}

// SetRedisIncarnation notes that everything pending was enqueued in this incarnation of Redis.
func (q *Queries) SetRedisIncarnation(ctx context.Context, incarnation string, now time.Time) error {
	return wrap("set redis incarnation", q.with(ctx).Exec(`INSERT INTO queue_epoch (id, epoch, seen_at) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, seen_at = excluded.seen_at`, incarnation, now).Error)
}
