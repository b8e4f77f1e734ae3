package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertReplay writes a new job.
func (tx *Tx) InsertReplay(ctx context.Context, r models.Replay) error {
	return wrap("insert replay "+r.ID, tx.with(ctx).Create(&r).Error)
}

// Replay reads one job of a merchant.
func (q *Queries) Replay(ctx context.Context, merchantID, id string) (models.Replay, error) {
	var r models.Replay
	err := q.with(ctx).Where("merchant_id = ? AND id = ?", merchantID, id).Take(&r).Error
	return r, one("replay "+id, err)
}

// ReplayByID reads a job whoever it belongs to.
func (q *Queries) ReplayByID(ctx context.Context, id string) (models.Replay, error) {
	var r models.Replay
	err := q.with(ctx).Where("id = ?", id).Take(&r).Error
	return r, one("replay "+id, err)
}

// LockReplay reads one job of a merchant and keeps everybody else from changing it until the transaction ends.
func (tx *Tx) LockReplay(ctx context.Context, merchantID, id string) (models.Replay, error) {
	var rows []models.Replay
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Replay{}, "")+" FROM replays WHERE merchant_id = ? AND id = ?"+tx.dialect.forUpdate(), merchantID,
		id).Scan(&rows).Error
	if err == nil && len(rows) == 0 {
		return models.Replay{}, models.ErrNotFound
	}
	if err != nil {
		return models.Replay{}, wrap("lock replay "+id, err)
	}
	return rows[0], nil
}

// RunningReplay reads the job that sends to an endpoint again, if there is one.
func (q *Queries) RunningReplay(ctx context.Context, endpointID string) (models.Replay, error) {
	var r models.Replay
	err := q.with(ctx).Where("endpoint_id = ? AND status = 'running'", endpointID).Take(&r).Error
	return r, one("replay to "+endpointID, err)
}

// ClaimReplay locks a job whose next step is due: of the merchant whose last step is longest ago, the longest waiting
// one. It passes over those that another worker is at. It is [models.ErrNotFound] when there is none.
func (tx *Tx) ClaimReplay(ctx context.Context, now time.Time) (models.Replay, error) {
	var rows []models.Replay
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Replay{}, "")+" FROM replays WHERE status = 'running' AND next_at <= ? "+
		"ORDER BY (SELECT max(o.updated_at) FROM replays o WHERE o.merchant_id = replays.merchant_id AND "+
		"o.status = 'running'), next_at LIMIT 1"+tx.dialect.skipLocked(), now).Scan(&rows).Error
	if err == nil && len(rows) == 0 {
		return models.Replay{}, models.ErrNotFound
	}
	if err != nil {
		return models.Replay{}, wrap("claim replay", err)
	}
	return rows[0], nil
}

// NextReplayAt is when the next step of any job is due, the zero time when no job runs.
func (q *Queries) NextReplayAt(ctx context.Context) (time.Time, error) {
	var r models.Replay
	err := q.with(ctx).Where("status = 'running'").Order("next_at").Limit(1).Take(&r).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return time.Time{}, nil
	}
	return r.NextAt, wrap("next replay", err)
}

// SaveReplay writes how far a job is.
func (tx *Tx) SaveReplay(ctx context.Context, r models.Replay) error {
	return wrap("save replay "+r.ID, tx.with(ctx).Save(&r).Error)
}

// CountReplayed counts what a job would look at.
func (q *Queries) CountReplayed(ctx context.Context, r models.Replay) (int, error) {
	var n int64
	err := q.replayed(ctx, r).Count(&n).Error
	return int(n), wrap("count deliveries to replay", err)
}

// NextReplayed reads up to limit of the deliveries that a job looks at, the oldest first, after its cursor.
func (q *Queries) NextReplayed(ctx context.Context, r models.Replay, limit int) ([]models.Delivery, error) {
	db := q.replayed(ctx, r)
	if r.CursorAt != nil {
		db = db.Where("(d.created_at, d.id) > (?, ?)", *r.CursorAt, r.CursorID)
	}
	var rows []models.Delivery
	err := db.Select(q.columns(&models.Delivery{}, "d.")).Order("d.created_at, d.id").Limit(limit).Find(&rows).Error
	return rows, wrap("deliveries to replay", err)
}

// replayed are the deliveries that match a job: of each event the newest one that is older than the job, so that an
// event is sent once however often it was sent before. Test events are nothing that anybody wants again.
func (q *Queries) replayed(ctx context.Context, r models.Replay) *gorm.DB {
	db := q.with(ctx).Table("deliveries AS d").
		Where("d.merchant_id = ? AND d.endpoint_id = ? AND d.created_at < ? AND d.event_id IS NOT NULL AND d.event_type <> "+
			"'webhook.test' AND d.sign_with = ''", r.MerchantID, r.EndpointID, r.CreatedBefore).
		Where(taken("d")).
		Where(`NOT EXISTS (SELECT 1 FROM deliveries n WHERE n.event_id = d.event_id AND n.endpoint_id = d.endpoint_id AND n.replay_of IS NOT NULL
			AND n.created_at < ? AND (n.created_at, n.id) > (d.created_at, d.id))`, r.CreatedAt)
	if r.CreatedAfter != nil {
		db = db.Where("d.created_at >= ?", *r.CreatedAfter)
	}
	if r.EventType != "" {
		db = db.Where("d.event_type = ?", r.EventType)
	}
	if r.State != "" {
		db = db.Where("d.state = ?", r.State)
	}
	if r.Test {
		db = db.Where(testDelivery("d"))
	}
	return db
}
