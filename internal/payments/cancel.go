package payments

import (
	"cmp"
	"context"
	"errors"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ErrNotCancelable is returned for a payment that is not pending any more or has received something: money that was
// sent is never canceled away.
var ErrNotCancelable = errors.New("only a pending payment that has received nothing can be canceled")

// Cancel closes a merchant's payment before anything arrived. Its address stays watched for the monitoring window.
func (s *Service) Cancel(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	id string) (models.Payment, error) {
	locked, err := tx.LockPayments(ctx, []string{id})
	if err != nil {
		return models.Payment{}, err
	}
	if len(locked) == 0 || locked[0].MerchantID != merchantID {
		return models.Payment{}, models.ErrNotFound
	}
	p := locked[0]
	if !p.Status.CanMove(models.PaymentCanceled) || p.AmountReceived.Sign() > 0 {
		return models.Payment{}, ErrNotCancelable
	}
	now := s.now()
	closed := now
	cursor, err := tx.Cursor(ctx, p.ChainID)
	if err == nil {
		closed = later(now, cursor.BlockTime) // windows run in block time, which may be ahead of ours
	} else if !errors.Is(err, models.ErrNotFound) {
		return models.Payment{}, err
	}
	until := closed.Add(s.window)
	p.Status, p.ClosedAt, p.WatchUntil, p.UpdatedAt = models.PaymentCanceled, &now, &until, now
	p.OrderReleased = p.OrderID != nil
	p.Sequence++
	if err := s.publish(ctx, tx, Announcement{Type: webhook.PaymentCanceled, Payment: p}, nil, nil); err != nil {
		return models.Payment{}, err
	}
	if err := tx.SavePayment(ctx, p); err != nil {
		return models.Payment{}, err
	}
	return p, tx.Audit(ctx, auditLine(actor, "payment.canceled", p))
}

// auditLine tells of something that somebody did with a payment.
func auditLine(actor models.Actor, action string, p models.Payment) models.AuditEntry {
	detail := map[string]string{"chain": p.Chain, "asset": p.AssetSymbol, "amount": p.Amount.String()}
	if p.OrderID != nil {
		detail["order_id"] = *p.OrderID
	}
	return models.AuditEntry{At: p.UpdatedAt, Actor: cmp.Or(actor.Name, models.System.Name), IP: actor.IP, Action: action,
		Subject: p.ID, Merchant: p.MerchantID, Detail: detail}
}
