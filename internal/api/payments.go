package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// CreatePayment makes a payment.
func (h *handlers) CreatePayment(ctx context.Context,
	r CreatePaymentRequestObject) (CreatePaymentResponseObject, error) {
	x := callerOf(ctx)
	ask := payments.Request{
		Actor:      x.actor(),
		MerchantID: x.merchant.ID, Test: x.key.Test, Chain: r.Body.Chain, Asset: r.Body.Asset, OrderID: r.Body.OrderID,
		Amount: deref(r.Body.Amount), AmountDecimal: deref(r.Body.AmountDecimal), Metadata: deref(r.Body.Metadata),
		ExpiresIn: time.Duration(deref(r.Body.ExpiresIn)) * time.Second, RedirectURL: deref(r.Body.RedirectURL),
		ToleranceBPS: deref(r.Body.ToleranceBPS), Replaces: deref(r.Body.Replaces),
	}
	return h.idempotent(ctx, r.Params.IdempotencyKey, func(recordOf recordFunc) (savedAnswer, error) {
		x.share.Leave() // what new payments read and write they share, and it bounds itself
		draft, err := h.payments.Prepare(ctx, ask)
		if err != nil {
			return savedAnswer{}, err
		}
		a, record, err := h.createdAnswer(draft.Payment(), recordOf)
		if err != nil {
			h.payments.Discard(draft)
			return savedAnswer{}, err
		}
		_, err = h.payments.Commit(ctx, draft, record)
		return a, err
	})
}

// createdAnswer is the answer about a new payment, and the record of the request's idempotency key that holds it.
func (h *handlers) createdAnswer(p models.Payment,
	recordOf recordFunc) (savedAnswer, *models.IdempotencyRecord, error) {
	a, err := answer(http.StatusCreated, h.payments.View(p, payments.State{}))
	if err != nil {
		return savedAnswer{}, nil, err
	}
	record, err := recordOf(a)
	return a, record, err
}

// CancelPayment closes a payment before anything arrived.
func (h *handlers) CancelPayment(ctx context.Context,
	r CancelPaymentRequestObject) (CancelPaymentResponseObject, error) {
	x := callerOf(ctx)
	if _, err := h.ownPayment(ctx, x, r.ID); err != nil {
		return nil, err
	}
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		p, err := h.payments.Cancel(ctx, tx, x.actor(), x.merchant.ID, r.ID)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusOK, h.payments.View(p, payments.State{}))
	})
}

// UpdatePayment replaces the metadata of a payment.
func (h *handlers) UpdatePayment(ctx context.Context,
	r UpdatePaymentRequestObject) (UpdatePaymentResponseObject, error) {
	x := callerOf(ctx)
	if _, err := h.ownPayment(ctx, x, r.ID); err != nil {
		return nil, err
	}
	var p models.Payment
	err := h.store.InTx(ctx, func(tx *store.Tx) (err error) {
		p, err = h.payments.SetMetadata(ctx, tx, x.actor(), x.merchant.ID, r.ID, r.Body.Metadata)
		return err
	})
	if err != nil {
		return nil, err
	}
	views, err := h.views(ctx, []models.Payment{p})
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, views[0])
}

// GetPayment shows one payment.
func (h *handlers) GetPayment(ctx context.Context, r GetPaymentRequestObject) (GetPaymentResponseObject, error) {
	p, err := h.ownPayment(ctx, callerOf(ctx), r.ID)
	if err != nil {
		return nil, err
	}
	views, err := h.views(ctx, []models.Payment{p})
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, views[0])
}

// ListPayments shows a page of payments, newest first, or exports all of them.
func (h *handlers) ListPayments(ctx context.Context, r ListPaymentsRequestObject) (ListPaymentsResponseObject, error) {
	x := callerOf(ctx)
	filter := store.PaymentFilter{
		Status: string(deref(r.Params.Status)), Chain: deref(r.Params.Chain), OrderID: deref(r.Params.OrderID),
		Test: x.key.Test, Created: store.Range{After: deref(r.Params.CreatedAfter), Before: deref(r.Params.CreatedBefore)},
	}
	if x.csv {
		return h.exportPayments(ctx, r.Params, filter)
	}
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := h.store.ListPayments(ctx, x.merchant.ID, filter, page)
	if err != nil {
		return nil, err
	}
	views, err := h.views(ctx, rows)
	if err != nil {
		return nil, err
	}
	list := ListPayments200JSONResponse{Data: views}
	if n := len(rows); n > 0 {
		list.NextCursor = nextCursor(n, page.Limit, rows[n-1].CreatedAt, rows[n-1].ID)
	}
	return list, nil
}

// ownPayment reads a payment of the caller; a test key sees only payments on test chains.
func (h *handlers) ownPayment(ctx context.Context, x requestContext, id string) (models.Payment, error) {
	if !models.IsID(models.PrefixPayment, id) {
		return models.Payment{}, NotFound("payment")
	}
	p, err := h.store.Payment(ctx, x.merchant.ID, id)
	if err == nil && x.key.Test && !p.Test {
		err = models.ErrNotFound
	}
	return p, h.orNotFound(err, "payment")
}

// views shows payments with their transfers and confirmations as of now.
func (h *handlers) views(ctx context.Context, ps []models.Payment) ([]webhook.Payment, error) {
	views := make([]webhook.Payment, 0, len(ps))
	if len(ps) == 0 {
		return views, nil
	}
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	transfers, err := h.store.TransfersOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	doubts, err := h.store.OpenDoubts(ctx, ids)
	if err != nil {
		return nil, err
	}
	heads, err := h.store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		views = append(views, h.payments.View(p, payments.State{Transfers: transfers[p.ID],
			Doubts: doubts[p.ID], Heads: heads}))
	}
	return views, nil
}

// deref is a parameter's value, or the zero value when it was left out.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
