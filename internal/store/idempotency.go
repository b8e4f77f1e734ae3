package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// ErrIdempotencyTaken is returned when another request has committed the same key first.
var ErrIdempotencyTaken = errors.New("store: idempotency key was committed by another request")

// ErrLockTimeout is returned when another request holds the same idempotency key, or the same order_id, for longer than
// we wait.
var ErrLockTimeout = errors.New("store: another request with this idempotency key or order_id is under way")

// IdempotencyRecord reads the answer kept for a key that has not expired.
func (q *Queries) IdempotencyRecord(ctx context.Context, merchantID, method, path, key string,
	now time.Time) (models.IdempotencyRecord, error) {
	var r models.IdempotencyRecord
	err := q.with(ctx).Where("merchant_id = ? AND method = ? AND path = ? AND key = ? AND expires_at > ?", merchantID,
		method, path, key, now).Take(&r).Error
	return r, one("idempotency record", err)
}

// SaveAnswers records answers in the transaction of their effects. While another transaction holds one of the keys it
// waits, as long as [Tx.WaitAtMost] lets it, and returns [ErrIdempotencyTaken] when that one has committed. An expired
// record gives way.
func (tx *Tx) SaveAnswers(ctx context.Context, rs []models.IdempotencyRecord) error {
	if len(rs) == 0 {
		return nil
	}
	res := tx.with(ctx).Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "merchant_id"}, {Name: "method"}, {Name: "path"}, {Name: "key"}},
		DoUpdates: clause.AssignmentColumns([]string{"request_hash", "status_code", "answer", "created_at", "expires_at"}),
		Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("idempotency_keys.expires_at <= excluded.created_at")}},
	}).Create(&rs)
	if res.Error == nil && res.RowsAffected < int64(len(rs)) {
		return ErrIdempotencyTaken
	}
	return wrap("idempotency records", res.Error)
}

// DropExpiredAnswers deletes up to limit expired records and returns how many there were.
func (q *Queries) DropExpiredAnswers(ctx context.Context, now time.Time, limit int) (int64, error) {
	res := q.with(ctx).Exec("DELETE FROM idempotency_keys WHERE (merchant_id, method, path, key) IN "+
		"(SELECT merchant_id, method, path, key FROM idempotency_keys WHERE expires_at <= ? LIMIT ?"+q.dialect.skipLocked()+
		")", now, limit)
	return res.RowsAffected, wrap("expired idempotency records", res.Error)
}
