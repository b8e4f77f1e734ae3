package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Publish writes events and their deliveries in the caller's transaction. The events are in the log in this order.
// After the commit the deliveries that need a task reach the hook of [store.Store.OnCommit], which is [Producer.Offer].
func Publish(ctx context.Context, tx *store.Tx, events []models.Event, budget int) ([]models.Delivery, error) {
	for i := range events {
		if events[i].Traceparent == "" {
			events[i].Traceparent = telemetry.CauseOf(ctx)
		}
	}
	if err := tx.InsertEvents(ctx, events); err != nil {
		return nil, err
	}
	var merchants []string
	for _, e := range events {
		if !slices.Contains(merchants, e.MerchantID) {
			merchants = append(merchants, e.MerchantID)
		}
	}
	endpoints, err := tx.Subscribers(ctx, merchants)
	if err != nil {
		return nil, err
	}
	if events, err = whoWasTold(ctx, tx, events, endpoints); err != nil {
		return nil, err
	}
	ds := FanOut(events, endpoints, budget)
	return ds, tx.InsertDeliveries(ctx, ds)
}

// FanOut decides which endpoint gets which event, and how each delivery starts. An event goes to every endpoint of its
// merchant that asks for its type, takes its mode and lets it through its filter, except the endpoint that an
// endpoint.disabled event tells about. Filters are about payments alone. What retracts something goes to whoever was
// sent that, whatever their filter says by now.
// The delivery is as old as its event and starts as [NewDelivery] says; where the endpoint asked for batches, a
// payment's event waits for one. It is pure but for the ids of the deliveries.
func FanOut(events []models.Event, endpoints []models.Endpoint, budget int) []models.Delivery {
	var ds []models.Delivery
	for _, e := range events {
		for _, ep := range endpoints {
			if gets(ep, e) {
				d := NewDelivery(e, ep, budget, e.CreatedAt)
				d.Test = new(e.Test) // not a pointer into the event, which would be kept with its body
				ds = append(ds, waitForBatch(d, ep))
			}
		}
	}
	return ds
}

func gets(ep models.Endpoint, e models.Event) bool {
	if ep.MerchantID != e.MerchantID || !ep.Mode.Takes(e.Test) {
		return false
	}
	if e.Type == string(webhook.EndpointDisabled) && *e.EndpointID == ep.ID {
		return false
	}
	if !filterTakes(ep, e) {
		return false
	}
	return slices.ContainsFunc(ep.Events, func(pattern string) bool {
		return webhook.Matches(pattern, webhook.EventType(e.Type))
	})
}

// filterTakes reports whether the filter of an endpoint lets an event through.
func filterTakes(ep models.Endpoint, e models.Event) bool {
	if e.About == nil || !webhook.EventType(e.Type).IsPayment() || slices.Contains(e.Told, ep.ID) {
		return true
	}
	return ep.Filter.Takes(*e.About)
}

// whoWasTold fills in [models.Event.Told] where a filter could keep a retraction from somebody.
func whoWasTold(ctx context.Context, tx *store.Tx, events []models.Event,
	endpoints []models.Endpoint) ([]models.Event, error) {
	filtered := func(e models.Event) bool {
		return slices.ContainsFunc(endpoints, func(ep models.Endpoint) bool {
			return ep.MerchantID == e.MerchantID && ep.Filter != nil
		})
	}
	var out []models.Event
	for i, e := range events {
		if len(e.Retracts) == 0 || !filtered(e) {
			continue
		}
		if out == nil {
			out = slices.Clone(events)
		}
		var err error
		if out[i].Told, err = tx.EndpointsSent(ctx, e.Retracts); err != nil {
			return nil, err
		}
	}
	if out == nil {
		return events, nil
	}
	return out, nil
}

// NewDelivery is the row that sends e to ep: pending and due now where the endpoint is enabled, held where it is paused
// or disabled, suspended until the breaker closes where that is open. budget is how many attempts an endpoint gets that
// has no number of its own.
func NewDelivery(e models.Event, ep models.Endpoint, budget int, now time.Time) models.Delivery {
	d := models.Delivery{
		ID: models.NewID(models.PrefixDelivery, now), EventID: e.ID, EndpointID: ep.ID, MerchantID: e.MerchantID,
		PaymentID: e.PaymentID, EventType: e.Type, State: models.DeliveryPending, Generation: 1, MaxAttempts: budget,
		Traceparent:   e.Traceparent,
		NextAttemptAt: now, SweepAfter: now.Add(Sweep.Enqueued), Slow: ep.Slow, CreatedAt: now, UpdatedAt: now,
	}
	if ep.MaxAttempts != nil {
		d.MaxAttempts = *ep.MaxAttempts
	}
	switch {
	case ep.Status != models.EndpointEnabled:
		d.State = models.DeliveryHeld
	case ep.BreakerState == models.BreakerOpen || ep.BreakerState == models.BreakerHalfOpen:
		d.Suspended, d.SweepAfter = true, store.NoSweep
		if ep.BreakerOpenUntil != nil {
			d.NextAttemptAt = later(now, *ep.BreakerOpenUntil)
		}
	}
	return d
}

// Unblocked is an endpoint as a test event finds it: enabled, and with a closed breaker. One that an operator paused
// stays so: tests wait as everything does.
func Unblocked(ep models.Endpoint) models.Endpoint {
	if ep.Status == models.EndpointDisabled {
		ep.Status = models.EndpointEnabled
	}
	ep.BreakerState = models.BreakerClosed
	return ep
}

// waitForBatch lets a new delivery wait for its batch, if its endpoint asked for that. What is not about a payment goes
// alone.
func waitForBatch(d models.Delivery, ep models.Endpoint) models.Delivery {
	_, wait, yes := ep.Batching()
	if !yes || !webhook.EventType(d.EventType).IsPayment() {
		return d
	}
	d.BatchID, d.Suspended = &ep.ID, false
	d.NextAttemptAt = d.CreatedAt.Add(wait)
	d.SweepAfter = d.NextAttemptAt.Add(batchGrace)
	return d
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
