package store

import (
	"context"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// A delivery to an endpoint that asked for batches is written with its endpoint in batch_id: it waits for its batch. A
// batch is a row of batches and a batch delivery, which has no event and alone has a task; batch_id of the batch
// delivery and of the members is then the batch's. Members stay pending, at generation 1, until the verdict on the
// batch delivery changes them with it. When they have to be sent alone they get a new generation, and batch_id tells
// only where they were.

// waitsInBatch is the condition of a row that has no task because of batches: it waits for one, or it is a member of
// one.
const waitsInBatch = "batch_id IS NOT NULL AND event_id IS NOT NULL AND generation = 1"

// isMember is the condition of a row that is a member of a batch, of the table or alias d: [models.Delivery.InBatch].
func isMember(d string) string {
	return "(" + d + ".batch_id <> " + d + ".endpoint_id AND " + d + ".event_id IS NOT NULL AND " + d + ".generation = 1)"
}

// mayHaveTask is the condition of a row that may have a task of its own: it is in no batch, or the batch delivery has
// come to an end without it. It asks for the end, not for a batch delivery that waits, because an UPDATE that waited
// for the transaction that formed the batch sees the new batch_id but not yet the batch delivery.
func mayHaveTask(d string) string {
	return "(COALESCE(NOT " + isMember(d) + ", TRUE) OR EXISTS (SELECT 1 FROM deliveries c WHERE c.batch_id = " + d +
		".batch_id AND c.event_id IS NULL AND c.state NOT IN ('pending', 'held')))"
}

// BatchSubscription is an endpoint that gets its events in batches.
type BatchSubscription struct {
	EndpointID string
	Most       int           // events of a batch
	Wait       time.Duration // of the first of them
}

// BatchSubscriptions lists the endpoints that asked for batches and may have deliveries.
func (q *Queries) BatchSubscriptions(ctx context.Context) ([]BatchSubscription, error) {
	var endpoints []models.Endpoint
	err := q.with(ctx).Select("id", "batch_max_events", "batch_max_wait_ms").
		Where("batch_max_events > 1 AND deleted_at IS NULL AND status = 'enabled'").Order("id").Find(&endpoints).Error
	all := make([]BatchSubscription, len(endpoints))
	for i, e := range endpoints {
		all[i].EndpointID = e.ID
		all[i].Most, all[i].Wait, _ = e.Batching()
	}
	return all, wrap("batch subscriptions", err)
}

const dueBatchesPostgres = `SELECT g.id FROM unnest($1::text[], $2::int[], $3::timestamptz[]) AS g (id, most, since)
	WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.batch_id = g.id AND d.state = 'pending' AND d.generation = 1 AND d.created_at <= g.since)
	OR (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d WHERE d.batch_id = g.id AND d.state = 'pending' AND d.generation = 1 LIMIT g.most) waiting) >= g.most`

// DueBatchSubscriptions returns the endpoints of those given for which a batch can be formed: enough is waiting, or
// something waits for long enough.
func (s *Store) DueBatchSubscriptions(ctx context.Context, subs []BatchSubscription, now time.Time) ([]string, error) {
	if len(subs) == 0 {
		return nil, nil
	}
	if s.dialect == SQLite {
		return s.dueBatchesSQLite(ctx, subs, now)
	}
	ids, most, since := make([]string, len(subs)), make([]int32, len(subs)), make([]time.Time, len(subs))
	for i, b := range subs {
		ids[i], most[i], since[i] = b.EndpointID, int32(b.Most), now.Add(-b.Wait)
	}
	var due []string
	rows, err := s.sql.QueryContext(ctx, dueBatchesPostgres, ids, most, since)
	if err != nil {
		return nil, wrap("due batches", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrap("due batches", err)
		}
		due = append(due, id)
	}
	return due, wrap("due batches", rows.Err())
}

func (s *Store) dueBatchesSQLite(ctx context.Context, subs []BatchSubscription, now time.Time) ([]string, error) {
	var due []string
	for _, b := range subs {
		var waiting []models.Delivery
		err := s.with(ctx).Select("id", "created_at").Where("batch_id = ? AND state = 'pending' AND generation = 1",
			b.EndpointID).
			Order("created_at, id").Limit(b.Most).Find(&waiting).Error
		if err != nil {
			return nil, wrap("due batches", err)
		}
		if len(waiting) >= b.Most || len(waiting) > 0 && !waiting[0].CreatedAt.After(now.Add(-b.Wait)) {
			due = append(due, b.EndpointID)
		}
	}
	return due, nil
}

// LockBatchSubscription reads an endpoint for which a batch is to be formed and locks it against others who would do
// the same. It reports false when somebody else has it, or when it has no deliveries any more.
func (tx *Tx) LockBatchSubscription(ctx context.Context, endpointID string) (models.Endpoint, bool, error) {
	lock := ""
	if tx.dialect == Postgres {
		lock = " FOR NO KEY UPDATE SKIP LOCKED"
	}
	var rows []models.Endpoint
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Endpoint{}, "")+" FROM webhook_endpoints WHERE id = ? AND deleted_at IS NULL AND status = 'enabled'"+
		lock, endpointID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return models.Endpoint{}, false, wrap("lock batch subscription of "+endpointID, err)
	}
	return rows[0], true, nil
}

