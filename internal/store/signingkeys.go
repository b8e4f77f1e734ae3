package store

import (
	"context"
	"time"

	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// signingKeys is the table of the gateway's keys for test endpoints, or for all others.
func signingKeys(test bool) string {
	if test {
		return "test_signing_keys"
	}
	return "signing_keys"
}

// SigningKeys reads the gateway's keys for test endpoints, or for all others, that have not expired at now, newest
// first.
func (q *Queries) SigningKeys(ctx context.Context, test bool, now time.Time) ([]models.SigningKey, error) {
	var rows []models.SigningKey
	err := q.with(ctx).Table(signingKeys(test)).Where("expires_at IS NULL OR expires_at > ?",
		now).Order("generation DESC").Find(&rows).Error
	return rows, wrap("signing keys", err)
}

// InsertSigningKey writes a key unless there is one of its generation, and reports whether it did.
func (tx *Tx) InsertSigningKey(ctx context.Context, test bool, k models.SigningKey) (bool, error) {
	res := tx.with(ctx).Table(signingKeys(test)).Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "generation"}},
		DoNothing: true}).Create(&k)
	return res.RowsAffected == 1, wrap("insert signing key "+k.ID, res.Error)
}

// EndSigningKey sets when a key stops signing.
func (tx *Tx) EndSigningKey(ctx context.Context, test bool, id string, at time.Time) error {
	return wrap("end signing key "+id, tx.with(ctx).Table(signingKeys(test)).Where("id = ?",
		id).UpdateColumn("expires_at", at).Error)
}
