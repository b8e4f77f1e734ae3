package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Redeliver sends an event to an endpoint once more (ruling 14): a pending delivery becomes due now, with the batch that it
// is in if it is in one, a finished one gets a new row with a budget of its own, the same body and the same webhook-id. To a
// disabled endpoint it is [ErrEndpointDisabled], to a deleted one [models.ErrNotFound]; what is held stays held.
func (s *Service) Redeliver(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, deliveryID string) (models.Delivery, error) {
	d, err := tx.LockDelivery(ctx, merchantID, deliveryID)
	if err != nil {
		return d, err
	}
	e, err := tx.Endpoint(ctx, d.MerchantID, d.EndpointID)
	if err != nil {
		return d, err
	}
	if e.Status == models.EndpointDisabled && !d.IsTest() {
		return d, ErrEndpointDisabled
	}
	return s.again(ctx, tx, actor, d, e, "delivery.redelivered")
}

// again is what Redeliver and an operator's Run in asynqmon have in common.
func (s *Service) again(ctx context.Context, tx *store.Tx, actor models.Actor, d models.Delivery, e models.Endpoint, action string) (models.Delivery, error) {
	now := s.now()
	next := d
	var err error
	switch d.State {
	case models.DeliveryPending:
		if next, err = s.dueNow(ctx, tx, d, now); err != nil {
			return d, err
		}
	case models.DeliveryHeld:
		return d, nil
	default:
		if next, err = s.repeat(ctx, tx, d, e, now); err != nil {
			return d, err
		}
		if err := tx.InsertDeliveries(ctx, []models.Delivery{next}); err != nil {
			return d, err
		}
	}
	return next, tx.Audit(ctx, models.AuditEntry{
		At: now, Actor: actor.Name, IP: actor.IP, Action: action, Subject: d.ID, Merchant: d.MerchantID,
		Detail: map[string]string{"as": next.ID, "event_id": d.EventID, "endpoint_id": d.EndpointID},
	})
}

// repeat is the row that sends the event of a finished delivery once more: a budget of its own, and attempts count on.
func (s *Service) repeat(ctx context.Context, tx *store.Tx, d models.Delivery, e models.Endpoint, now time.Time) (models.Delivery, error) {
	ev, err := tx.EventByID(ctx, d.EventID)
	if err != nil {
		return d, err
	}
	if d.IsTest() {
		e = open(e)
	}
	next := store.NewDelivery(ev, e, s.MaxAttempts, now)
	next.ReplayOf, next.SignWith = &d.ID, d.SignWith
	next.AttemptBase, err = tx.AttemptsMade(ctx, d.EventID, d.EndpointID)
	return next, err
}

// runDead answers an operator who pressed Run on the task of a dead delivery, once however often the task comes.
func (s *Service) runDead(ctx context.Context, deliveryID string) error {
	return s.Store.InTx(ctx, func(tx *store.Tx) error {
		d, err := tx.LockDelivery(ctx, "", deliveryID)
		if err != nil || d.State != models.DeliveryDead {
			return err
		}
		e, err := tx.Endpoint(ctx, d.MerchantID, d.EndpointID)
		if errors.Is(err, models.ErrNotFound) {
			return nil // the endpoint is gone, and with it the wish
		}
		if err != nil {
			return err
		}
		if d.EventID == "" {
			return s.runCarrier(ctx, tx, d, e)
		}
		return s.runOnce(ctx, tx, d, e)
	})
}

func (s *Service) runOnce(ctx context.Context, tx *store.Tx, d models.Delivery, e models.Endpoint) error {
	if _, err := tx.PendingReplay(ctx, d); !errors.Is(err, models.ErrNotFound) {
		return err
	}
	_, err := s.again(ctx, tx, models.Actor{Name: "operator"}, d, e, "delivery.run")
	return err
}

// The secrets of an endpoint that a test may ask for. Only one of them signs it then, so that a receiver can be tried with
// a secret before that becomes current, or after.
const (
	SignWithCurrent  = "current"
	SignWithNext     = "next"
	SignWithPrevious = "previous"
	// signWithAll marks a test that every live secret signs.
	signWithAll = "all"
)

