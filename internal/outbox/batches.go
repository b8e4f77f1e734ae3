package outbox

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// InsertBatch writes a batch of deliveries that waited for it, oldest first, and the batch delivery that is sent in
// their place. That one reaches the hook of [store.Store.OnCommit] after the commit, or waits like any new delivery.
func InsertBatch(ctx context.Context, tx *store.Tx, ep models.Endpoint, body []byte, members []store.BatchCandidate,
	budget int, now time.Time) (models.Delivery, error) {
	b := models.Batch{
		ID: models.NewID(models.PrefixBatch, now), MerchantID: ep.MerchantID, EndpointID: ep.ID, Events: len(members),
		Body: body, CreatedAt: now, Traceparent: members[0].Cause,
	}
	d := NewDelivery(models.Event{MerchantID: ep.MerchantID, Type: models.BatchType, Traceparent: b.Traceparent}, ep,
		budget, now)
	d.BatchID, d.CreatedAt = &b.ID, members[0].CreatedAt // as old as its oldest member, where order counts
	ids := make([]string, len(members))
	var positions []int64
	for i, m := range members {
		ids[i] = m.ID
		if m.Pos != nil {
			positions = append(positions, *m.Pos)
		}
	}
	if len(positions) == len(members) {
		b.Positions = webhook.FormatPositions(positions)
	}
	return d, tx.InsertBatch(ctx, b, d, ids, later(now, d.NextAttemptAt).Add(Sweep.Batched))
}

// SendAlone takes a delivery out of those that wait for a batch: it is due now, or suspended while the breaker is open.
// After the commit it reaches the hook of [store.Store.OnCommit].
func SendAlone(ctx context.Context, tx *store.Tx, ep models.Endpoint, d models.Delivery, now time.Time) error {
	fresh := NewDelivery(models.Event{Type: d.EventType}, ep, d.MaxAttempts, now)
	d.NextAttemptAt, d.SweepAfter, d.Suspended, d.Slow, d.UpdatedAt = fresh.NextAttemptAt, fresh.SweepAfter,
		fresh.Suspended, fresh.Slow, now
	return tx.LeaveBatch(ctx, d)
}
