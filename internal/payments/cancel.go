package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ErrNotCancelable is what every [NotCancelableError] is.
var ErrNotCancelable = errors.New("only a pending payment that has received nothing can be canceled")

// NotCancelableError is returned for a payment that is not pending any more or may have received something: money that
// was sent is never canceled away.
type NotCancelableError struct {
	Status  models.PaymentStatus
	Doubted bool // nothing was received, but a transfer is in doubt
}

func (e *NotCancelableError) Error() string {
	switch {
	case e.Status == models.PaymentCanceled:
		return "the payment is canceled already"
	case e.Status != models.PaymentPending:
		return fmt.Sprintf("the payment is %s, and only a pending one can be canceled", e.Status)
	case e.Doubted:
		return "a transfer to the payment is in doubt, and may have happened"
	}
	return "the payment has received money, and so cannot be canceled; a new one can replace it"
}

// Is makes every one of them ErrNotCancelable.
func (e *NotCancelableError) Is(target error) bool { return target == ErrNotCancelable }

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
		return models.Payment{}, &NotCancelableError{Status: p.Status}
	}
	if open, err := tx.OpenDoubts(ctx, []string{p.ID}); err != nil {
		return models.Payment{}, err
	} else if len(open) > 0 {
		return models.Payment{}, &NotCancelableError{Status: p.Status, Doubted: true}
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
	s.count(tx, p.Status, models.PaymentCanceled)
	p.Status, p.ClosedAt, p.WatchUntil, p.UpdatedAt = models.PaymentCanceled, &closed, &until, now
	p.OrderReleased = p.OrderReleased || p.OrderID != nil
	p.Sequence++
	if err := s.publish(ctx, tx, Announcement{Type: webhook.PaymentCanceled, Payment: p}, State{}); err != nil {
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
