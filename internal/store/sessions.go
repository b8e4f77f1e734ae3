package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertPortalSession writes a session, and takes those away whose time is over.
func (tx *Tx) InsertPortalSession(ctx context.Context, s models.PortalSession) error {
	err := tx.with(ctx).Where("ends_at <= ?", s.CreatedAt).Delete(&models.PortalSession{}).Error
	if err == nil {
		err = tx.with(ctx).Create(&s).Error
	}
	return wrap("insert portal session", err)
}

// PortalSession reads a session that has not ended.
func (q *Queries) PortalSession(ctx context.Context, hash string, now time.Time) (models.PortalSession, error) {
	var s models.PortalSession
	err := q.with(ctx).Where("hash = ? AND ends_at > ?", hash, now).Take(&s).Error
	return s, one("portal session", err)
}

// EndPortalSession ends a session, if it has not ended already.
func (tx *Tx) EndPortalSession(ctx context.Context, hash string) error {
	return wrap("end portal session", tx.with(ctx).Where("hash = ?", hash).Delete(&models.PortalSession{}).Error)
}

// EndPortalSessionsOf ends every session of a key.
func (tx *Tx) EndPortalSessionsOf(ctx context.Context, keyID string) error {
	return wrap("end portal sessions of "+keyID, tx.with(ctx).Where("key_id = ?",
		keyID).Delete(&models.PortalSession{}).Error)
}