// BatchCandidate is a delivery that waits for its batch, with its event's bytes.
type BatchCandidate struct {
	models.Delivery
	Body  []byte
	Cause string // traceparent of the event
	Pos   *int64 // of the event
}

// BatchCandidates reads up to limit deliveries that wait for a batch, the oldest first, and locks them. Those that
// somebody else holds are passed over.
func (tx *Tx) BatchCandidates(ctx context.Context, endpointID string, limit int) ([]BatchCandidate, error) {
	lock := ""
	if tx.dialect == Postgres {
		lock = " FOR UPDATE OF d SKIP LOCKED"
	}
	var rows []BatchCandidate
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Delivery{}, "d.")+`, e.body, e.traceparent AS cause, l.pos FROM deliveries d JOIN events e ON e.id = d.event_id
		LEFT JOIN event_log l ON l.event_id = d.event_id
		WHERE d.batch_id = ? AND d.state = 'pending' AND d.generation = 1 AND d.attempts = 0 AND `+taken("d")+` ORDER BY d.created_at, d.id LIMIT ?`+lock, endpointID, limit).
		Scan(&rows).Error
	return rows, wrap("batch candidates of "+endpointID, err)
}

// InsertBatch writes a batch and its batch delivery, and makes the deliveries with the given ids its members, which the
// sweeper leaves alone until sweepAfter.
func (tx *Tx) InsertBatch(ctx context.Context, b models.Batch, d models.Delivery, members []string,
	sweepAfter time.Time) error {
	if err := tx.with(ctx).Create(&b).Error; err != nil {
		return wrap("insert batch "+b.ID, err)
	}
	if err := tx.with(ctx).Omit("EventID").Create(&d).Error; err != nil {
		return wrap("insert batch delivery of "+b.ID, err)
	}
	tx.enqueue(d)
	err := tx.with(ctx).Exec(
		"UPDATE deliveries SET batch_id = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ? WHERE id IN ?",
		b.ID, d.NextAttemptAt, sweepAfter, b.CreatedAt, members).Error
	return wrap("members of "+b.ID, err)
}

// LeaveBatch takes a delivery out of those that wait for a batch, and writes when it is due by itself. After the commit
// it reaches the hook of [Store.OnCommit] when it needs a task.
func (tx *Tx) LeaveBatch(ctx context.Context, d models.Delivery) error {
	d.BatchID = nil
	err := tx.with(ctx).Exec(
		"UPDATE deliveries SET batch_id = NULL, next_attempt_at = ?, sweep_after = ?, parked = ?, slow = ?, updated_at = ? WHERE id = ?",
		d.NextAttemptAt, d.SweepAfter, d.Suspended, d.Slow, d.UpdatedAt, d.ID).Error
	if err == nil {
		tx.enqueue(d)
	}
	return wrap("take "+d.ID+" out of its batch", err)
}