// Test is what a test sends.
type Test struct {
	EventType webhook.EventType // "" is webhook.test
	SignWith  string            // the role of a secret; "" is every live one, as for any other event
}

// TestEndpoint sends an event with sample data to one endpoint, also to a disabled one and through an open breaker, because
// somebody waits for the verdict. It returns [Faults] for a type or a
// role that there is not.
func (s *Service) TestEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string, test Test) (models.Delivery, error) {
	e, err := tx.Endpoint(ctx, merchantID, id)
	if err != nil {
		return models.Delivery{}, err
	}
	if test.EventType == "" {
		test.EventType = webhook.WebhookTest
	}
	if err := s.checkTest(ctx, tx, e, test); err != nil {
		return models.Delivery{}, err
	}
	ev, err := s.endpointEvent(ctx, tx, test.EventType, e)
	if err != nil {
		return models.Delivery{}, err
	}
	if err := tx.InsertEvent(ctx, ev); err != nil {
		return models.Delivery{}, err
	}
	d := store.NewDelivery(ev, open(e), s.MaxAttempts, ev.CreatedAt)
	d.SignWith = cmp.Or(test.SignWith, signWithAll)
	if err := tx.InsertDeliveries(ctx, []models.Delivery{d}); err != nil {
		return d, err
	}
	return d, s.audit(ctx, tx, actor, "endpoint.tested", e, map[string]string{"delivery_id": d.ID, "event_type": ev.Type, "sign_with": test.SignWith})
}

// open is an endpoint as a test finds it: nothing keeps it back.
func open(e models.Endpoint) models.Endpoint {
	e.Status, e.BreakerState = models.EndpointEnabled, models.BreakerClosed
	return e
}

func (s *Service) checkTest(ctx context.Context, tx *store.Tx, e models.Endpoint, test Test) error {
	var faults Faults
	if !slices.Contains(webhook.EventTypes(), test.EventType) {
		faults = append(faults, Fault{Field: "event_type", Message: "is no event type", Example: string(webhook.PaymentConfirmed)})
	}
	secrets, err := tx.Secrets(ctx, e.ID, s.now())
	if err != nil {
		return err
	}
	live := LiveSecrets(secrets, s.now())
	there := map[string]bool{"": true, SignWithCurrent: live.Current != nil, SignWithNext: live.Next != nil, SignWithPrevious: len(live.Previous) > 0}
	if !there[test.SignWith] {
		faults = append(faults, Fault{Field: "sign_with", Message: "must name a live secret of the endpoint: current, next or previous", Example: SignWithCurrent})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// endpointEvent builds an event that tells about an endpoint; of a payment type, for a test, about a made-up payment.
func (s *Service) endpointEvent(ctx context.Context, tx *store.Tx, t webhook.EventType, e models.Endpoint) (models.Event, error) {
	now := s.now()
	secrets, err := tx.Secrets(ctx, e.ID, now)
	if err != nil {
		return models.Event{}, err
	}
	view := &webhook.Endpoint{ID: e.ID, URL: e.URL, Status: string(e.Status)}
	if e.DisabledReason != "" {
		view.DisabledReason = &e.DisabledReason
	}
	if live := LiveSecrets(secrets, now); live.Current != nil {
		view.SecretCreatedAt = webhook.AtPtr(&live.Current.CreatedAt)
		if s.SecretMaxAge > 0 {
			end := live.Current.ActiveFrom.Add(s.SecretMaxAge)
			view.SecretExpiresAt = webhook.AtPtr(&end)
		}
	}
	data := webhook.Data{Endpoint: view}
	if t.IsPayment() {
		data = events.Sample(t, now)
	}
	nonce, err := webhook.NewNonce(nil)
	if err != nil {
		return models.Event{}, err
	}
	ev := models.Event{ID: models.NewID(models.PrefixEvent, now), MerchantID: e.MerchantID, EndpointID: &e.ID, Type: string(t), CreatedAt: now}
	ev.Body, err = s.encoder.Encode(webhook.Event{
		ID: ev.ID, Type: t, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now), Timestamp: now.Unix(), Nonce: nonce,
		MerchantID: e.MerchantID, Data: data,
	})
	return ev, err
}
