package payments

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// Options are what a Service needs.
type Options struct {
	Store  *store.Store
	Chains []config.Chain
	// PublicURL is where the checkout page lives, without a trailing slash.
	PublicURL string
	Expiry    time.Duration // how long a payment waits when the request does not say; 0 means DefaultExpiry
	Window    time.Duration // how long an address is watched after its payment has closed
	// MaxAttempts is the budget of deliveries to endpoints that have none of their own.
	MaxAttempts int
	// MaxOpen is how many open payments a merchant may have that has no limit of its own.
	MaxOpen int
	// Used tells which of some addresses already have a nonce or a balance on the chain; such an address is skipped
	// Nil trusts every address.
	Used   func(ctx context.Context, chainID uint64, addresses []string) (map[string]bool, error)
	Now    func() time.Time
	Logger *slog.Logger
	// Metrics counts payments that are set aside; nil counts nothing.
	Metrics *telemetry.Metrics
}

// Service makes payments and moves them.
type Service struct {
	store       *store.Store
	chains      map[string]config.Chain
	publicURL   string
	expiry      time.Duration
	window      time.Duration
	maxAttempts int
	maxOpen     int
	log         *slog.Logger
	metrics     *telemetry.Metrics
	clock       func() time.Time
	events      *events.Maker
	allocator   *allocator
	group       *groupCommit

	openMu sync.Mutex
	open   map[openKey]openCount
}

// New checks the options and returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Now == nil || o.Logger == nil {
		return nil, errors.New("payments: Store, Now and Logger are needed")
	}
	encoder, err := events.New()
	if err != nil {
		return nil, err
	}
	s := &Service{
		store: o.Store, chains: make(map[string]config.Chain), publicURL: o.PublicURL,
		expiry: cmp.Or(o.Expiry, DefaultExpiry), window: o.Window,
		maxAttempts: o.MaxAttempts, maxOpen: o.MaxOpen, log: o.Logger, metrics: o.Metrics, clock: o.Now, events: encoder,
		open: make(map[openKey]openCount),
	}
	for _, c := range o.Chains {
		s.chains[c.Name] = c
	}
	s.allocator = newAllocator(o)
	s.group = &groupCommit{store: o.Store, maxAttempts: o.MaxAttempts}
	return s, nil
}

// now is the time to the microsecond, which is what both databases keep.
func (s *Service) now() time.Time { return models.Now(s.clock) }
