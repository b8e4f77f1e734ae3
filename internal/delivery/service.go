package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Errors of the deeds. Each wraps [models.ErrConflict].
var (
	ErrEndpointLimit    = fmt.Errorf("the merchant has as many webhook endpoints as it may have: %w", models.ErrConflict)
	ErrEndpointDisabled = fmt.Errorf("the endpoint is disabled: enable it first: %w", models.ErrConflict)
	ErrEndpointPaused   = fmt.Errorf("the endpoint was paused by the operator, who alone can resume it: %w", models.ErrConflict)
	ErrSecretTooOld     = fmt.Errorf("the endpoint's secret is too old: rotate it first: %w", models.ErrConflict)
	ErrDefaultEndpoint  = fmt.Errorf("the default endpoint belongs to the deployment and is read-only: %w", models.ErrConflict)
)

// Fault and Faults are how a deed refuses a request whose fields break a rule.
type (
	Fault  = models.FieldError
	Faults = models.FieldErrors
)

// ServiceOptions are what the deeds need.
type ServiceOptions struct {
	Store *store.Store
	Vault *vault.Vault
	// CheckURL refuses the URLs that nothing may be sent to by their form, and returns the others normalised.
	CheckURL func(who egress.Party, raw string) (string, error)
	// MaxEndpoints is the limit of a merchant that has none of its own.
	MaxEndpoints int
	// MaxAttempts is the budget of a delivery to an endpoint that has none of its own.
	MaxAttempts int
	// Overlap is how long a rotated secret signs on when the request does not say.
	Overlap time.Duration
	// SecretMaxAge is the age at which a secret blocks edits of its endpoint until it is rotated; 0 is never.
	SecretMaxAge time.Duration
	// DefaultURL and DefaultSecret are the endpoint of every merchant that made none (ruling 17); an empty URL is none,
	// the zero Secret sends unsigned.
	DefaultURL    string
	DefaultSecret webhook.Secret
	Now           func() time.Time
	Logger        *slog.Logger
}

// Service changes endpoints and orders deliveries. Each deed writes through the transaction of its caller, its audit
// line included, so that what goes with it (the record of an idempotency key) is committed with it.
type Service struct {
	ServiceOptions
	encoder *events.Encoder
}

// NewService checks the options and returns a Service.
func NewService(o ServiceOptions) (*Service, error) {
	if o.Store == nil || o.Vault == nil || o.CheckURL == nil || o.Now == nil || o.Logger == nil {
		return nil, errors.New("delivery: Store, Vault, CheckURL, Now and Logger are needed")
	}
	if o.MaxEndpoints <= 0 || o.MaxAttempts <= 0 || o.Overlap < 0 || o.Overlap > MaxOverlap || o.SecretMaxAge < 0 {
		return nil, errors.New("delivery: MaxEndpoints, MaxAttempts or Overlap out of range")
	}
	encoder, err := events.New()
	if err != nil {
		return nil, err
	}
	return &Service{o, encoder}, nil
}

// now is the time to the microsecond, which is what both databases keep.
func (s *Service) now() time.Time { return models.Now(s.Now) }

// AuditRead records that somebody read the attempts of a delivery.
func (s *Service) AuditRead(ctx context.Context, tx *store.Tx, actor models.Actor, d models.Delivery) error {
	return tx.Audit(ctx, models.AuditEntry{At: s.now(), Actor: actor.Name, IP: actor.IP, Action: "attempts.read", Subject: d.ID, Merchant: d.MerchantID})
}

func (s *Service) audit(ctx context.Context, tx *store.Tx, actor models.Actor, action string, e models.Endpoint, detail map[string]string) error {
	return tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: e.ID, Merchant: e.MerchantID, Detail: detail,
	})
}
