package delivery

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// PauseAll is the incident switch: workers send nothing to anybody from within a second on. What waits is kept and spends no
// attempt; requests that are under way end. Turning what is turned already changes nothing.
func (s *Service) PauseAll(ctx context.Context, tx *store.Tx, actor models.Actor, reason string) error {
	p, err := tx.Pauses(ctx)
	if err != nil || p.All != nil {
		return err
	}
	now := s.now()
	if err := tx.PauseDeliveries(ctx, &now, reason); err != nil {
		return err
	}
	return s.auditPause(ctx, tx, actor, "deliveries.paused", "", reason)
}

// ResumeAll turns it back; what waited leaves oldest first, at a rate that rises.
func (s *Service) ResumeAll(ctx context.Context, tx *store.Tx, actor models.Actor) error {
	p, err := tx.Pauses(ctx)
	if err != nil || p.All == nil {
		return err
	}
	if err := tx.PauseDeliveries(ctx, nil, ""); err != nil {
		return err
	}
	return s.auditPause(ctx, tx, actor, "deliveries.resumed", "", "")
}

// PauseMerchant is the incident switch for the endpoints of one merchant.
func (s *Service) PauseMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, reason string) error {
	return s.turnMerchant(ctx, tx, actor, merchantID, reason, true)
}

// ResumeMerchant turns it back.
func (s *Service) ResumeMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string) error {
	return s.turnMerchant(ctx, tx, actor, merchantID, "", false)
}

func (s *Service) turnMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, reason string, pause bool) error {
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil || (m.DeliveriesPausedAt != nil) == pause {
		return err
	}
	now := s.now()
	since, action := &now, "deliveries.paused"
	if !pause {
		since, action = nil, "deliveries.resumed"
	}
	if err := tx.PauseDeliveriesOf(ctx, merchantID, since, now); err != nil {
		return err
	}
	return s.auditPause(ctx, tx, actor, action, merchantID, reason)
}

// auditPause writes what an operator did to everybody, or to one merchant.
func (s *Service) auditPause(ctx context.Context, tx *store.Tx, actor models.Actor, action, merchantID, reason string) error {
	e := models.AuditEntry{At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: merchantID, Merchant: merchantID}
	if merchantID == "" {
		e.Subject = "everybody"
	}
	if reason != "" {
		e.Detail = map[string]string{"reason": reason}
	}
	return tx.Audit(ctx, e)
}
