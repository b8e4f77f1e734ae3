package payments

import (
	"context"
	"errors"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ErrNotCancelable is returned for a payment that is not pending any more or has received something (ruling 7).
var ErrNotCancelable = errors.New("only a pending payment that has received nothing can be canceled")

// Cancel closes a payment before anything arrived. Its address stays watched for the monitoring window.
func (s *Service) Cancel(ctx context.Context, merchantID, id string, also func(*store.Tx, models.Payment) error) (models.Payment, error) {
	var p models.Payment
	err := s.store.InTx(ctx, func(tx *store.Tx) error {
		locked, err := tx.LockPayments(ctx, []string{id})
		if err != nil {
			return err
		}
		if len(locked) == 0 || locked[0].MerchantID != merchantID {
			return models.ErrNotFound
		}
		p = locked[0]
		if !p.Status.CanMove(models.PaymentCanceled) || p.AmountReceived.Sign() > 0 {
			return ErrNotCancelable
		}
		now := s.now()
		until := now.Add(s.window)
		p.Status, p.ClosedAt, p.WatchUntil, p.UpdatedAt = models.PaymentCanceled, &now, &until, now
		p.Sequence++
		if err := s.publish(ctx, tx, Announcement{Type: webhook.PaymentCanceled, Payment: p}, nil, nil); err != nil {
			return err
		}
		if err := tx.SavePayment(ctx, p); err != nil {
			return err
		}
		return also(tx, p)
	})
	return p, err
}
