package store

import (
	"context"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// A delivery to an endpoint that asked for batches is written with its endpoint in batch_id: it waits to be gathered. A
// batch is a row of batches and a carrier, a delivery without an event, which alone has a task; the batch_id of both the
// carrier and the members is then the batch's. Members stay pending, at generation 1, until the carrier's verdict moves
// them with it. When they have to go alone they get a new generation, and batch_id tells only where they were before.

const (
	// carried is the condition of a row that has no task because of batches: it waits for one, or with one.
	carried = "batch_id IS NOT NULL AND event_id IS NOT NULL AND generation = 1"
	// gatherGrace is how long after the time of its batch a delivery is left to be gathered before the sweeper sends it alone.
	gatherGrace = sweepFresh
	// maxBatchWait is the longest wait that an endpoint may ask for.
	maxBatchWait = time.Minute
	// sweepResumed is gatherGrace for deliveries that were held.
	sweepResumed = maxBatchWait + gatherGrace
	// sweepBatched is how often the sweeper looks whether the carrier of a member still waits; a member without one goes alone.
	sweepBatched = time.Hour
)

// batched is the condition of a row that is in a batch, of the table or alias d.
func batched(d string) string {
	return "(" + d + ".batch_id <> " + d + ".endpoint_id AND " + d + ".event_id IS NOT NULL AND " + d + ".generation = 1)"
}

// loose is the condition of a row that may have a task of its own: it is in no batch, or the carrier of its batch has come
// to an end without it. It asks for the end, not for a carrier that waits, because an UPDATE that waited for the
// transaction that formed the batch sees the new batch_id but not yet the carrier.
func loose(d string) string {
	return "(COALESCE(NOT " + batched(d) + ", TRUE) OR EXISTS (SELECT 1 FROM deliveries c WHERE c.batch_id = " + d +
		".batch_id AND c.event_id IS NULL AND c.state NOT IN ('pending', 'held')))"
}

// gathered lets a new delivery wait for its batch, if its endpoint asked for that. What is not about a payment goes alone.
func gathered(d models.Delivery, ep models.Endpoint) models.Delivery {
	_, wait, yes := ep.Batching()
	if !yes || !webhook.EventType(d.EventType).IsPayment() {
		return d
	}
	d.BatchID, d.Suspended = &ep.ID, false
	d.NextAttemptAt = d.CreatedAt.Add(wait)
	d.SweepAfter = d.NextAttemptAt.Add(gatherGrace)
	return d
}

// BatchSubscription is an endpoint whose deliveries are gathered into batches.
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
	return all, wrap("gatherings", err)
}

const duePostgres = `SELECT g.id FROM unnest($1::text[], $2::int[], $3::timestamptz[]) AS g (id, most, since)
	WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.batch_id = g.id AND d.state = 'pending' AND d.generation = 1 AND d.created_at <= g.since)
	OR (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d WHERE d.batch_id = g.id AND d.state = 'pending' AND d.generation = 1 LIMIT g.most) waiting) >= g.most`

// DueBatchSubscriptions returns the endpoints of those given for which a batch can be formed: enough is waiting, or something
// waits for long enough.
func (s *Store) DueBatchSubscriptions(ctx context.Context, gs []BatchSubscription, now time.Time) ([]string, error) {
	if len(gs) == 0 {
		return nil, nil
	}
	if s.dialect == SQLite {
		return s.dueSQLite(ctx, gs, now)
	}
	ids, most, since := make([]string, len(gs)), make([]int32, len(gs)), make([]time.Time, len(gs))
	for i, g := range gs {
		ids[i], most[i], since[i] = g.EndpointID, int32(g.Most), now.Add(-g.Wait)
	}
	var due []string
	rows, err := s.sql.QueryContext(ctx, duePostgres, ids, most, since)
	if err != nil {
		return nil, wrap("due gatherings", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrap("due gatherings", err)
		}
		due = append(due, id)
	}
	return due, wrap("due gatherings", rows.Err())
}

func (s *Store) dueSQLite(ctx context.Context, gs []BatchSubscription, now time.Time) ([]string, error) {
	var due []string
	for _, g := range gs {
		var waiting []models.Delivery
		err := s.with(ctx).Select("id", "created_at").Where("batch_id = ? AND state = 'pending' AND generation = 1", g.EndpointID).
			Order("created_at, id").Limit(g.Most).Find(&waiting).Error
		if err != nil {
			return nil, wrap("due gatherings", err)
		}
		if len(waiting) >= g.Most || len(waiting) > 0 && !waiting[0].CreatedAt.After(now.Add(-g.Wait)) {
			due = append(due, g.EndpointID)
		}
	}
	return due, nil
}

