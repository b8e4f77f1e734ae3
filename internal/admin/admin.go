package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// connections is how many an operator's command may open: it does one thing at a time.
const connections = 2

// Options are what an Admin needs.
type Options struct {
	Config config.Config
	// Actor is who the audit log names: "operator:" and the operator's name.
	Actor  models.Actor
	Now    func() time.Time
	Logger *slog.Logger // nil is silent
	// AnySchema leaves the schema unchecked, for the commands that look after it. They connect to DATABASE_MIGRATE_URL
	// where that is set.
	AnySchema bool
	// Store, when given, is used instead of opening Postgres, and is closed by whoever gave it.
	Store *store.Store
}

// Admin does what an operator asks, on one database, by one configuration, under one name.
type Admin struct {
	cfg    config.Config
	actor  models.Actor
	now    func() time.Time
	log    *slog.Logger
	store  *store.Store
	owned  bool
	access *access.Service
}

// Open connects to the database and, unless told otherwise, checks that its schema is ours.
func Open(ctx context.Context, o Options) (*Admin, error) {
	if o.Actor.Name == "" || o.Now == nil {
		return nil, errors.New("admin: Actor and Now are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Admin{cfg: o.Config, actor: o.Actor, now: o.Now, log: o.Logger, store: o.Store}
	var err error
	if a.store == nil {
		few := o.Config
		few.Database.MaxOpen = connections
		if o.AnySchema && few.Database.MigrateURL != "" {
			few.Database.URL = few.Database.MigrateURL
		}
		if a.store, err = wiring.Store(ctx, few, o.Logger); err != nil {
			return nil, fmt.Errorf("database %s: %w", few.Database.URL, err)
		}
		a.owned = true
		if _, err := a.store.CheckDriver(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("database %s: %w", few.Database.URL, err), a.Close())
		}
	}
	if !o.AnySchema {
		if err := a.store.CheckSchema(ctx); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	if a.access, err = wiring.Access(o.Config, a.store, o.Now, o.Logger); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close closes the database connections that Open made.
func (a *Admin) Close() error {
	if !a.owned {
		return nil
	}
	return a.store.Close()
}

// utc is the time to the microsecond, which is what both databases keep.
func (a *Admin) utc() time.Time { return models.Now(a.now) }

// requireMerchant fails when there is no such merchant.
func (a *Admin) requireMerchant(ctx context.Context, merchantID string) error {
	_, err := a.store.Merchant(ctx, merchantID)
	return notFound(err, "merchant", merchantID)
}

// notFound names the thing that was not found; other errors stay as they are.
func notFound(err error, kind, id string) error {
	if errors.Is(err, models.ErrNotFound) {
		return fmt.Errorf("there is no %s %s: %w", kind, id, err)
	}
	return err
}

// vault opens what the master keys encrypted.
func (a *Admin) vault() (*vault.Vault, error) {
	if err := a.cfg.Need("MASTER_KEYS"); err != nil {
		return nil, err
	}
	return wiring.Vault(a.cfg)
}

// endpoints makes the service of endpoints, which needs the master keys and the rules for outgoing requests: what the
// processes that send would refuse, an operator cannot create either.
func (a *Admin) endpoints() (*endpoints.Service, error) {
	v, err := a.vault()
	if err != nil {
		return nil, err
	}
	client, err := wiring.Egress(a.cfg)
	if err != nil {
		return nil, err
	}
	return wiring.Endpoints(a.cfg, a.store, v, client, a.now)
}

// redelivery makes the service that sends events once more.
func (a *Admin) redelivery() (*redelivery.Service, error) {
	return wiring.Redelivery(a.cfg, a.store, a.now)
}
