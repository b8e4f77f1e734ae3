package scanner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// Source is what a scanner asks of a chain. An error is always safe: the scanner asks again later and skips no block.
type Source interface {
	// Head is the newest block that a healthy provider knows.
	Head(ctx context.Context) (chain.Header, error)
	// Final is the number of the newest block that cannot go away any more, not above upTo, from which depth is counted.
	Final(ctx context.Context, upTo uint64) (uint64, error)
	// Header is the canonical block at a height.
	Header(ctx context.Context, number uint64) (chain.Header, error)
	// Block is the canonical block at a height with its transactions and the transfers of listed tokens.
	Block(ctx context.Context, number uint64) (chain.Block, error)
	// Happened reports whether a transfer of a block that needs its receipt happened.
	Happened(ctx context.Context, block chain.Hash, t chain.Transfer) (bool, error)
	// Agree is nil when a second provider, where there is one, has the same block at this height.
	Agree(ctx context.Context, at chain.Ref) error
}

// Options are what a Scanner needs.
type Options struct {
	Chain    config.Chain
	Source   Source
	Store    *store.Store
	Payments *payments.Service
	Holder   string // names this process among the candidates for the lease
	// LeaseTTL is how long a dead leader's chain waits for a standby; 0 means 15 s.
	LeaseTTL time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
	Metrics  *telemetry.Metrics
}

// Scanner follows one chain.
type Scanner struct {
	chain    config.Chain
	source   Source
	store    *store.Store
	payments *payments.Service
	holder   string
	leaseTTL time.Duration
	clock    func() time.Time
	log      *slog.Logger
	metrics  *telemetry.Metrics
	watch    *watchSet

	mu    sync.Mutex
	state State
}

// State is what a scanner says of itself.
type State struct {
	Leading  bool
	Number   uint64 // last recorded block
	Head     uint64
	LastErr  error
	LastSeen time.Time // of the last answer of the chain
}

// New checks the options and returns a Scanner.
func New(o Options) (*Scanner, error) {
	if o.Source == nil || o.Store == nil || o.Payments == nil || o.Holder == "" || o.Now == nil || o.Logger == nil {
		return nil, errors.New("scanner: an option is missing")
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 15 * time.Second
	}
	return &Scanner{
		chain: o.Chain, source: o.Source, store: o.Store, payments: o.Payments, holder: o.Holder, leaseTTL: o.LeaseTTL,
		clock: o.Now, log: o.Logger.With("chain", o.Chain.Name), metrics: o.Metrics, watch: newWatchSet(),
	}, nil
}

// Run follows the chain until ctx ends: it waits for the lease, then records block after block.
func (s *Scanner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		fence, err := s.lead(ctx)
		if err == nil && fence != 0 {
			err = s.follow(ctx, fence)
		}
		s.note(func(st *State) { st.Leading = false; st.LastErr = err })
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "scanner.waiting", "error", err)
		}
		sleep(ctx, s.leaseTTL/5)
	}
	return s.store.ReleaseLease(context.WithoutCancel(ctx), s.chain.ChainID, s.holder)
}

// State returns what the scanner last did.
func (s *Scanner) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// lead takes the lease and returns its fence, 0 while somebody else leads.
func (s *Scanner) lead(ctx context.Context) (int64, error) {
	lease, err := s.store.TakeLease(ctx, s.chain.ChainID, s.holder, s.clock(), s.leaseTTL)
	if err != nil || lease.Holder != s.holder {
		return 0, err
	}
	return lease.Fence, nil
}

// follow records blocks while the lease is ours. Errors of providers are noted and tried again; only the loss of the
// lease and of the database end it.
func (s *Scanner) follow(ctx context.Context, fence int64) error {
	renewed := s.clock()
	s.log.InfoContext(ctx, "scanner.leading", "fence", fence)
	s.watch.reset()
	for ctx.Err() == nil {
		if s.clock().Sub(renewed) > s.leaseTTL/3 {
			now, err := s.lead(ctx)
			if err != nil {
				return err
			}
			if now != fence {
				return store.ErrFenced
			}
			renewed = s.clock()
		}
		more, err := s.step(ctx, fence)
		s.note(func(st *State) { st.Leading = true; st.LastErr = err })
		switch {
		case errors.Is(err, store.ErrFenced):
			return err
		case err != nil:
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "scanner.step_failed", "error", err)
			}
			sleep(ctx, max(s.chain.PollInterval, time.Second))
		case !more:
			sleep(ctx, s.chain.PollInterval)
		}
	}
	return nil
}

func (s *Scanner) note(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

// sleep waits, or not when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// ErrHalted is returned while a chain waits for an operator.
var ErrHalted = errors.New(
	"scanner: the chain is halted until an operator accepts what it did (`ctripctl chain accept`)")
