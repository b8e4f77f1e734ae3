package wiring

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// Pools are the providers of every chain, by chain id.
type Pools map[uint64]*evm.Pool

// Chains makes the providers of every chain of CHAINS_FILE. They connect when they are first asked.
func Chains(cfg config.Config, now func() time.Time, log *slog.Logger, metrics *telemetry.Metrics) (Pools, error) {
	pools := make(Pools, len(cfg.Chains))
	for _, c := range cfg.Chains {
		pool, err := Chain(c, now, log, metrics)
		if err != nil {
			pools.Close()
			return nil, fmt.Errorf("chain %s: %w", c.Name, err)
		}
		pools[c.ChainID] = pool
	}
	return pools, nil
}

// Chain makes the providers of one chain.
func Chain(c config.Chain, now func() time.Time, log *slog.Logger, metrics *telemetry.Metrics) (*evm.Pool, error) {
	o := evm.Options{
		Name: c.Name, ChainID: c.ChainID, Tag: string(c.Finality.Tag), Depth: c.Finality.Depth, Multicall: c.Multicall,
		Internal: c.Internal, Proofs: c.Proofs, Rate: c.RPCRate, Now: now, Logger: log, Metrics: metrics,
	}
	for _, u := range c.RPCURLs {
		o.URLs = append(o.URLs, u.Reveal())
	}
	for _, u := range c.WSURLs {
		o.Sockets = append(o.Sockets, u.Reveal())
	}
	for _, t := range c.Tokens {
		o.Tokens = append(o.Tokens, t.Contract)
	}
	return evm.New(o)
}

// Used asks a chain which addresses have been used before.
func (p Pools) Used(ctx context.Context, chainID uint64, addresses []string) (map[string]bool, error) {
	pool, ok := p[chainID]
	if !ok {
		return nil, fmt.Errorf("chain %d is not configured", chainID)
	}
	return pool.Used(ctx, addresses)
}

// Evidence collects what proves claims about a block of a chain.
func (p Pools) Evidence(
	ctx context.Context, chainID uint64, block chain.Ref, claims []chain.Claim,
) ([]chain.Evidence, error) {
	pool, ok := p[chainID]
	if !ok {
		return nil, fmt.Errorf("chain %d is not configured", chainID)
	}
	return pool.Evidence(ctx, block, claims)
}

// Close closes the connections to every provider.
func (p Pools) Close() {
	for _, pool := range p {
		pool.Close()
	}
}
