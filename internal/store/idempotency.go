package store

import (
	"context"
	"errors"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// ErrIdempotencyTaken is returned when another request has committed the same key first.
var ErrIdempotencyTaken = errors.New("store: idempotency key was committed by another request")

// ErrIdempotencyBusy is returned when another request holds the same key for longer than we wait.
var ErrIdempotencyBusy = errors.New("store: another request with this idempotency key is under way")

// IdempotencyRecord reads the answer kept for a key that has not expired.
func (q *Queries) IdempotencyRecord(ctx context.Context, merchantID, method, path, key string, now time.Time) (models.IdempotencyRecord, error) {
	var r models.IdempotencyRecord
	err := q.with(ctx).Where("merchant_id = ? AND method = ? AND path = ? AND key = ? AND expires_at > ?", merchantID, method, path, key, now).Take(&r).Error
	return r, one("idempotency record", err)
}

// KeepAnswer records an answer in the transaction of its effect. While another transaction holds the same key it
// waits, at most wait, and returns [ErrIdempotencyTaken] when that one has committed. An expired record gives way.
func (tx *Tx) KeepAnswer(ctx context.Context, r models.IdempotencyRecord, wait time.Duration) error {
	db := tx.with(ctx)
	if tx.dialect == Postgres {
		if err := db.Exec("SELECT set_config('lock_timeout', ?, true)", wait.String()).Error; err != nil {
			return wrap("lock timeout", err)
		}
	}
	if err := db.Where("merchant_id = ? AND method = ? AND path = ? AND key = ? AND expires_at <= ?", r.MerchantID, r.Method, r.Path, r.Key, r.CreatedAt).
		Delete(&models.IdempotencyRecord{}).Error; err != nil {
		return wrap("expired idempotency record", err)
	}
	if err := db.Create(&r).Error; err != nil {
		if violates(err, "idempotency_keys_pkey", "idempotency_keys.merchant_id") {
			return ErrIdempotencyTaken
		}
		if lockTimedOut(err) {
			return ErrIdempotencyBusy
		}
		return wrap("idempotency record", err)
	}
	return nil
}

// DropExpiredAnswers deletes up to limit expired records and returns how many there were.
func (q *Queries) DropExpiredAnswers(ctx context.Context, now time.Time, limit int) (int64, error) {
	res := q.with(ctx).Exec("DELETE FROM idempotency_keys WHERE (merchant_id, method, path, key) IN "+
		"(SELECT merchant_id, method, path, key FROM idempotency_keys WHERE expires_at <= ? LIMIT ?"+q.dialect.skipLocked()+")", now, limit)
	return res.RowsAffected, wrap("expired idempotency records", res.Error)
}
