package api

import (
	"context"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ListDeliveries shows a page of deliveries, newest first, or exports all of them.
func (h *handlers) ListDeliveries(ctx context.Context,
	r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	x := callerOf(ctx)
	filter := store.DeliveryFilter{
		EndpointID: deref(r.Params.EndpointID), EventID: deref(r.Params.EventID),
		EventType: string(deref(r.Params.EventType)), State: string(deref(r.Params.State)), Test: x.key.Test,
		Created: store.Range{After: deref(r.Params.CreatedAfter), Before: deref(r.Params.CreatedBefore)},
	}
	if x.csv {
		return h.exportDeliveries(ctx, r.Params, filter)
	}
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := h.store.ListDeliveries(ctx, x.merchant.ID, filter, page)
	if err != nil {
		return nil, err
	}
	list := ListDeliveries200JSONResponse{Data: []Delivery{}}
	for _, d := range rows {
		list.Data = append(list.Data, deliveryView(d))
	}
	if n := len(rows); n > 0 {
		list.NextCursor = nextCursor(n, page.Limit, rows[n-1].CreatedAt, rows[n-1].ID)
	}
	return list, nil
}

// GetDelivery shows a delivery with every attempt. Who looked is audited: answers of receivers are in it.
func (h *handlers) GetDelivery(ctx context.Context, r GetDeliveryRequestObject) (GetDeliveryResponseObject, error) {
	x := callerOf(ctx)
	d, err := h.ownDelivery(ctx, x, r.ID)
	if err != nil {
		return nil, err
	}
	attempts, err := h.store.Attempts(ctx, x.merchant.ID, d.ID)
	if err != nil {
		return nil, err
	}
	if len(attempts) > 0 {
		if err := h.redelivery.AuditRead(ctx, x.actor(), x.key.ID, d); err != nil {
			return nil, err
		}
	}
	v, err := detailView(d, attempts)
	return GetDelivery200JSONResponse(v), err
}

// Redeliver sends an event to an endpoint again: same body, same webhook-id, a row of its own.
func (h *handlers) Redeliver(ctx context.Context, r RedeliverRequestObject) (RedeliverResponseObject, error) {
	x := callerOf(ctx)
	if _, err := h.ownDelivery(ctx, x, r.ID); err != nil {
		return nil, err
	}
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		d, err := h.redelivery.Redeliver(ctx, tx, x.actor(), x.merchant.ID, r.ID)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusAccepted, deliveryView(d))
	})
}

// detail answers with a delivery and its attempts.
func (h *handlers) detail(ctx context.Context, x requestContext, d models.Delivery) (savedAnswer, error) {
	attempts, err := h.store.Attempts(ctx, x.merchant.ID, d.ID)
	if err != nil {
		return savedAnswer{}, err
	}
	v, err := detailView(d, attempts)
	if err != nil {
		return savedAnswer{}, err
	}
	return answer(http.StatusOK, v)
}

// ownDelivery reads a delivery of the caller; for a test key there are those of test events alone.
func (h *handlers) ownDelivery(ctx context.Context, x requestContext, id string) (models.Delivery, error) {
	if !models.IsID(models.PrefixDelivery, id) {
		return models.Delivery{}, NotFound("delivery")
	}
	d, err := h.store.Delivery(ctx, x.merchant.ID, id)
	if err == nil && x.key.Test {
		var test bool
		if test, err = h.store.TestDelivery(ctx, id); err == nil && !test {
			err = models.ErrNotFound
		}
	}
	return d, h.orNotFound(err, "delivery")
}
