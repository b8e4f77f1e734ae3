package store

import (
	"context"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// sweepFresh is how long a delivery that was never attempted is left to the producer before the sweeper takes it for
// lost (ruling 12).
const sweepFresh = 10 * time.Second

// Publish writes an event and one delivery for every endpoint of its merchant that asks for its type: pending where
// the endpoint is enabled, held where it is paused or disabled (ruling 10); where it asked for batches, a payment's event
// waits to be gathered into one. maxAttempts is the budget of an endpoint
// that has none of its own. The endpoint that an endpoint.* event tells about is left out.
func (tx *Tx) Publish(ctx context.Context, e models.Event, maxAttempts int) ([]models.Delivery, error) {
	return tx.PublishAll(ctx, []models.Event{e}, maxAttempts)
}

// PublishAll is [Tx.Publish] for several events at once, which are in the log in this order.
func (tx *Tx) PublishAll(ctx context.Context, events []models.Event, maxAttempts int) ([]models.Delivery, error) {
	if err := tx.with(ctx).Omit("Seq").Create(&events).Error; err != nil {
		return nil, wrap("insert events", err)
	}
	var merchants []string
	for _, e := range events {
		if !slices.Contains(merchants, e.MerchantID) {
			merchants = append(merchants, e.MerchantID)
		}
	}
	var endpoints []models.Endpoint
	err := tx.with(ctx).Select("id", "merchant_id", "events", "status", "max_attempts", "breaker_state", "breaker_open_until", "slow", "batch_max_events", "batch_max_wait_ms").
		Where("merchant_id IN ? AND deleted_at IS NULL", merchants).Order("id").Find(&endpoints).Error
	if err != nil {
		return nil, wrap("endpoints of merchants", err)
	}
	var rows []models.Delivery
	for _, e := range events {
		for _, ep := range endpoints {
			if ep.MerchantID != e.MerchantID || e.Type == string(webhook.EndpointDisabled) && *e.EndpointID == ep.ID || !asksFor(ep.Events, e.Type) {
				continue
			}
			rows = append(rows, gathered(NewDelivery(e, ep, maxAttempts, e.CreatedAt), ep))
		}
	}
	return rows, tx.InsertDeliveries(ctx, rows)
}

// NewDelivery is the row that carries e to ep, due at now, or parked while its breaker is open.
func NewDelivery(e models.Event, ep models.Endpoint, maxAttempts int, now time.Time) models.Delivery {
	d := models.Delivery{
		ID: models.NewID(models.PrefixDelivery, now), EventID: e.ID, EndpointID: ep.ID, MerchantID: e.MerchantID,
		PaymentID: e.PaymentID, EventType: e.Type, State: models.DeliveryPending, Generation: 1, MaxAttempts: maxAttempts,
		NextAttemptAt: now, SweepAfter: now.Add(sweepFresh), Slow: ep.Slow, CreatedAt: now, UpdatedAt: now,
	}
	if ep.MaxAttempts != nil {
		d.MaxAttempts = *ep.MaxAttempts
	}
	switch {
	case ep.Status != models.EndpointEnabled:
		d.State = models.DeliveryHeld
	case ep.BreakerState == models.BreakerOpen || ep.BreakerState == models.BreakerHalfOpen:
		d.Suspended, d.SweepAfter = true, never
		if ep.BreakerOpenUntil != nil {
			d.NextAttemptAt = later(now, *ep.BreakerOpenUntil)
		}
	}
	return d
}

// InsertDeliveries writes delivery rows; after the commit those that want a task reach the hook of [Store.OnCommit].
func (tx *Tx) InsertDeliveries(ctx context.Context, rows []models.Delivery) error {
	if len(rows) == 0 {
		return nil
	}
	if err := tx.with(ctx).Create(&rows).Error; err != nil {
		return wrap("insert deliveries", err)
	}
	for _, d := range rows {
		if d.State == models.DeliveryPending && !d.Suspended && d.BatchID == nil {
			tx.written = append(tx.written, d)
		}
	}
	return nil
}

// Event reads one event of a merchant.
func (q *Queries) Event(ctx context.Context, merchantID, id string) (models.Event, error) {
	var e models.Event
	err := q.with(ctx).Where("merchant_id = ? AND id = ?", merchantID, id).Take(&e).Error
	return e, one("event "+id, err)
}

func asksFor(patterns []string, eventType string) bool {
	for _, p := range patterns {
		if webhook.Matches(p, webhook.EventType(eventType)) {
			return true
		}
	}
	return false
}
