package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Pauses says to whom nothing is sent: the incident switch. Endpoints that are paused by themselves are not in it.
type Pauses struct {
	All       *time.Time // since when nothing is sent to anybody
	Reason    string     // of All
	Merchants map[string]bool
}

// Paused reports whether nothing may be sent for a merchant.
func (p Pauses) Paused(merchantID string) bool { return p.All != nil || p.Merchants[merchantID] }

type deliveryPause struct {
	ID       int `gorm:"primaryKey"`
	PausedAt *time.Time
	Reason   string
}

func (deliveryPause) TableName() string { return "delivery_pause" }

// Pauses reads the incident switch.
func (q *Queries) Pauses(ctx context.Context) (Pauses, error) {
	var all deliveryPause
	if err := q.with(ctx).Where("id = 1").Take(&all).Error; err != nil {
		return Pauses{}, wrap("delivery pause", err)
	}
	p := Pauses{All: all.PausedAt, Reason: all.Reason, Merchants: make(map[string]bool)}
	var ids []string
	err := q.with(ctx).Model(&models.Merchant{}).Where("deliveries_paused_at IS NOT NULL").Pluck("id", &ids).Error
	for _, id := range ids {
		p.Merchants[id] = true
	}
	return p, wrap("delivery pause", err)
}

// PauseDeliveries turns the incident switch for everybody on, or off with a nil since.
func (tx *Tx) PauseDeliveries(ctx context.Context, since *time.Time, reason string) error {
	return wrap("pause deliveries", tx.with(ctx).Model(&deliveryPause{}).Where("id = 1").
		Updates(map[string]any{"paused_at": since, "reason": reason}).Error)
}

// PauseDeliveriesOf turns it for one merchant.
func (tx *Tx) PauseDeliveriesOf(ctx context.Context, merchantID string, since *time.Time, now time.Time) error {
	return wrap("pause deliveries of "+merchantID, tx.with(ctx).Model(&models.Merchant{}).Where("id = ?", merchantID).
		Updates(map[string]any{"deliveries_paused_at": since, "updated_at": now}).Error)
}
