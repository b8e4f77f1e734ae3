package evm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

const (
	// callTimeout is the default of Options.Timeout.
	callTimeout = 10 * time.Second
	// cooldown is how long a provider that failed once is asked only when no other answers; it doubles up to maxCooldown.
	cooldown    = 10 * time.Second
	maxCooldown = 2 * time.Minute
)

// Options describe one chain.
type Options struct {
	Name    string
	ChainID uint64
	URLs    []string // http, https, ws or wss, in the order of preference
	Sockets []string // ws or wss, on which providers announce new blocks besides
	// Tag is "finalized", "safe" or "", Depth the confirmations that make a block final where the tag is not supported.
	Tag    string
	Depth  uint64
	Tokens []string // contracts whose transfers are read, 0x in lower case
	// Multicall is the address of Multicall3, for [Pool.Balances]; empty where the chain has none.
	Multicall string
	// Internal says how coin that contracts send is found: "auto", "trace", "balance" or "off"; "" means auto.
	Internal string
	// Proofs says which blocks are held against their hashes: "all", those with money ("hits") or none ("off"). With ""
	// only their transactions are.
	Proofs  string
	Timeout time.Duration // of one request to one provider; 0 means 10 s
	// Rate is how many calls a second a provider is asked, each call of a batch counted; 0 means no limit.
	Rate    float64
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *telemetry.Metrics
}

// Pool is the providers of one chain. It is safe for concurrent use.
type Pool struct {
	opts      Options
	providers []*provider
	tokens    []common.Address
	listed    map[common.Address]bool // the same
	multicall *common.Address
	emitter   coinEmitter
	// coinLogsSince is the first block that is known to hold logs about the chain's own coin; 0 while none is.
	coinLogsSince atomic.Uint64
	proofs        proofState

	mu          sync.Mutex
	tagRejected time.Time          // when every provider last called the tag unsupported
	unwitnessed map[chain.Hash]int // how often a block was read whose emptiness nothing confirms
	wrongBloom  bool               // a block held a log that its bloom filter excludes
}

// New checks the options. It connects when it is first asked.
func New(o Options) (*Pool, error) {
	if o.Name == "" || o.ChainID == 0 || len(o.URLs) == 0 || o.Now == nil || o.Logger == nil {
		return nil, errors.New("evm: Name, ChainID, URLs, Now and Logger are needed")
	}
	if o.Timeout <= 0 {
		o.Timeout = callTimeout
	}
	p := &Pool{
		opts: o, listed: make(map[common.Address]bool, len(o.Tokens)), emitter: emitterOf(o.ChainID),
		unwitnessed: make(map[chain.Hash]int),
	}
	for _, raw := range o.URLs {
		pr, err := newProvider(raw, o.Rate, o.Now)
		if err != nil {
			return nil, fmt.Errorf("evm: %s: %w", o.Name, err)
		}
		pr.name = pr.host
		for i := 2; slices.ContainsFunc(p.providers, func(other *provider) bool { return other.name == pr.name }); i++ {
			pr.name = fmt.Sprintf("%s#%d", pr.host, i)
		}
		p.providers = append(p.providers, pr)
	}
	for _, raw := range o.Sockets {
		if u, err := url.Parse(raw); err != nil || u.Host == "" {
			return nil, fmt.Errorf("evm: %s: a WebSocket URL does not parse", o.Name)
		}
	}
	for _, t := range o.Tokens {
		if !common.IsHexAddress(t) {
			return nil, fmt.Errorf("evm: %s: %q is no contract address", o.Name, t)
		}
		p.tokens = append(p.tokens, common.HexToAddress(t))
		p.listed[common.HexToAddress(t)] = true
	}
	if o.Multicall != "" {
		if !common.IsHexAddress(o.Multicall) {
			return nil, fmt.Errorf("evm: %s: %q is no address of Multicall3", o.Name, o.Multicall)
		}
		at := common.HexToAddress(o.Multicall)
		p.multicall = &at
	}
	return p, nil
}

// Close ends the connections.
func (p *Pool) Close() {
	for _, pr := range p.providers {
		pr.drop()
	}
}

// question is put to one provider's node.
type question func(context.Context, *conn) error

// try asks one provider after the other until the question is answered, healthy ones first.
func (p *Pool) try(ctx context.Context, call string, ask question) error {
	var errs []error
	for _, pr := range p.ranked() {
		err := p.ask(ctx, pr, ask)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", pr.host, err))
	}
	return fmt.Errorf("evm: %s %s: %w", p.opts.Name, call, errors.Join(errs...))
}

// ranked lists the providers that are not cooling down, then the others.
func (p *Pool) ranked() []*provider {
	up, down := p.split()
	return append(up, down...)
}

func (p *Pool) split() (up, down []*provider) {
	now := p.opts.Now()
	for _, pr := range p.providers {
		if pr.cooling(now) {
			down = append(down, pr)
		} else {
			up = append(up, pr)
		}
	}
	return up, down
}

// ask puts one question to one provider and notes how it went. Its errors do not show the provider's URL.
func (p *Pool) ask(ctx context.Context, pr *provider, ask question) error {
	if err := pr.awaitPause(ctx); err != nil {
		return err
	}
	client, err := pr.connect(ctx, p.opts.ChainID, p.opts.Timeout)
	if err == nil {
		err = ask(ctx, &conn{pr: pr, client: client, timeout: p.opts.Timeout})
	}
	if err == nil { // the answer may have come over a connection that is new
		_, err = pr.connect(ctx, p.opts.ChainID, p.opts.Timeout)
	}
	if err == nil {
		pr.answered()
		return nil
	}
	err = pr.plain(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled), unsupported(err), errors.Is(err, ErrUnwitnessed):
	case errors.Is(err, ErrDisagree):
		p.opts.Metrics.Disagreement(p.opts.Name)
	case errors.As(err, new(*throttledError)):
		p.throttled(ctx, pr, err)
	default:
		p.failed(ctx, pr, err)
	}
	return err
}

// failed notes, counts and tells that a provider failed. It is told here, because another provider then answers and
// nobody hears of the error.
func (p *Pool) failed(ctx context.Context, pr *provider, err error) {
	p.opts.Metrics.RPCError(p.opts.Name, pr.host)
	if !pr.failed(p.opts.Now()) {
		return
	}
	level := slog.LevelWarn
	if errors.Is(err, ErrMissing) { // it lags
		level = slog.LevelDebug
	}
	p.opts.Logger.Log(ctx, level, "provider.failed", "chain", p.opts.Name, "host", pr.host, "error", err)
}

// throttled counts and tells that a provider limits our calls.
func (p *Pool) throttled(ctx context.Context, pr *provider, err error) {
	p.opts.Metrics.RPCError(p.opts.Name, pr.host)
	p.opts.Logger.WarnContext(ctx, "provider.throttled", "chain", p.opts.Name, "host", pr.host, "error", err)
}

// ChainIDs asks every provider for its chain id, for `ctripctl doctor`. The answer is by host: nil where it is ours.
func (p *Pool) ChainIDs(ctx context.Context) map[string]error {
	answers := make(map[string]error, len(p.providers))
	for _, pr := range p.providers {
		pr.drop()
		err := p.ask(ctx, pr, func(context.Context, *conn) error { return nil })
		if err != nil || answers[pr.host] == nil {
			answers[pr.host] = err
		}
	}
	return answers
}
