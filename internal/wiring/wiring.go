package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Store connects to DATABASE_URL. It does not look at the schema.
func Store(ctx context.Context, cfg config.Config, log *slog.Logger) (*store.Store, error) {
	db := cfg.Database
	return store.Open(ctx, store.Options{DSN: db.URL.Reveal(), MaxConns: db.MaxOpen, MaxLifetime: db.MaxLifetime,
		Logger: log})
}

// Vault opens what MASTER_KEYS encrypted, and encrypts with the first of them.
func Vault(cfg config.Config) (*vault.Vault, error) {
	keys := make([]vault.Key, 0, len(cfg.MasterKeys))
	for _, k := range cfg.MasterKeys {
		keys = append(keys, vault.Key{ID: k.ID, Secret: k.Key})
	}
	return vault.New(keys)
}

// Egress is the client that sends to merchants. In production it needs https, and an entry of WEBHOOK_ALLOW serves only
// the merchant that it names.
func Egress(cfg config.Config) (*egress.Client, error) {
	rules, err := egress.ParseAllow(cfg.Webhook.Allow)
	if err != nil {
		return nil, fmt.Errorf("WEBHOOK_ALLOW: %w", err)
	}
	if cfg.IsProduction() {
		rules = egress.Scoped(rules)
	}
	o := egress.Options{
		Allow: rules, RequireHTTPS: cfg.IsProduction(), Timeout: cfg.Webhook.Timeout,
		MaxIdleConnsPerHost: cfg.Webhook.HostInFlight,
	}
	if proxy := cfg.Egress.Proxy.Reveal(); proxy != "" {
		if o.Proxy, err = url.Parse(proxy); err != nil || o.Proxy.Host == "" {
			return nil, errors.New("EGRESS_PROXY is not a URL") // the value may hold a password
		}
	}
	return egress.New(o)
}

// Endpoints is the service of webhook endpoints. It checks URLs by the rules of the client that
// sends, so that nobody can create an endpoint which is then refused.
func Endpoints(
	cfg config.Config, s *store.Store, v *vault.Vault, client *egress.Client, now func() time.Time,
) (*endpoints.Service, error) {
	w := cfg.Webhook
	var secret webhook.Secret
	if given := w.Secret.Reveal(); given != "" {
		var err error
		if secret, err = webhook.ParseSecret(given); err != nil {
			return nil, fmt.Errorf("WEBHOOK_SECRET: %w", err)
		}
	}
	return endpoints.New(endpoints.Options{
		Store: s, Vault: v, CheckURL: client.CheckURL, MaxEndpoints: cfg.API.MaxEndpoints, MaxAttempts: w.MaxAttempts,
		Overlap: w.SecretOverlap, SecretMaxAge: w.SecretMaxAge, DefaultURL: w.URL.Reveal(), DefaultSecret: secret,
		Chains: cfg.Chains, Now: now,
	})
}

// Redelivery is the service that sends events once more.
func Redelivery(cfg config.Config, s *store.Store, now func() time.Time) (*redelivery.Service, error) {
	return redelivery.New(redelivery.Options{Store: s, MaxAttempts: cfg.Webhook.MaxAttempts, Now: now})
}

// Access is the service of merchants and API keys.
func Access(cfg config.Config, s *store.Store, now func() time.Time, log *slog.Logger) (*access.Service, error) {
	return access.New(access.Options{
		Store: s, MaxKeys: cfg.API.MaxKeys, Branch: cfg.Payments.AddressBranch, PublicURL: cfg.PublicURL, Now: now,
		Logger: log,
	})
}

// Payments is the service of payments. It asks the chains whether an address has been used before it hands the address
// out.
func Payments(
	cfg config.Config, s *store.Store, chains Pools, now func() time.Time, log *slog.Logger, metrics *telemetry.Metrics,
) (*payments.Service, error) {
	return payments.New(payments.Options{
		Store: s, Chains: cfg.Chains, PublicURL: cfg.PublicURL, Expiry: cfg.Payments.ExpiresIn,
		Window: cfg.Payments.MonitoringWindow, MaxAttempts: cfg.Webhook.MaxAttempts, MaxOpen: cfg.API.MaxOpenPayments,
		Used: chains.Used, Now: now, Logger: log, Metrics: metrics,
	})
}

// Redis makes the clients of REDIS_URL. They connect when they are first used: Redis need not be there.
func Redis(cfg config.Config) (*jobs.Redis, error) {
	server := cfg.Redis.Server
	server.CA, server.Cert, server.Key = cfg.Redis.CA, cfg.Redis.Cert, cfg.Redis.Key
	server.PlainAsynq = cfg.Redis.Batching == "off"
	return jobs.Connect(server, cfg.Redis.PoolSize)
}

// Jobs is what enqueues deliveries in Redis.
func Jobs(cfg config.Config, redis *jobs.Redis, now func() time.Time) (*jobs.Client, error) {
	return jobs.NewClient(jobs.ClientOptions{Redis: redis, Lanes: cfg.Webhook.Lanes, Now: now})
}
