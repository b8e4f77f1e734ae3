package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// NotReplaceableError says that a payment keeps its order, because it is confirmed.
type NotReplaceableError struct{ PaymentID string }

func (e *NotReplaceableError) Error() string {
	return fmt.Sprintf("payment %s is confirmed: its order is paid", e.PaymentID)
}

// replaceOf makes a payment the one that replaces another one: it takes over the order of that one. What it finds is
// looked at again when the payment is written.
func (s *Service) replaceOf(ctx context.Context, r Request, p *models.Payment) error {
	if r.Replaces == "" {
		return nil
	}
	wrong := func(field, example, message string) error {
		return models.FieldErrors{{Field: field, Message: message, Example: example}}
	}
	const example = "pay_0k3mzq8r5v7w2x9y4b6c1d0efg"
	old, err := s.store.Payment(ctx, r.MerchantID, r.Replaces)
	switch {
	case errors.Is(err, models.ErrNotFound), err == nil && r.Test && !old.Test:
		return wrong("replaces", example, "is no payment of the merchant of this key")
	case err != nil:
		return err
	case old.Test != p.Test:
		return wrong("replaces", example, "is a payment of the other mode: test money replaces test money, and real money real")
	case old.OrderID == nil:
		return wrong("replaces", example, "has no order_id that it could give up")
	case r.OrderID != nil && *r.OrderID != *old.OrderID:
		return wrong("order_id", *old.OrderID, "is not the order of the payment that is replaced")
	case old.Status == models.PaymentConfirmed:
		return &NotReplaceableError{old.ID}
	}
	p.OrderID, p.Replaces = old.OrderID, &old.ID
	return nil
}

// giveUpOrder has the payment that p replaces give up its order, in the transaction that writes p. It goes on
// otherwise: its address is watched, and what it receives moves it and is announced.
func giveUpOrder(ctx context.Context, tx *store.Tx, actor models.Actor, p models.Payment) (models.AuditEntry, error) {
	locked, err := tx.LockPayments(ctx, []string{*p.Replaces})
	if err != nil {
		return models.AuditEntry{}, err
	}
	if len(locked) == 0 {
		return models.AuditEntry{}, models.ErrNotFound
	}
	old := locked[0]
	if old.Status == models.PaymentConfirmed {
		return models.AuditEntry{}, &NotReplaceableError{old.ID}
	}
	old.OrderReleased, old.UpdatedAt = true, p.CreatedAt
	if old.ReplacedBy == nil {
		old.ReplacedBy = &p.ID
	}
	line := auditLine(actor, "payment.replaced", old)
	line.Detail["by"] = p.ID
	return line, tx.SavePayment(ctx, old)
}
