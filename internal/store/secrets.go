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
	return wrap("end secret "+id, tx.with(ctx).Model(&models.EndpointSecret{}).Where("id = ?", id).UpdateColumn("expires_at", at).Error)
}
