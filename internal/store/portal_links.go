package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertPortalLink writes a link, and takes those away whose time, and whose session's, is over.
func (tx *Tx) InsertPortalLink(ctx context.Context, l models.PortalLink) error {
	err := tx.with(ctx).Where("expires_at <= ? AND (session_ends_at IS NULL OR session_ends_at <= ?)",
		l.CreatedAt, l.CreatedAt).Delete(&models.PortalLink{}).Error
	if err == nil {
		err = tx.with(ctx).Create(&l).Error
	}
	return wrap("insert portal link", err)
}

// PortalLink reads a link that has not been used and whose time is not over.
func (q *Queries) PortalLink(ctx context.Context, hash string, now time.Time) (models.PortalLink, error) {
	var l models.PortalLink
	err := q.with(ctx).Where("hash = ? AND used_at IS NULL AND expires_at > ?", hash, now).Take(&l).Error
	return l, one("portal link", err)
}

// UsePortalLink ends a link and records the session that it opens. Of several who use it at once one is the first; for
// the others, and once its time is over, it is [models.ErrNotFound].
func (tx *Tx) UsePortalLink(ctx context.Context, hash, sessionHash string, now, endsAt time.Time) error {
	res := tx.with(ctx).Model(&models.PortalLink{}).Where("hash = ? AND used_at IS NULL AND expires_at > ?", hash, now).
		Updates(map[string]any{"used_at": now, "session_hash": sessionHash, "session_ends_at": endsAt})
	if res.Error == nil && res.RowsAffected == 0 {
		return models.ErrNotFound
	}
	return wrap("use portal link", res.Error)
}

// LinkOfSession reads the link that opened a session which has not ended.
func (q *Queries) LinkOfSession(ctx context.Context, sessionHash string, now time.Time) (models.PortalLink, error) {
	var l models.PortalLink
	err := q.with(ctx).Where("session_hash = ? AND session_ends_at > ?", sessionHash, now).Take(&l).Error
	return l, one("portal link of session", err)
}

// EndLinkSession ends a session that a link opened, if it has not ended already.
func (tx *Tx) EndLinkSession(ctx context.Context, sessionHash string) error {
	return wrap("end session of portal link", tx.with(ctx).Model(&models.PortalLink{}).
		Where("session_hash = ?", sessionHash).
		Updates(map[string]any{"session_hash": nil, "session_ends_at": nil}).Error)
}
