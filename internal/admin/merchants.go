package admin

import (
	"context"
	"fmt"
	"time"

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
	XPubFingerprint *string    `json:"xpub_fingerprint"`
	Paused          bool       `json:"paused"`
	PausedAt        *time.Time `json:"paused_at"`
	CreatedAt       time.Time  `json:"created_at"`
}

// MerchantCreated is a new merchant, or one with a new xpub.
type MerchantCreated struct {
	Merchant Merchant `json:"merchant"`
	// FirstAddress is what the account key derives first, in EIP-55 spelling, to be compared with the owner's wallet. ""
	// without an xpub.
	FirstAddress string `json:"first_address"`
}

func merchantOf(m models.Merchant) Merchant {
	v := Merchant{ID: m.ID, Name: m.Name, Paused: m.SuspendedAt != nil, PausedAt: utc(m.SuspendedAt), CreatedAt: m.CreatedAt.UTC()}
	if m.AccountKeyID != nil {
		short := (*m.AccountKeyID)[:min(fingerprintLength, len(*m.AccountKeyID))]
		v.XPubFingerprint = &short
	}
	return v
}

// CreateMerchant makes a merchant; without an xpub it can make no payments yet. Where there is a default WEBHOOK_URL the
// merchant has it from the start (ruling 17).
func (d *Admin) CreateMerchant(ctx context.Context, name, xpub string) (MerchantCreated, error) {
	defaults := d.cfg.Webhook.URL.Reveal() != ""
	if defaults { // found out before anything is written
		if _, err := d.endpoints(); err != nil {
			return MerchantCreated{}, err
		}
	}
	var m models.Merchant
	var first string
	err := d.inTx(ctx, func(tx *store.Tx) (err error) {
		m, first, err = d.access.CreateMerchant(ctx, tx, d.by(), name, xpub)
		return err
	})
	if err != nil {
		return MerchantCreated{}, err
	}
	if defaults {
		service, err := d.endpoints()
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
func (d *Admin) Merchants(ctx context.Context) ([]Merchant, error) {
	rows, err := d.store.Merchants(ctx)
	return convert(rows, merchantOf), err
}

// SetXPub gives a merchant another account key. New payments draw from it, the addresses of the old one stay watched.
func (d *Admin) SetXPub(ctx context.Context, merchantID, xpub string) (MerchantCreated, error) {
	var first string
	err := d.inTx(ctx, func(tx *store.Tx) (err error) {
		first, err = d.access.SetXPub(ctx, tx, d.by(), merchantID, xpub)
		return err
	})
	if err != nil {
		return MerchantCreated{}, missing(err, "merchant", merchantID)
	}
	m, err := d.store.Merchant(ctx, merchantID)
	return MerchantCreated{merchantOf(m), first}, err
}

// PauseMerchant lets a merchant make no more payments; those that it has go on.
func (d *Admin) PauseMerchant(ctx context.Context, merchantID string) (Merchant, error) {
	return d.afterwards(ctx, merchantID, d.inTx(ctx, func(tx *store.Tx) error { return d.access.SuspendMerchant(ctx, tx, d.by(), merchantID) }))
}

// ResumeMerchant takes a pause back.
func (d *Admin) ResumeMerchant(ctx context.Context, merchantID string) (Merchant, error) {
	return d.afterwards(ctx, merchantID, d.inTx(ctx, func(tx *store.Tx) error { return d.access.ReinstateMerchant(ctx, tx, d.by(), merchantID) }))
}

func (d *Admin) afterwards(ctx context.Context, merchantID string, err error) (Merchant, error) {
	if err != nil {
		return Merchant{}, missing(err, "merchant", merchantID)
	}
	m, err := d.store.Merchant(ctx, merchantID)
	return merchantOf(m), err
}

// inTx runs one deed of an operator.
func (d *Admin) inTx(ctx context.Context, deed func(*store.Tx) error) error {
	return d.store.InTx(ctx, deed)
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
