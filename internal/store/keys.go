package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertAPIKey writes a key.
func (tx *Tx) InsertAPIKey(ctx context.Context, k models.APIKey) error {
	return wrap("insert key", tx.with(ctx).Create(&k).Error)
}

// APIKeyByHash reads the key with the given hex SHA-256, revoked and expired ones included.
func (q *Queries) APIKeyByHash(ctx context.Context, hash string) (models.APIKey, error) {
	var k models.APIKey
	err := q.with(ctx).Where("hash = ?", hash).Take(&k).Error
	return k, one("key by hash", err)
}

// APIKey reads one key of a merchant.
func (q *Queries) APIKey(ctx context.Context, merchantID, id string) (models.APIKey, error) {
	var k models.APIKey
	err := q.with(ctx).Where("merchant_id = ? AND id = ?", merchantID, id).Take(&k).Error
	return k, one("key "+id, err)
}

// APIKeyByID reads a key for an operator, whoever owns it.
func (q *Queries) APIKeyByID(ctx context.Context, id string) (models.APIKey, error) {
	var k models.APIKey
	err := q.with(ctx).Where("id = ?", id).Take(&k).Error
	return k, one("key "+id, err)
}

// CountAPIKeys counts a merchant's keys that may still be used.
func (q *Queries) CountAPIKeys(ctx context.Context, merchantID string, now time.Time) (int, error) {
	var n int64
	err := q.with(ctx).Model(&models.APIKey{}).
		Where("merchant_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", merchantID,
			now).Count(&n).Error
	return int(n), wrap("count keys", err)
}

// RevokeAPIKey ends a key at the given time, with its sessions in the portal; one that has ended already stays as it
// was.
func (tx *Tx) RevokeAPIKey(ctx context.Context, id string, at time.Time) error {
	if err := tx.EndPortalSessionsOf(ctx, id); err != nil {
		return err
	}
	return wrap("revoke key", tx.with(ctx).Model(&models.APIKey{}).Where("id = ? AND revoked_at IS NULL",
		id).Update("revoked_at", at).Error)
}

// TouchAPIKeys notes when keys were last used.
func (q *Queries) TouchAPIKeys(ctx context.Context, used map[string]time.Time) error {
	for id, at := range used {
		err := q.with(ctx).Model(&models.APIKey{}).Where("id = ? AND (last_used_at IS NULL OR last_used_at < ?)", id,
			at).Update("last_used_at", at).Error
		if err != nil {
			return wrap("touch key", err)
		}
	}
	return nil
}

// ListAPIKeys reads a page of a merchant's keys.
func (q *Queries) ListAPIKeys(ctx context.Context, merchantID string, p Page) ([]models.APIKey, error) {
	var rows []models.APIKey
	err := p.apply(q.with(ctx).Where("merchant_id = ?", merchantID)).Find(&rows).Error
	return rows, wrap("list keys", err)
}
