package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertSecret writes a sealed secret.
func (tx *Tx) InsertSecret(ctx context.Context, s models.EndpointSecret) error {
	return wrap("insert secret "+s.ID, tx.with(ctx).Create(&s).Error)
}

// Secrets reads the secrets of an endpoint that have not expired at now, newest first.
func (q *Queries) Secrets(ctx context.Context, endpointID string, now time.Time) ([]models.EndpointSecret, error) {
	var rows []models.EndpointSecret
	err := q.with(ctx).Where("endpoint_id = ? AND (expires_at IS NULL OR expires_at > ?)", endpointID, now).
		Order("created_at DESC, id DESC").Find(&rows).Error
	return rows, wrap("secrets of "+endpointID, err)
}

// EndSecret sets when a secret stops signing.
func (tx *Tx) EndSecret(ctx context.Context, id string, at time.Time) error {
	return wrap("end secret "+id, tx.with(ctx).Model(&models.EndpointSecret{}).Where("id = ?",
		id).UpdateColumn("expires_at", at).Error)
}

// OldestSecret is since when the oldest secret signs that has no successor, the zero time when there is none.
func (q *Queries) OldestSecret(ctx context.Context) (time.Time, error) {
	var since []time.Time
	err := q.with(ctx).Table("endpoint_secrets AS s").Joins("JOIN webhook_endpoints w ON w.id = s.endpoint_id AND "+
		"w.deleted_at IS NULL").
		Where("s.expires_at IS NULL").Order("s.active_from").Limit(1).Pluck("s.active_from", &since).Error
	if err != nil || len(since) == 0 {
		return time.Time{}, wrap("oldest secret", err)
	}
	return since[0].UTC(), nil
}

// AgingSecrets reads the secrets without a successor that have signed since before a time and of which nobody was told,
// oldest first. Those of default endpoints belong to the deployment and are left out.
func (q *Queries) AgingSecrets(ctx context.Context, before time.Time, limit int) ([]models.EndpointSecret, error) {
	var rows []models.EndpointSecret
	err := q.with(ctx).Table("endpoint_secrets AS s").Select(q.columns(&models.EndpointSecret{}, "s.")).
		Joins("JOIN webhook_endpoints w ON w.id = s.endpoint_id AND w.deleted_at IS NULL AND NOT w.is_default").
		Where("s.expires_at IS NULL AND s.warned_at IS NULL AND s.active_from <= ?", before).
		Order("s.active_from, s.id").Limit(limit).Find(&rows).Error
	return rows, wrap("aging secrets", err)
}

// MarkWarned records that a merchant is told about the age of a secret, and reports whether nobody did so before.
func (tx *Tx) MarkWarned(ctx context.Context, id string, at time.Time) (bool, error) {
	res := tx.with(ctx).Model(&models.EndpointSecret{}).Where("id = ? AND warned_at IS NULL AND expires_at IS NULL",
		id).UpdateColumn("warned_at", at)
	return res.RowsAffected == 1, wrap("mark secret "+id, res.Error)
}