// LockBatchSubscription reads an endpoint whose deliveries are to be gathered and locks it against others who would do the same.
// It reports false when somebody else has it, or when it has no deliveries any more.
func (tx *Tx) LockBatchSubscription(ctx context.Context, endpointID string) (models.Endpoint, bool, error) {
	lock := ""
	if tx.dialect == Postgres {
		lock = " FOR NO KEY UPDATE SKIP LOCKED"
	}
	var rows []models.Endpoint
	err := tx.with(ctx).Raw("SELECT * FROM webhook_endpoints WHERE id = ? AND deleted_at IS NULL AND status = 'enabled'"+lock, endpointID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return models.Endpoint{}, false, wrap("lock gathering "+endpointID, err)
	}
	return rows[0], true, nil
}

// BatchCandidate is a delivery that waits for its batch, with its event's bytes.
type BatchCandidate struct {
	models.Delivery
	Body []byte
}

// BatchCandidates reads up to limit deliveries that wait for a batch, the oldest first, and locks them. Those that
// somebody else holds are passed over.
func (tx *Tx) BatchCandidates(ctx context.Context, endpointID string, limit int) ([]BatchCandidate, error) {
	lock := ""
	if tx.dialect == Postgres {
		lock = " FOR UPDATE OF d SKIP LOCKED"
	}
	var rows []BatchCandidate
	err := tx.with(ctx).Raw(`SELECT d.*, e.body FROM deliveries d JOIN events e ON e.id = d.event_id
		WHERE d.batch_id = ? AND d.state = 'pending' AND d.generation = 1 AND d.attempts = 0 ORDER BY d.created_at, d.id LIMIT ?`+lock, endpointID, limit).
		Scan(&rows).Error
	return rows, wrap("gathered deliveries of "+endpointID, err)
}

// InsertBatch writes a batch of deliveries that were gathered, oldest first, and its carrier, which reaches the hook of
// [Store.OnCommit] after the commit, or waits like any new delivery. maxAttempts is the budget of an endpoint that has
// none of its own.
func (tx *Tx) InsertBatch(ctx context.Context, ep models.Endpoint, body []byte, members []BatchCandidate, maxAttempts int, now time.Time) (models.Delivery, error) {
	b := models.Batch{ID: models.NewID(models.PrefixBatch, now), MerchantID: ep.MerchantID, EndpointID: ep.ID, Events: len(members), Body: body, CreatedAt: now}
	if err := tx.with(ctx).Create(&b).Error; err != nil {
		return models.Delivery{}, wrap("insert batch "+b.ID, err)
	}
	d := NewDelivery(models.Event{MerchantID: ep.MerchantID, Type: models.BatchType}, ep, maxAttempts, now)
	d.BatchID, d.CreatedAt = &b.ID, members[0].CreatedAt // as old as its oldest member, where order counts
	if err := tx.with(ctx).Omit("EventID").Create(&d).Error; err != nil {
		return d, wrap("insert carrier of "+b.ID, err)
	}
	if d.State == models.DeliveryPending && !d.Suspended {
		tx.written = append(tx.written, d)
	}
	err := tx.with(ctx).Exec("UPDATE deliveries SET batch_id = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ? WHERE id IN ?",
		b.ID, d.NextAttemptAt, later(now, d.NextAttemptAt).Add(sweepBatched), now, idsOf(members)).Error
	return d, wrap("members of "+b.ID, err)
}

func idsOf(members []BatchCandidate) []string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	return ids
}

// Ungather lets a delivery that was gathered go alone, now. After the commit it reaches the hook of [Store.OnCommit].
func (tx *Tx) Ungather(ctx context.Context, ep models.Endpoint, d models.Delivery, now time.Time) error {
	fresh := NewDelivery(models.Event{Type: d.EventType}, ep, d.MaxAttempts, now) // parked while the breaker is open
	d.BatchID, d.NextAttemptAt, d.SweepAfter, d.Suspended, d.Slow, d.UpdatedAt = nil, fresh.NextAttemptAt, fresh.SweepAfter, fresh.Suspended, fresh.Slow, now
	err := tx.with(ctx).Exec("UPDATE deliveries SET batch_id = NULL, next_attempt_at = ?, sweep_after = ?, parked = ?, slow = ?, updated_at = ? WHERE id = ?",
		d.NextAttemptAt, d.SweepAfter, d.Suspended, d.Slow, now, d.ID).Error
	if err == nil && !d.Suspended {
		tx.written = append(tx.written, d)
	}
	return wrap("ungather "+d.ID, err)
}