// UpdateBatchMembers changes the members of a batch with its batch delivery, after the verdict on that was recorded in
// the same transaction. A success counts for all that are not delivered yet, also for those that were sent alone
// meanwhile. Where the batch delivery was canceled its members are sent alone: they are due now under a new generation,
// no attempt of theirs is spent, and after the commit they reach the hook of [Store.OnCommit].
func (tx *Tx) UpdateBatchMembers(ctx context.Context, batchDeliveryID, batchID string, v Verdict,
	sweep SweepDelays) error {
	var made int
	if err := tx.with(ctx).Raw("SELECT attempts FROM deliveries WHERE id = ?",
		batchDeliveryID).Scan(&made).Error; err != nil {
		return wrap("attempts of "+batchDeliveryID, err)
	}
	set := map[string]any{"attempts": made, "last_class": v.Class, "last_status": v.StatusCode, "updated_at": v.At}
	switch v.State {
	case models.DeliveryCanceled:
		return tx.splitBatch(ctx, batchID, v, made, v.At.Add(sweep.Enqueued))
	case models.DeliveryDelivered:
		err := tx.with(ctx).Exec(`UPDATE deliveries SET state = 'delivered', attempts = CASE WHEN generation = 1 THEN ? ELSE attempts END,
			last_class = ?, last_status = ?, dead_reason = '', dead_at = NULL, delivered_at = ?, updated_at = ?
			WHERE batch_id = ? AND event_id IS NOT NULL AND state <> 'delivered'`, made, v.Class, v.StatusCode, v.At, v.At, batchID).Error
		return wrap("deliver members of "+batchID, err)
	case models.DeliveryDead: // the task of the batch delivery is archived for all of them
		set["state"], set["dead_reason"], set["dead_at"], set["archived_at"] = v.State, text(v.DeadReason), v.At, v.At
	default:
		set["next_attempt_at"], set["sweep_after"] = v.NextAttemptAt, v.NextAttemptAt.Add(sweep.Batched)
	}
	db := tx.with(ctx).Model(&models.Delivery{}).Where("batch_id = ? AND state = 'pending' AND "+waitsInBatch, batchID)
	return wrap("update members of "+batchID, db.UpdateColumns(set).Error)
}

func (tx *Tx) splitBatch(ctx context.Context, batchID string, v Verdict, made int, sweepAfter time.Time) error {
	var alone []models.Delivery
	err := tx.with(ctx).Raw(`UPDATE deliveries SET generation = generation + 1, attempts = 0, attempt_base = attempt_base + ?,
		last_class = ?, last_status = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ?
		WHERE batch_id = ? AND state IN ('pending', 'held') AND `+waitsInBatch+" RETURNING "+tx.columns(&models.Delivery{}, ""),
		made, v.Class, v.StatusCode, v.At, sweepAfter, v.At, batchID).Scan(&alone).Error
	if err != nil {
		return wrap("split "+batchID, err)
	}
	slices.SortFunc(alone, byAge)
	tx.enqueue(alone...)
	return nil
}

// LockBatchDelivery reads the batch delivery of a batch and locks it.
func (tx *Tx) LockBatchDelivery(ctx context.Context, batchID string) (models.Delivery, error) {
	var rows []models.Delivery
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Delivery{}, "")+" FROM deliveries WHERE batch_id = ? AND event_id IS NULL"+tx.dialect.forUpdate(),
		batchID).Scan(&rows).Error
	if err != nil {
		return models.Delivery{}, wrap("lock batch delivery of "+batchID, err)
	}
	if len(rows) == 0 {
		return models.Delivery{}, models.ErrNotFound
	}
	return rows[0], nil
}

// LockBatchMembers reads the members of a batch, oldest first, and locks them.
func (tx *Tx) LockBatchMembers(ctx context.Context, batchID string) ([]models.Delivery, error) {
	var rows []models.Delivery
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Delivery{}, "")+" FROM deliveries WHERE batch_id = ? AND event_id IS NOT NULL ORDER BY created_at, id"+
		tx.dialect.forUpdate(), batchID).Scan(&rows).Error
	return rows, wrap("lock members of "+batchID, err)
}
