package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// connections is how many an operator's command may open: it does one thing at a time.
const connections = 2

// Options are what a Admin needs.
type Options struct {
	Config config.Config
	// Actor is who stands in the audit log, "operator:" and a name.
	Actor  string
	Now    func() time.Time
	Logger *slog.Logger // nil is silent
	// AnySchema leaves the schema unchecked, for the commands that look after it.
	AnySchema bool
	// Store, when given, is used instead of opening Postgres, and is closed by whoever gave it.
	Store *store.Store
}

// Admin is where an operator works: one database, one configuration, one name.
type Admin struct {
	cfg    config.Config
	actor  string
	now    func() time.Time
	log    *slog.Logger
	store  *store.Store
	owned  bool
	access *access.Service
}

// Open connects to the database and, unless told otherwise, checks that its schema is ours.
func Open(ctx context.Context, o Options) (*Admin, error) {
	if o.Actor == "" || o.Now == nil {
		return nil, errors.New("admin: Actor and Now are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Admin{cfg: o.Config, actor: o.Actor, now: o.Now, log: o.Logger, store: o.Store}
	var err error
	if d.store == nil {
		if d.store, err = store.Open(ctx, store.Options{DSN: o.Config.Database.URL.Reveal(), MaxConns: connections, Logger: o.Logger}); err != nil {
			return nil, fmt.Errorf("database %s: %w", o.Config.Database.URL, err)
		}
		d.owned = true
	}
	if !o.AnySchema {
		if err := d.store.CheckSchema(ctx); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	d.access, err = access.New(access.Options{
		Store: d.store, MaxKeys: o.Config.API.MaxKeys, Branch: o.Config.Payments.AddressBranch, Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes the database connections that Open made.
func (d *Admin) Close() error {
	if !d.owned {
		return nil
	}
	return d.store.Close()
}

// utc is the time to the microsecond, which is what both databases keep.
func (d *Admin) utc() time.Time { return models.Now(d.now) }

// known says plainly which merchant is not there.
func (d *Admin) known(ctx context.Context, merchantID string) error {
	_, err := d.store.Merchant(ctx, merchantID)
	return missing(err, "merchant", merchantID)
}

// missing names the thing that was not found.
func missing(err error, kind, id string) error {
	if errors.Is(err, models.ErrNotFound) {
		return fmt.Errorf("there is no %s %s: %w", kind, id, err)
	}
	return err
}

// vault opens what the master keys sealed.
func (d *Admin) vault() (*vault.Vault, error) {
	if err := d.cfg.Need("MASTER_KEYS"); err != nil {
		return nil, err
	}
	var keys []vault.Key
	for _, k := range d.cfg.MasterKeys {
		keys = append(keys, vault.Key{ID: k.ID, Secret: k.Key})
	}
	return vault.New(keys)
}

// endpoints makes the room of endpoints, which needs the master keys and the rules for outgoing requests.
func (d *Admin) endpoints() (*delivery.Service, error) {
	safe, err := d.vault()
	if err != nil {
		return nil, err
	}
	client, err := d.egress()
	if err != nil {
		return nil, err
	}
	var secret webhook.Secret
	if s := d.cfg.Webhook.Secret.Reveal(); s != "" {
		if secret, err = webhook.ParseSecret(s); err != nil {
			return nil, fmt.Errorf("WEBHOOK_SECRET: %w", err)
		}
	}
	return delivery.NewService(delivery.ServiceOptions{
		Store: d.store, Vault: safe, CheckURL: client.CheckURL, MaxEndpoints: d.cfg.API.MaxEndpoints, MaxAttempts: d.cfg.Webhook.MaxAttempts,
		Overlap: d.cfg.Webhook.SecretOverlap, SecretMaxAge: d.cfg.Webhook.SecretMaxAge, DefaultURL: d.cfg.Webhook.URL.Reveal(), DefaultSecret: secret, Now: d.now, Logger: d.log,
	})
}

// egress is the client of the processes that send: what they would refuse, an operator cannot create or reach either.
func (d *Admin) egress() (*egress.Client, error) {
	rules, err := egress.ParseAllow(d.cfg.Webhook.Allow)
	if err != nil {
		return nil, fmt.Errorf("WEBHOOK_ALLOW: %w", err)
	}
	if d.cfg.IsProduction() {
		rules = egress.Scoped(rules)
	}
	o := egress.Options{Allow: rules, RequireHTTPS: d.cfg.IsProduction()}
	if proxy := d.cfg.Egress.Proxy.Reveal(); proxy != "" {
		if o.Proxy, err = url.Parse(proxy); err != nil {
			return nil, errors.New("EGRESS_PROXY is not a URL") // the value may hold a password
		}
	}
	return egress.New(o)
}

func (d *Admin) by() models.Actor { return models.Actor{Name: d.actor} }
