package app

import (
	"context"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/api"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/web"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

// buildAPI makes what merchants and payers reach: the REST API with its reference, the checkout page and the portal.
func (a *App) buildAPI(context.Context) error {
	if a.o.Roles&API == 0 {
		return nil
	}
	keys, err := wiring.Access(a.cfg, a.store, time.Now, a.log)
	if err != nil {
		return err
	}
	a.part("key use", keys.Run)
	merchants := limits.NewMerchants(limits.Options{Shared: a.redis, PerSecond: a.cfg.API.Rate, Burst: a.cfg.API.Burst,
		Now: time.Now, Logger: a.log})
	operated, err := operate.New(operate.Options{Store: a.store, Payments: a.payments, Chains: a.cfg.Chains, Now: time.Now,
		Connect: func(c config.Chain) (*evm.Pool, error) { return wiring.Chain(c, time.Now, a.log, nil) }})
	if err != nil {
		return err
	}
	shares := limits.NewShares(a.store.PoolStats().MaxOpenConnections)
	server, err := api.New(api.Options{
		Logger: a.log, Now: time.Now, HTTPS: strings.HasPrefix(a.cfg.PublicURL, "https://"), Store: a.store,
		Payments: a.payments, Endpoints: a.endpoints, Redelivery: a.redelivery, Access: keys, Vault: a.vault,
		Operate: operated, Chains: a.cfg.Chains, Limits: a.cfg.API, Merchants: merchants, Shares: shares,
		Metrics: a.metrics, Tracing: a.tracing,
		Prove: a.pools.Evidence, WebhookTimeout: a.cfg.Webhook.Timeout,
		OperatorToken: a.cfg.OperatorToken.Reveal(), OperatorReadToken: a.cfg.OperatorReadToken.Reveal(),
	})
	if err != nil {
		return err
	}
	site, err := web.New(web.Options{
		Store: a.store, Payments: a.payments, Endpoints: a.endpoints, Redelivery: a.redelivery,
		Chains: a.cfg.Chains, Access: keys, Links: keys, Sealer: a.vault,
		PublicURL: a.cfg.PublicURL, Now: time.Now, Logger: a.log,
		Merchants: merchants, Shares: shares, PageRate: a.cfg.API.PageRate, PageBurst: a.cfg.API.PageBurst,
		Metrics: a.metrics, EgressIPs: a.cfg.Egress.IPs,
	})
	if err != nil {
		return err
	}
	a.part("pages", site.Run)
	for _, prefix := range web.Prefixes {
		server.Mount(prefix, site)
	}
	a.metrics.ChainsSeen(a.chainsSeen(time.Now()))
	trusted, err := networks(a.cfg.API.Proxies)
	if err != nil {
		return err
	}
	return a.serve("API listener", a.o.APIListener, a.cfg.APIAddr, behindProxies(trusted, server), connectionLimits{
		total: a.cfg.API.MaxConnections, perAddress: a.cfg.API.MaxConnectionsPerAddress, exempt: trusted})
}

// chainsSeen reads how long ago a scanner, of whatever process, last heard of each chain of the chains file. One that
// was never heard of counts from the start of this process.
func (a *App) chainsSeen(started time.Time) func(context.Context) (map[string]time.Duration, error) {
	return func(ctx context.Context) (map[string]time.Duration, error) {
		cursors, err := a.store.Cursors(ctx)
		if err != nil {
			return nil, err
		}
		seen := make(map[uint64]time.Time, len(cursors))
		for _, c := range cursors {
			seen[c.ChainID] = c.UpdatedAt
			if c.SeenAt != nil && c.SeenAt.After(c.UpdatedAt) {
				seen[c.ChainID] = *c.SeenAt
			}
		}
		ages := make(map[string]time.Duration, len(a.cfg.Chains))
		for _, c := range a.cfg.Chains {
			at, ok := seen[c.ChainID]
			if !ok {
				at = started
			}
			ages[c.Name] = time.Since(at)
		}
		return ages, nil
	}
}