// UpdateBatchMembers moves the members of the batch id with its carrier, after the verdict of which was recorded in the same
// transaction. A success counts for all that are not delivered yet, also for those that went alone meanwhile. Where the
// carrier was canceled its members go alone: they are due now under a new generation, no attempt of theirs is spent, and
// after the commit they reach the hook of [Store.OnCommit].
func (tx *Tx) UpdateBatchMembers(ctx context.Context, carrierID, id string, v Verdict) error {
	var made int
	if err := tx.with(ctx).Raw("SELECT attempts FROM deliveries WHERE id = ?", carrierID).Scan(&made).Error; err != nil {
		return wrap("attempts of "+carrierID, err)
	}
	set := map[string]any{"attempts": made, "last_class": v.Class, "last_status": v.StatusCode, "updated_at": v.At}
	switch v.State {
	case models.DeliveryCanceled:
		return tx.split(ctx, id, v, made)
	case models.DeliveryDelivered:
		err := tx.with(ctx).Exec(`UPDATE deliveries SET state = 'delivered', attempts = CASE WHEN generation = 1 THEN ? ELSE attempts END,
			last_class = ?, last_status = ?, dead_reason = '', dead_at = NULL, delivered_at = ?, updated_at = ?
			WHERE batch_id = ? AND event_id IS NOT NULL AND state <> 'delivered'`, made, v.Class, v.StatusCode, v.At, v.At, id).Error
		return wrap("deliver members of "+id, err)
	case models.DeliveryDead: // the task of the carrier is archived for all of them
		set["state"], set["dead_reason"], set["dead_at"], set["archived_at"] = v.State, text(v.DeadReason), v.At, v.At
	default:
		set["next_attempt_at"], set["sweep_after"] = v.NextAttemptAt, v.NextAttemptAt.Add(sweepBatched)
	}
	db := tx.with(ctx).Model(&models.Delivery{}).Where("batch_id = ? AND state = 'pending' AND "+carried, id)
	return wrap("move members of "+id, db.UpdateColumns(set).Error)
}

func (tx *Tx) split(ctx context.Context, batchID string, v Verdict, made int) error {
	var alone []models.Delivery
	err := tx.with(ctx).Raw(`UPDATE deliveries SET generation = generation + 1, attempts = 0, attempt_base = attempt_base + ?,
		last_class = ?, last_status = ?, next_attempt_at = ?, sweep_after = ?, updated_at = ?
		WHERE batch_id = ? AND state IN ('pending', 'held') AND `+carried+" RETURNING *",
		made, v.Class, v.StatusCode, v.At, v.At.Add(sweepFresh), v.At, batchID).Scan(&alone).Error
	if err != nil {
		return wrap("split "+batchID, err)
	}
	slices.SortFunc(alone, byAge)
	for _, d := range alone {
		if d.State == models.DeliveryPending {
			tx.written = append(tx.written, d)
		}
	}
	return nil
}

// LockBatchDelivery reads the carrier of a batch and locks it.
func (tx *Tx) LockBatchDelivery(ctx context.Context, batchID string) (models.Delivery, error) {
	var rows []models.Delivery
	if err := tx.with(ctx).Raw("SELECT * FROM deliveries WHERE batch_id = ? AND event_id IS NULL"+tx.dialect.forUpdate(), batchID).Scan(&rows).Error; err != nil {
		return models.Delivery{}, wrap("lock carrier of "+batchID, err)
	}
	if len(rows) == 0 {
		return models.Delivery{}, models.ErrNotFound
	}
	return rows[0], nil
}

// LockBatchMembers reads the members of a batch, oldest first, and locks them.
func (tx *Tx) LockBatchMembers(ctx context.Context, batchID string) ([]models.Delivery, error) {
	var rows []models.Delivery
	err := tx.with(ctx).Raw("SELECT * FROM deliveries WHERE batch_id = ? AND event_id IS NOT NULL ORDER BY created_at, id"+tx.dialect.forUpdate(), batchID).Scan(&rows).Error
	return rows, wrap("lock members of "+batchID, err)
}
