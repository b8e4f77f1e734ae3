package endpoints

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Errors of the operations. Each wraps [models.ErrConflict].
var (
	ErrLimit  = fmt.Errorf("the merchant has as many webhook endpoints as it may have: %w", models.ErrConflict)
	ErrPaused = fmt.Errorf("the endpoint was paused by the operator, who alone can resume it: %w",
		models.ErrConflict)
	ErrSecretTooOld = fmt.Errorf("the endpoint's secret is too old: rotate it first: %w", models.ErrConflict)
	ErrModeIsFinal  = fmt.Errorf("the mode of an endpoint can only be narrowed, and test stays test: make another "+
		"endpoint: %w", models.ErrConflict)
	ErrBatchWaits = fmt.Errorf("a batch for the endpoint is being sent: change the mode when it is over: %w",
		models.ErrConflict)
	ErrDefault = fmt.Errorf("the default endpoint belongs to the deployment and is read-only: %w", models.ErrConflict)
)

// Options are what a Service needs.
type Options struct {
	Store *store.Store
	Vault *vault.Vault
	// CheckURL refuses the URLs that nothing may be sent to by their form, and returns the others normalised.
	CheckURL func(who egress.Tenant, raw string) (string, error)
	// MaxEndpoints is the limit of a merchant that has none of its own: of test endpoints, and of the others.
	MaxEndpoints int
	// MaxAttempts is the budget of a delivery to an endpoint that has none of its own.
	MaxAttempts int
	// Overlap is how long a rotated secret signs on when the request does not say.
	Overlap time.Duration
	// SecretMaxAge is the age at which a secret blocks edits of its endpoint until it is rotated; 0 is never.
	SecretMaxAge time.Duration
	// DefaultURL and DefaultSecret are the endpoint of every merchant that made none. An empty URL is none, the zero
	// Secret sends unsigned.
	DefaultURL    string
	DefaultSecret webhook.Secret
	// Chains are those of the gateway, whose names a filter may have.
	Chains []config.Chain
	Now    func() time.Time
}

// Service changes endpoints. It is safe for concurrent use.
type Service struct {
	opts   Options
	store  *store.Store
	vault  *vault.Vault
	events *events.Maker
}

// New checks the options and returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Vault == nil || o.CheckURL == nil || o.Now == nil {
		return nil, errors.New("endpoints: Store, Vault, CheckURL and Now are needed")
	}
	if o.MaxEndpoints <= 0 || o.MaxAttempts <= 0 || o.Overlap < 0 || o.Overlap > MaxOverlap || o.SecretMaxAge < 0 {
		return nil, errors.New("endpoints: MaxEndpoints, MaxAttempts, Overlap or SecretMaxAge out of range")
	}
	maker, err := events.New()
	if err != nil {
		return nil, err
	}
	return &Service{opts: o, store: o.Store, vault: o.Vault, events: maker}, nil
}

func (s *Service) now() time.Time { return models.Now(s.opts.Now) }

func (s *Service) audit(ctx context.Context, tx *store.Tx, actor models.Actor, action string, e models.Endpoint,
	detail map[string]string) error {
	return tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: e.ID, Merchant: e.MerchantID, Detail: detail,
	})
}
