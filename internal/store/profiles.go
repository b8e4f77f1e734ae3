package store

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// SaveProfile writes what payers see of a merchant.
func (tx *Tx) SaveProfile(ctx context.Context, m models.Merchant) error {
	return wrap("save profile of "+m.ID, tx.with(ctx).Model(&m).
		Select("name", "support_url", "support_email", "languages", "logo_hash", "updated_at").Updates(&m).Error)
}

// ReplaceLogo keeps the image that a merchant shows from now on, and no other one of theirs; nil is none.
func (tx *Tx) ReplaceLogo(ctx context.Context, merchantID string, l *models.Logo) error {
	old := tx.with(ctx).Where("merchant_id = ?", merchantID)
	if l != nil {
		if err := tx.with(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(l).Error; err != nil {
			return wrap("insert logo", err)
		}
		old = old.Where("hash <> ?", l.Hash)
	}
	return wrap("delete logos of "+merchantID, old.Delete(&models.Logo{}).Error)
}

// Logo reads an image by its hash, whichever merchant shows it.
func (q *Queries) Logo(ctx context.Context, hash string) (models.Logo, error) {
	var l models.Logo
	err := q.with(ctx).Where("hash = ?", hash).Order("merchant_id").Limit(1).Take(&l).Error
	return l, one("logo", err)
}
