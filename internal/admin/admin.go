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
		few := o.Config
		few.Database.MaxOpen = connections
		if d.store, err = wiring.Store(ctx, few, o.Logger); err != nil {
			return nil, fmt.Errorf("database %s: %w", o.Config.Database.URL, err)
		}
		d.owned = true
	}
	if !o.AnySchema {
		if err := d.store.CheckSchema(ctx); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	if d.access, err = wiring.Access(o.Config, d.store, o.Now, o.Logger); err != nil {
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

// vault opens what the master keys encrypted.
func (d *Admin) vault() (*vault.Vault, error) {
	if err := d.cfg.Need("MASTER_KEYS"); err != nil {
		return nil, err
	}
	return wiring.Vault(d.cfg)
}

// endpoints makes the service of endpoints, which needs the master keys and the rules for outgoing requests: what the
// processes that send would refuse, an operator cannot create either.
func (d *Admin) endpoints() (*endpoints.Service, error) {
	v, err := d.vault()
	if err != nil {
		return nil, err
	}
	client, err := wiring.Egress(d.cfg)
	if err != nil {
		return nil, err
	}
	return wiring.Endpoints(d.cfg, d.store, v, client, d.now)
}

// redelivery makes the service that sends events once more.
func (d *Admin) redelivery() (*redelivery.Service, error) {
	return wiring.Redelivery(d.cfg, d.store, d.now)
}

func (d *Admin) by() models.Actor { return models.Actor{Name: d.actor} }
