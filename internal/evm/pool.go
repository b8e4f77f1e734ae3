package evm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

const (
	callTimeout = 10 * time.Second
	// cooldown is how long a provider that failed is asked only when no other answers.
	cooldown = 10 * time.Second
)

// Options describe one chain.
type Options struct {
	Name    string
	ChainID uint64
	URLs    []string // http, https, ws or wss, in the order of preference
	// Tag is "finalized", "safe" or "", Depth the confirmations that make a block final where the tag is not supported.
	Tag     string
	Depth   uint64
	Tokens  []string // contracts whose transfers are read, 0x in lower case
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *telemetry.Metrics
}

// Pool is the providers of one chain. It is safe for concurrent use.
type Pool struct {
	o         Options
	providers []*provider
	tokens    []common.Address

	mu         sync.Mutex
	tagRefused time.Time // when every provider last called the tag unsupported
}

// provider is one node.
type provider struct {
	url, host string

	mu        sync.Mutex
	client    *rpc.Client
	downUntil time.Time
}

// New checks the options. It connects when it is first asked.
func New(o Options) (*Pool, error) {
	if o.Name == "" || o.ChainID == 0 || len(o.URLs) == 0 || o.Now == nil || o.Logger == nil {
		return nil, errors.New("evm: Name, ChainID, URLs, Now and Logger are needed")
	}
	p := &Pool{o: o}
	for _, raw := range o.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("evm: %s: an RPC URL does not parse", o.Name)
		}
		p.providers = append(p.providers, &provider{url: raw, host: u.Host})
	}
	for _, t := range o.Tokens {
		if !common.IsHexAddress(t) {
			return nil, fmt.Errorf("evm: %s: %q is no contract address", o.Name, t)
		}
		p.tokens = append(p.tokens, common.HexToAddress(t))
	}
	return p, nil
}

// Close ends the connections.
func (p *Pool) Close() {
	for _, pr := range p.providers {
		pr.drop()
	}
}

// ErrWrongChain is returned for a provider that serves another chain.
var ErrWrongChain = errors.New("the provider serves another chain")

// try asks one provider after the other until ask is content, healthy ones first.
func (p *Pool) try(ctx context.Context, call string, ask func(context.Context, *rpc.Client) error) error {
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
	return fmt.Errorf("evm: %s %s: %w", p.o.Name, call, errors.Join(errs...))
}

// ranked lists the providers that are not cooling down, then the others.
func (p *Pool) ranked() []*provider {
	var up, down []*provider
	now := p.o.Now()
	for _, pr := range p.providers {
		pr.mu.Lock()
		cooling := now.Before(pr.downUntil)
		pr.mu.Unlock()
		if cooling {
			down = append(down, pr)
		} else {
			up = append(up, pr)
		}
	}
	return append(up, down...)
}

// ask connects where needed, puts one question and notes how it went.
func (p *Pool) ask(ctx context.Context, pr *provider, ask func(context.Context, *rpc.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client, err := p.connect(ctx, pr)
	if err == nil {
		err = ask(ctx, client)
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if err == nil {
		pr.downUntil = time.Time{}
		return nil
	}
	if !errors.Is(err, context.Canceled) && !unsupported(err) {
		p.o.Metrics.RPCError(p.o.Name, pr.host)
		pr.downUntil = p.o.Now().Add(cooldown)
	}
	return plain(err)
}

// connect returns the provider's client; a new connection must be on our chain.
func (p *Pool) connect(ctx context.Context, pr *provider) (*rpc.Client, error) {
	pr.mu.Lock()
	client := pr.client
	pr.mu.Unlock()
	if client != nil {
		return client, nil
	}
	client, err := rpc.DialContext(ctx, pr.url)
	if err != nil {
		return nil, err
	}
	var id hexutil.Uint64
	if err := client.CallContext(ctx, &id, "eth_chainId"); err != nil {
		client.Close()
		return nil, err
	}
	if uint64(id) != p.o.ChainID {
		client.Close()
		return nil, fmt.Errorf("%w: chain id %d, want %d", ErrWrongChain, uint64(id), p.o.ChainID)
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.client != nil { // somebody else was faster
		client.Close()
		return pr.client, nil
	}
	pr.client = client
	return client, nil
}

// drop closes the connection, so that the next question checks the chain id again.
func (pr *provider) drop() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.client != nil {
		pr.client.Close()
		pr.client = nil
	}
}

// ChainIDs asks every provider for its chain id, for `ctripctl doctor`. The answer is by host; 0 comes with an error.
func (p *Pool) ChainIDs(ctx context.Context) map[string]error {
	answers := make(map[string]error, len(p.providers))
	for _, pr := range p.providers {
		pr.drop()
		answers[pr.host] = p.ask(ctx, pr, func(context.Context, *rpc.Client) error { return nil })
	}
	return answers
}
