package scanner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// Source is a chain as a scanner needs to see it. An error is always safe: the scanner asks again and skips nothing.
type Source interface {
	// Head is the newest block that a healthy provider knows.
	Head(ctx context.Context) (chain.Header, error)
	// Final is the number of the newest block that cannot go away any more, not above upTo, from which depth is counted.
	Final(ctx context.Context, upTo uint64) (uint64, error)
	// Header is the canonical block at a height.
	Header(ctx context.Context, number uint64) (chain.Header, error)
	// Block is the canonical block at a height with its transactions and the transfers of listed tokens.
	Block(ctx context.Context, number uint64) (chain.Block, error)
	// Succeeded reports whether a transaction of a block did what it says.
	Succeeded(ctx context.Context, block, tx chain.Hash) (bool, error)
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
	Options
	watch *watchSet

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
	o.Logger = o.Logger.With("chain", o.Chain.Name)
	return &Scanner{Options: o, watch: newWatchSet()}, nil
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
			s.Logger.WarnContext(ctx, "scanner.waiting", "err", err)
		}
		sleep(ctx, s.LeaseTTL/5)
	}
	return s.Store.ReleaseLease(context.WithoutCancel(ctx), s.Chain.ChainID, s.Holder)
}

// State returns what the scanner last did.
func (s *Scanner) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// lead takes the lease and returns its fence, 0 while somebody else leads.
func (s *Scanner) lead(ctx context.Context) (int64, error) {
	lease, err := s.Store.TakeLease(ctx, s.Chain.ChainID, s.Holder, s.Now(), s.LeaseTTL)
	if err != nil || lease.Holder != s.Holder {
		return 0, err
	}
	return lease.Fence, nil
}

// follow records blocks while the lease is ours. Errors of providers are noted and tried again; only the loss of the
// lease and of the database end it.
func (s *Scanner) follow(ctx context.Context, fence int64) error {
	renewed := s.Now()
	s.Logger.InfoContext(ctx, "scanner.leading", "fence", fence)
	s.watch.reset()
	for ctx.Err() == nil {
		if s.Now().Sub(renewed) > s.LeaseTTL/3 {
			now, err := s.lead(ctx)
			if err != nil {
				return err
			}
			if now != fence {
				return store.ErrFenced
			}
			renewed = s.Now()
		}
		more, err := s.step(ctx, fence)
		s.note(func(st *State) { st.Leading = true; st.LastErr = err })
		switch {
		case errors.Is(err, store.ErrFenced):
			return err
		case err != nil:
			if ctx.Err() == nil {
				s.Logger.WarnContext(ctx, "scanner.step_failed", "err", err)
			}
			sleep(ctx, max(s.Chain.PollInterval, time.Second))
		case !more:
			sleep(ctx, s.Chain.PollInterval)
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
var ErrHalted = fmt.Errorf("scanner: the chain is halted until an operator accepts what it did (`ctripctl chain accept`)")
