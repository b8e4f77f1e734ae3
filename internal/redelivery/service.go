package redelivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ErrEndpointDisabled refuses to send again to an endpoint that is disabled. It wraps [models.ErrConflict].
var ErrEndpointDisabled = fmt.Errorf("the endpoint is disabled: enable it first: %w", models.ErrConflict)

// ErrOtherMode refuses to send an event to an endpoint that takes no events of its mode any more. It wraps
// [models.ErrConflict].
var ErrOtherMode = fmt.Errorf("the endpoint takes no events of this mode: %w", models.ErrConflict)

// Options are what a Service needs.
type Options struct {
	Store *store.Store
	// MaxAttempts is the budget of a delivery to an endpoint that has none of its own.
	MaxAttempts int
	Now         func() time.Time
}

// Service sends events once more. Each operation writes through the transaction of its caller, its audit line included.
type Service struct {
	store       *store.Store
	maxAttempts int
	clock       func() time.Time
}

// New checks the options and returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.MaxAttempts <= 0 || o.Now == nil {
		return nil, errors.New("redelivery: Store, MaxAttempts and Now are needed")
	}
	return &Service{store: o.Store, maxAttempts: o.MaxAttempts, clock: o.Now}, nil
}

func (s *Service) now() time.Time { return models.Now(s.clock) }

// AuditRead records that somebody read the attempts of a delivery.
func (s *Service) AuditRead(ctx context.Context, tx *store.Tx, actor models.Actor, d models.Delivery) error {
	return s.audit(ctx, tx, actor, "attempts.read", d.ID, d.MerchantID, nil)
}

func (s *Service) audit(
	ctx context.Context, tx *store.Tx, actor models.Actor, action, subject, merchantID string, detail map[string]string,
) error {
	return tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: subject, Merchant: merchantID, Detail: detail,
	})
}
