package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// disableGone disables an endpoint that answered 410. A default endpoint stays as it is (ruling 17).
func (s *Service) disableGone(ctx context.Context, tx *store.Tx, merchantID, id string) error {
	e, err := tx.LockEndpoint(ctx, merchantID, id)
	if errors.Is(err, models.ErrNotFound) || err == nil && (e.IsDefault || e.Status != models.EndpointEnabled) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.disable(ctx, tx, e, "the receiver answered 410 Gone")
}

// disableFailing disables an endpoint that had no success for a time, unless somebody else changed it meanwhile.
func (s *Service) disableFailing(ctx context.Context, tx *store.Tx, e models.Endpoint, after time.Duration) error {
	return s.disable(ctx, tx, e, fmt.Sprintf("no delivery succeeded for %s, and %d attempts failed", after, e.Failures))
}

// disable is what the gateway does by itself to an endpoint, whose row is locked: what waits for it is held, the
// merchant's other endpoints hear of it, an audit line is written.
func (s *Service) disable(ctx context.Context, tx *store.Tx, e models.Endpoint, reason string) error {
	e.Status, e.DisabledReason, e.UpdatedAt = models.EndpointDisabled, reason, s.now()
	e, err := tx.SaveEndpoint(ctx, e)
	if err != nil {
		return err
	}
	n, err := tx.HoldDeliveries(ctx, e.ID, e.UpdatedAt)
	if err != nil {
		return err
	}
	ev, err := s.endpointEvent(ctx, tx, webhook.EndpointDisabled, e)
	if err != nil {
		return err
	}
	if _, err := tx.Publish(ctx, ev, s.MaxAttempts); err != nil {
		return err
	}
	return s.audit(ctx, tx, models.System, "endpoint.disabled", e, map[string]string{"reason": e.DisabledReason, "deliveries": fmt.Sprint(n)})
}
