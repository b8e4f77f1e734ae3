package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Options are what a Service needs.
type Options struct {
	Store    *store.Store
	Payments *payments.Service
	Chains   []config.Chain
	// Connect makes the providers of a chain; the service closes them again.
	Connect func(config.Chain) (*evm.Pool, error)
	Now     func() time.Time
}

// Service does what an operator asks about chains.
type Service struct {
	store    *store.Store
	payments *payments.Service
	chains   []config.Chain
	connect  func(config.Chain) (*evm.Pool, error)
	clock    func() time.Time
}

// New checks the options.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Payments == nil || o.Connect == nil || o.Now == nil {
		return nil, errors.New("operate: Store, Payments, Connect and Now are needed")
	}
	return &Service{store: o.Store, payments: o.Payments, chains: o.Chains, connect: o.Connect, clock: o.Now}, nil
}

func (s *Service) now() time.Time { return models.Now(s.clock) }

// ProviderError is what went wrong at the providers of a chain, in an operator's words.
type ProviderError struct{ Err error }

func (e *ProviderError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ProviderError) Unwrap() error { return e.Err }

// atProviders names an error that reading a chain ended with; nil stays nil.
func atProviders(err error) error {
	if err == nil || errors.Is(err, models.ErrNotFound) || store.IsUnavailable(err) {
		return err
	}
	return &ProviderError{err}
}

// configured is the entry of a chain in CHAINS_FILE.
func (s *Service) configured(name string) (config.Chain, error) {
	for _, c := range s.chains {
		if c.Name == name {
			return c, nil
		}
	}
	return config.Chain{}, fmt.Errorf("chain %q is not in CHAINS_FILE: %w", name, models.ErrNotFound)
}

// pool connects to the providers of a chain, and tells them what was found out about it before.
func (s *Service) pool(ctx context.Context, name string) (config.Chain, *evm.Pool, error) {
	c, err := s.configured(name)
	if err != nil {
		return c, nil, err
	}
	pool, err := s.connect(c)
	if err != nil {
		return c, nil, err
	}
	if cursor, err := cursorOf(ctx, &s.store.Queries, name); err == nil {
		pool.Recall(chain.ParseKnown(cursor.Known))
	}
	return c, pool, nil
}

// cursor is how far a chain has been recorded, by the name of the chain.
func cursorOf(ctx context.Context, q *store.Queries, name string) (models.ChainCursor, error) {
	cursors, err := q.Cursors(ctx)
	if err != nil {
		return models.ChainCursor{}, err
	}
	for _, c := range cursors {
		if c.Chain == name {
			return c, nil
		}
	}
	return models.ChainCursor{}, fmt.Errorf("chain %q: %w", name, models.ErrNotFound)
}

// line is a line of the audit log.
func (s *Service) line(actor models.Actor, action, subject string, detail map[string]string) models.AuditEntry {
	return models.AuditEntry{At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: subject,
		Detail: detail}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC()
	return &at
}
