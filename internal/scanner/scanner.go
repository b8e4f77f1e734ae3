package scanner

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
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
	// Blocks are the canonical blocks of a range, at most maxWindow of them, each the parent of the next.
	Blocks(ctx context.Context, from, to uint64) ([]chain.Block, error)
	// Happened reports whether a transfer of a block that needs its receipt happened.
	Happened(ctx context.Context, block chain.Hash, t chain.Transfer) (bool, error)
	// Agree is nil when a second provider, where there is one, has the same block at this height.
	Agree(ctx context.Context, at chain.Ref) error
	// Announce calls heard whenever a provider announces a new block, until ctx ends.
	Announce(ctx context.Context, heard func())
	// Known is what was found out about the chain, and Recall adds what was found out by another process.
	Known() chain.Known
	Recall(chain.Known)
	Witnesses
	Accounts
}

// Witnesses are the other providers of a chain.
type Witnesses interface {
	// Providers is how many providers there are. With one, nothing has a witness.
	Providers() int
	// Testify reads the blocks of a range from a provider that is not the one named.
	Testify(ctx context.Context, from, to uint64, not string) ([]chain.Block, error)
	// Ask asks every provider, by itself, whether a block holds a transfer.
	Ask(ctx context.Context, block chain.Ref, c chain.Claim) []chain.Answer
	// Prove holds what providers say of blocks against the hashes of those blocks. There is one verdict for each.
	Prove(ctx context.Context, blocks []chain.Claimed) []chain.Verdict
}

// Accounts tell what addresses hold of the chain's own coin.
type Accounts interface {
	// CoinBalances are what accounts hold after a block, and which provider says so.
	CoinBalances(ctx context.Context, at chain.Ref, accounts []chain.Address) ([]*big.Int, string, error)
	// Balances are what accounts hold of an asset after a block.
	Balances(ctx context.Context, at chain.Ref, asset string, accounts []chain.Address) ([]*big.Int, error)
	// Accounts asks every provider, by itself, about one account.
	Accounts(ctx context.Context, at chain.Ref, account chain.Address) []chain.AccountAnswer
}

// Options are what a Scanner needs.
type Options struct {
	Chain    config.Chain
	Source   Source
	Store    *store.Store
	Payments *payments.Service
	Holder   string // names this process among the candidates for the lease
	// LeaseTTL is how long a dead leader's chain waits for a standby; 0 means 8 s.
	LeaseTTL time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
	Metrics  *telemetry.Metrics
	Tracing  *telemetry.Tracing
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
	tracing  *telemetry.Tracing
	watch    *watchSet
	ahead    ahead
	round    round
	coins    coinPass
	search   *search
	heard    chan struct{} // a new block was announced

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
		o.LeaseTTL = 8 * time.Second
	}
	return &Scanner{
		chain: o.Chain, source: o.Source, store: o.Store, payments: o.Payments, holder: o.Holder, leaseTTL: o.LeaseTTL,
		clock: o.Now, log: o.Logger.With("chain", o.Chain.Name), metrics: o.Metrics, tracing: o.Tracing,
		watch: newWatchSet(),
		heard: make(chan struct{}, 1),
	}, nil
}

// standbyTries is how often a standby asks for the lease in the time for which it lasts.
const standbyTries = 8

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
		sleep(ctx, s.leaseTTL/standbyTries)
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

// follow records blocks while the lease is ours, and renews it meanwhile. Errors of providers are noted and tried
// again; only the loss of the lease and of the database end it.
func (s *Scanner) follow(ctx context.Context, fence int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.log.InfoContext(ctx, "scanner.leading", "fence", fence)
	var beside sync.WaitGroup
	beside.Go(func() { s.renew(ctx, fence, stop) })
	beside.Go(func() { s.source.Announce(ctx, s.wake) })
	defer func() {
		stop(nil)
		beside.Wait()
		s.ahead.drop()
		s.endSearch()
		s.metrics.ForgetChain(s.chain.Name)
	}()
	s.watch.reset()
	s.round, s.coins = round{began: s.clock()}, coinPass{}
	s.recall(ctx)
	for ctx.Err() == nil {
		more, err := s.step(ctx, fence)
		s.note(func(st *State) { st.Leading = true; st.LastErr = err })
		switch {
		case errors.Is(err, store.ErrFenced):
			return err
		case err != nil:
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "scanner.step_failed", "error", err)
			}
			s.tellSilence(ctx)
			sleep(ctx, max(s.chain.PollInterval, time.Second))
		case !more:
			s.tellSilence(ctx)
			s.rest(ctx, s.chain.PollInterval)
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
		return cause
	}
	return nil
}

// wake ends a rest: a provider has announced a block.
func (s *Scanner) wake() {
	select {
	case s.heard <- struct{}{}:
	default: // it is awake
	}
}

// rest waits for the next block to be announced, and no longer than d: sockets fall silent.
func (s *Scanner) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.heard:
	case <-t.C:
	}
}

// renew keeps the lease, also while a step takes long, and stops the scanner when somebody else has it.
func (s *Scanner) renew(ctx context.Context, fence int64, stop context.CancelCauseFunc) {
	for {
		sleep(ctx, s.leaseTTL/3)
		if ctx.Err() != nil {
			return
		}
		now, err := s.lead(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.WarnContext(ctx, "scanner.lease_unsure", "error", err)
		case err == nil && now != fence:
			stop(store.ErrFenced)
			return
		}
	}
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
