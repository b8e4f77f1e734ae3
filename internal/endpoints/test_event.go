package endpoints

import (
	"cmp"
	"context"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// The secrets of an endpoint that a test event may ask for. Only one of them signs it then, so that a receiver can be
// tried with a secret before that becomes current, or after.
const (
	SignWithCurrent  = "current"
	SignWithNext     = "next"
	SignWithPrevious = "previous"
	// SignWithAll marks a test event that every live secret signs. No request asks for it by this name.
	SignWithAll = "all"
)

// Test is what a test sends.
type Test struct {
	EventType webhook.EventType // "" is webhook.test
	SignWith  string            // the role of a secret; "" is every live one, as for any other event
}

// SendTest sends an event with sample data to one endpoint, also to a disabled one and through an open breaker, because
// somebody waits for the answer. It returns [models.FieldErrors] for a type or a role that there is not.
func (s *Service) SendTest(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	test Test) (models.Delivery, error) {
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
	ev, err := s.event(ctx, tx, test.EventType, e)
	if err != nil {
		return models.Delivery{}, err
	}
	ev.Traceparent = telemetry.CauseOf(ctx)
	if err := tx.InsertEvents(ctx, []models.Event{ev}); err != nil {
		return models.Delivery{}, err
	}
	d := outbox.NewDelivery(ev, outbox.Unblocked(e), s.opts.MaxAttempts, ev.CreatedAt)
	d.Test = new(ev.Test)
	d.SignWith = cmp.Or(test.SignWith, SignWithAll)
	if err := tx.InsertDeliveries(ctx, []models.Delivery{d}); err != nil {
		return d, err
	}
	return d, s.audit(ctx, tx, actor, "endpoint.tested", e, map[string]string{
		"delivery_id": d.ID, "event_type": ev.Type, "sign_with": test.SignWith,
	})
}

func (s *Service) checkTest(ctx context.Context, tx *store.Tx, e models.Endpoint, test Test) error {
	var problems models.FieldErrors
	if !slices.Contains(webhook.EventTypes(), test.EventType) {
		problems = append(problems, models.FieldError{Field: "event_type", Message: "is no event type",
			Example: string(webhook.PaymentConfirmed)})
	}
	secrets, err := tx.Secrets(ctx, e.ID, s.now())
	if err != nil {
		return err
	}
	live := LiveSecrets(secrets, s.now())
	there := map[string]bool{
		"": true, SignWithCurrent: live.Current != nil, SignWithNext: live.Next != nil,
		SignWithPrevious: len(live.Previous) > 0,
	}
	if !there[test.SignWith] {
		problems = append(problems, models.FieldError{
			Field: "sign_with", Message: "must name a live secret of the endpoint: current, next or previous",
			Example: SignWithCurrent,
		})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// event makes an event of an endpoint.
func (s *Service) event(ctx context.Context, tx *store.Tx, t webhook.EventType,
	e models.Endpoint) (models.Event, error) {
	now := s.now()
	secrets, err := tx.Secrets(ctx, e.ID, now)
	if err != nil {
		return models.Event{}, err
	}
	var dates events.SecretDates
	if live := LiveSecrets(secrets, now); live.Current != nil {
		dates.CreatedAt = &live.Current.CreatedAt
		if s.opts.SecretMaxAge > 0 {
			end := live.Current.ActiveFrom.Add(s.opts.SecretMaxAge)
			dates.ExpiresAt = &end
		}
	}
	return s.events.Endpoint(t, e, dates, now)
}

// publish makes an event of an endpoint and publishes it to the merchant's other endpoints and, unless it was disabled,
// to this one.
func (s *Service) publish(ctx context.Context, tx *store.Tx, t webhook.EventType, e models.Endpoint) error {
	ev, err := s.event(ctx, tx, t, e)
	if err != nil {
		return err
	}
	_, err = outbox.Publish(ctx, tx, []models.Event{ev}, s.opts.MaxAttempts)
	return err
}
