package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// maxQuarantined is how many payments are listed at once.
const maxQuarantined = 200

// Quarantined is a payment that could not be recomputed and was set aside, so that its block could be recorded.
type Quarantined struct {
	PaymentID  string     `json:"payment_id"`
	MerchantID string     `json:"merchant_id"`
	Chain      string     `json:"chain"`
	Status     string     `json:"status"`
	Since      *time.Time `json:"since"`
	Reason     string     `json:"reason"`
}

// Quarantine lists the payments that are set aside, those that wait longest first.
func (a *Admin) Quarantine(ctx context.Context) ([]Quarantined, error) {
	ps, err := a.store.QuarantinedPayments(ctx, maxQuarantined)
	if err != nil {
		return nil, err
	}
	list := make([]Quarantined, len(ps))
	for i, p := range ps {
		list[i] = Quarantined{PaymentID: p.ID, MerchantID: p.MerchantID, Chain: p.Chain, Status: string(p.Status),
			Since: utc(p.QuarantinedAt), Reason: p.QuarantineReason}
	}
	return list, nil
}

// RetryQuarantine recomputes the payments that are set aside, at once, and returns those that still are.
func (a *Admin) RetryQuarantine(ctx context.Context) ([]Quarantined, error) {
	s, err := a.payments()
	if err != nil {
		return nil, err
	}
	changed, err := s.Retry(ctx, a.utc().Add(time.Second))
	if err != nil {
		return nil, err
	}
	if len(changed) > 0 {
		err = a.store.InTx(ctx, func(tx *store.Tx) error {
			for _, c := range changed {
				if err := tx.Audit(ctx, models.AuditEntry{
					At: a.utc(), Actor: a.actor.Name, Action: "payment.quarantine_retried", Subject: c.Payment.ID,
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return a.Quarantine(ctx)
}
