package store

import (
	"context"
	"slices"
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

// CountAPIKeys counts a merchant's keys that may still be used: the test keys or, for a live key, all but those that
// test keys made.
func (q *Queries) CountAPIKeys(ctx context.Context, merchantID string, test bool, now time.Time) (int, error) {
	counted := "NOT EXISTS (SELECT 1 FROM api_keys m WHERE m.id = api_keys.created_by AND m.test)"
	if test {
		counted = "test"
	}
	var n int64
	err := q.with(ctx).Model(&models.APIKey{}).
		Where("merchant_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) AND "+counted, merchantID,
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

// ListAPIKeys reads a page of a merchant's keys, all of them or the test keys alone. Those do not say which live key
// made them.
func (q *Queries) ListAPIKeys(ctx context.Context, merchantID string, test bool, p Page) ([]models.APIKey, error) {
	db := p.apply(q.with(ctx).Where("merchant_id = ?", merchantID))
	if test {
		db = db.Where("test")
	}
	var rows []models.APIKey
	if err := db.Find(&rows).Error; err != nil || !test {
		return rows, wrap("list keys", err)
	}
	return rows, q.hideLiveMakers(ctx, rows)
}

func (q *Queries) hideLiveMakers(ctx context.Context, rows []models.APIKey) error {
	var makers, seen []string
	for _, k := range rows {
		if k.CreatedBy != nil {
			makers = append(makers, *k.CreatedBy)
		}
	}
	if len(makers) == 0 {
		return nil
	}
	if err := q.with(ctx).Model(&models.APIKey{}).Where("id IN ? AND test", makers).Pluck("id", &seen).Error; err != nil {
		return wrap("makers of keys", err)
	}
	for i, k := range rows {
		if k.CreatedBy != nil && !slices.Contains(seen, *k.CreatedBy) {
			rows[i].CreatedBy = nil
		}
	}
	return nil
}

// ChildKeys reads the keys of a merchant that some of its keys made.
func (q *Queries) ChildKeys(ctx context.Context, merchantID string, makers []string) ([]models.APIKey, error) {
	var rows []models.APIKey
	err := q.with(ctx).Where("merchant_id = ? AND created_by IN ?", merchantID, makers).Order("created_at, id").
		Find(&rows).Error
	return rows, wrap("keys made by keys", err)
}
