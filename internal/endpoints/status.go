package endpoints

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Enable lets an endpoint have its deliveries again; what was held leaves oldest first. Enabling an enabled one
// changes nothing; what the operator paused it refuses with [ErrPaused].
func (s *Service) Enable(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	id string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointEnabled, "")
}

// Disable holds the deliveries of an endpoint until it is enabled.
func (s *Service) Disable(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id,
	reason string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointDisabled, reason)
}

// Pause is the Disable of the operator: only [Service.Resume] ends it. Until then nothing leaves, tests neither, and
// the merchant can neither delete the endpoint nor have another one at its host.
func (s *Service) Pause(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id,
	reason string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointPaused, reason)
}

// Resume enables what the operator paused.
func (s *Service) Resume(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	id string) (models.Endpoint, error) {
	e, err := tx.LockEndpoint(ctx, merchantID, id)
	if err != nil || e.Status != models.EndpointPaused {
		return e, err
	}
	return s.moveTo(ctx, tx, actor, e, models.EndpointEnabled, "")
}

func (s *Service) setStatus(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	to models.EndpointStatus, reason string) (models.Endpoint, error) {
	e, err := s.own(ctx, tx, merchantID, id)
	switch {
	case err != nil:
		return e, err
	case e.Status == to:
		return e, nil
	case e.Status == models.EndpointPaused:
		return e, ErrPaused
	}
	return s.moveTo(ctx, tx, actor, e, to, reason)
}

func (s *Service) moveTo(ctx context.Context, tx *store.Tx, actor models.Actor, e models.Endpoint,
	to models.EndpointStatus, reason string) (models.Endpoint, error) {
	now := s.now()
	from := e.Status
	e.Status, e.DisabledReason, e.UpdatedAt = to, reason, now
	if to == models.EndpointEnabled {
		e = breaker.Close(e)
	}
	e, err := tx.SaveEndpoint(ctx, e)
	if err != nil {
		return e, err
	}
	var n int64
	if to == models.EndpointEnabled {
		n, err = tx.ResumeDeliveries(ctx, e.ID, now, outbox.Sweep)
	} else {
		n, err = tx.HoldDeliveries(ctx, e.ID, to == models.EndpointPaused, now)
	}
	if err != nil {
		return e, err
	}
	return e,
		s.audit(ctx, tx, actor, "endpoint."+string(to), e,
			map[string]string{"from": string(from), "reason": reason, "deliveries": fmt.Sprint(n)})
}

// DisableGone disables an endpoint that answered 410. A default endpoint stays as it is, because it belongs to the
// deployment.
func (s *Service) DisableGone(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string) error {
	e, err := tx.LockEndpoint(ctx, merchantID, id)
	if errors.Is(err, models.ErrNotFound) || err == nil && (e.IsDefault || e.Status != models.EndpointEnabled) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.disable(ctx, tx, actor, e, "the receiver answered 410 Gone")
}

// DisableFailing disables an endpoint that had no success for a time, unless somebody else changed it meanwhile.
func (s *Service) DisableFailing(ctx context.Context, tx *store.Tx, actor models.Actor, e models.Endpoint,
	after time.Duration) error {
	return s.disable(ctx, tx, actor, e, fmt.Sprintf("no delivery succeeded for %s, and %d attempts failed", after,
		e.Failures))
}

// disable is what the gateway does by itself to an endpoint, whose row is locked: what waits for it is held, the
// merchant's other endpoints hear of it, an audit line is written.
func (s *Service) disable(ctx context.Context, tx *store.Tx, actor models.Actor, e models.Endpoint,
	reason string) error {
	e.Status, e.DisabledReason, e.UpdatedAt = models.EndpointDisabled, reason, s.now()
	e, err := tx.SaveEndpoint(ctx, e)
	if err != nil {
		return err
	}
	n, err := tx.HoldDeliveries(ctx, e.ID, false, e.UpdatedAt)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, tx, webhook.EndpointDisabled, e); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "endpoint.disabled", e,
		map[string]string{"reason": e.DisabledReason, "deliveries": fmt.Sprint(n)})
}
