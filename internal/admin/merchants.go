package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// fingerprintLength is how much of an account key's id is shown: enough to tell two keys apart by eye.
const fingerprintLength = 16

// Merchant is a merchant as an operator sees it.
type Merchant struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// XPubFingerprint is the beginning of the account key's id, the hex SHA-256 of its public key and chain code; null
	// while no xpub is set.
	XPubFingerprint *string `json:"xpub_fingerprint"`
	// AcceptLate is whether an expired payment still goes on when its money comes.
	AcceptLate bool `json:"accept_late"`
	// Limits are those that an operator set.
	Limits    MerchantLimits `json:"limits"`
	Paused    bool           `json:"paused"`
	PausedAt  *time.Time     `json:"paused_at"`
	CreatedAt time.Time      `json:"created_at"`
}

// MerchantLimits are what the operator allows a merchant; null is the deployment's default.
type MerchantLimits struct {
	RequestsPerSecond *int `json:"requests_per_second"`
	Endpoints         *int `json:"webhook_endpoints"`
	Keys              *int `json:"api_keys"`
	OpenPayments      *int `json:"open_payments"`
}

// MerchantUpdate is what to change about a merchant. Nil leaves a field as it is, and a limit of 0 goes back to the
// deployment's default.
type MerchantUpdate struct {
	Name                                             *string
	AcceptLate                                       *bool
	RequestsPerSecond, Endpoints, Keys, OpenPayments *int
}

// MerchantCreated is a new merchant, or one with a new xpub.
type MerchantCreated struct {
	Merchant Merchant `json:"merchant"`
	// FirstAddress is what the account key derives first, in EIP-55 spelling, to be compared with the owner's wallet. ""
	// without an xpub.
	FirstAddress string `json:"first_address"`
}

func merchantOf(m models.Merchant) Merchant {
	v := Merchant{ID: m.ID, Name: m.Name, AcceptLate: m.AcceptLate, Paused: m.SuspendedAt != nil,
		PausedAt: utc(m.SuspendedAt), CreatedAt: m.CreatedAt.UTC(),
		Limits: MerchantLimits{RequestsPerSecond: m.RatePerSecond, Endpoints: m.MaxEndpoints, Keys: m.MaxKeys,
			OpenPayments: m.MaxOpenPayments}}
	if m.AccountKeyID != nil {
		short := (*m.AccountKeyID)[:min(fingerprintLength, len(*m.AccountKeyID))]
		v.XPubFingerprint = &short
	}
	return v
}

// CreateMerchant makes a merchant; without an xpub it can make no payments yet. Where there is a default WEBHOOK_URL
// the merchant has it from the start.
func (a *Admin) CreateMerchant(ctx context.Context, name, xpub string) (MerchantCreated, error) {
	defaults := a.cfg.Webhook.URL.Reveal() != ""
	if defaults { // found out before anything is written
		if _, err := a.endpoints(); err != nil {
			return MerchantCreated{}, err
		}
	}
	var m models.Merchant
	var first string
	err := a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		m, first, err = a.access.CreateMerchant(ctx, tx, a.actor, name, xpub)
		return err
	})
	if err != nil {
		return MerchantCreated{}, err
	}
	if defaults {
		service, err := a.endpoints()
		if err == nil {
			err = service.EnsureDefaults(ctx, []string{m.ID})
		}
		if err != nil { // a worker makes up for it within a minute
			return MerchantCreated{}, fmt.Errorf("merchant %s was created, but not yet its default endpoint: %w", m.ID, err)
		}
	}
	return MerchantCreated{merchantOf(m), first}, nil
}

// Merchants lists every merchant, newest first.
func (a *Admin) Merchants(ctx context.Context) ([]Merchant, error) {
	rows, err := a.store.Merchants(ctx)
	return convert(rows, merchantOf), err
}

// SetXPub gives a merchant another account key. New payments draw from it, the addresses of the old one stay watched.
func (a *Admin) SetXPub(ctx context.Context, merchantID, xpub string) (MerchantCreated, error) {
	var first string
	err := a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		first, err = a.access.SetXPub(ctx, tx, a.actor, merchantID, xpub)
		return err
	})
	if err != nil {
		return MerchantCreated{}, notFound(err, "merchant", merchantID)
	}
	m, err := a.store.Merchant(ctx, merchantID)
	return MerchantCreated{merchantOf(m), first}, err
}

// UpdateMerchant changes a merchant's name, their policy for late money and their limits.
func (a *Admin) UpdateMerchant(ctx context.Context, merchantID string, u MerchantUpdate) (Merchant, error) {
	limit := func(given *int) **int {
		if given == nil {
			return nil
		}
		if *given == 0 {
			given = nil
		}
		return &given
	}
	var m models.Merchant
	err := a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		m, err = a.access.ChangeMerchant(ctx, tx, a.actor, merchantID, access.MerchantChange{
			Name: u.Name, AcceptLate: u.AcceptLate, RatePerSecond: limit(u.RequestsPerSecond),
			MaxEndpoints: limit(u.Endpoints), MaxKeys: limit(u.Keys), MaxOpenPayments: limit(u.OpenPayments)})
		return err
	})
	return merchantOf(m), notFound(err, "merchant", merchantID)
}

// SuspendMerchant lets a merchant make no more payments; those that they have go on. It changes nothing about what is
// sent: see [Admin.PauseDeliveries].
func (a *Admin) SuspendMerchant(ctx context.Context, merchantID string) (Merchant, error) {
	return a.changeMerchant(ctx, merchantID, a.access.SuspendMerchant)
}

// ReinstateMerchant lets a suspended merchant make payments again.
func (a *Admin) ReinstateMerchant(ctx context.Context, merchantID string) (Merchant, error) {
	return a.changeMerchant(ctx, merchantID, a.access.ReinstateMerchant)
}

// changeMerchant runs one operation on a merchant and returns what they are then.
func (a *Admin) changeMerchant(
	ctx context.Context, merchantID string, operation func(context.Context, *store.Tx, models.Actor, string) error,
) (Merchant, error) {
	err := a.store.InTx(ctx, func(tx *store.Tx) error { return operation(ctx, tx, a.actor, merchantID) })
	if err != nil {
		return Merchant{}, notFound(err, "merchant", merchantID)
	}
	m, err := a.store.Merchant(ctx, merchantID)
	return merchantOf(m), err
}

func convert[From, To any](rows []From, f func(From) To) []To {
	views := make([]To, len(rows)) // never nil: an empty list is [] in JSON
	for i, r := range rows {
		views[i] = f(r)
	}
	return views
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
