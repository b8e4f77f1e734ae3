package endpoints

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// PauseDeliveries stops all sending to the endpoints of a merchant, or of everybody where merchantID is "". Workers
// obey it within a second; requests that are under way end. What waits is kept and spends no attempt. Pausing what is
// paused changes nothing.
func (s *Service) PauseDeliveries(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	reason string) error {
	now := s.now()
	return s.setPause(ctx, tx, actor, merchantID, &now, reason)
}

// ResumeDeliveries ends what [Service.PauseDeliveries] began. What waited leaves oldest first, at a rate that rises.
func (s *Service) ResumeDeliveries(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string) error {
	return s.setPause(ctx, tx, actor, merchantID, nil, "")
}

func (s *Service) setPause(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string, since *time.Time,
	reason string) error {
	entry := models.AuditEntry{At: s.now(), Actor: actor.Name, IP: actor.IP, Action: "deliveries.resumed",
		Subject: merchantID, Merchant: merchantID}
	if since != nil {
		entry.Action = "deliveries.paused"
	}
	if reason != "" {
		entry.Detail = map[string]string{"reason": reason}
	}
	if merchantID == "" {
		entry.Subject = "everybody"
		p, err := tx.Pauses(ctx)
		if err != nil || (p.All != nil) == (since != nil) {
			return err
		}
		if err := tx.PauseDeliveries(ctx, since, reason); err != nil {
			return err
		}
		return tx.Audit(ctx, entry)
	}
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil || (m.DeliveriesPausedAt != nil) == (since != nil) {
		return err
	}
	if err := tx.PauseDeliveriesOf(ctx, merchantID, since, entry.At); err != nil {
		return err
	}
	return tx.Audit(ctx, entry)
}
