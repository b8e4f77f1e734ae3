package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Key is an API key without its secret.
type Key struct {
	ID         string         `json:"id"`
	MerchantID string         `json:"merchant_id"`
	Name       string         `json:"name"`
	Prefix     string         `json:"prefix"`
	Test       bool           `json:"test"`
	Scopes     []models.Scope `json:"scopes"`
	ExpiresAt  *time.Time     `json:"expires_at"`
	RevokedAt  *time.Time     `json:"revoked_at"`
	LastUsedAt *time.Time     `json:"last_used_at"`
	CreatedAt  time.Time      `json:"created_at"`
	CreatedBy  *string        `json:"created_by"` // the key that made it; null is the operator
}

// KeyCreated is a new key and its secret, which is shown this once.
type KeyCreated struct {
	Key    Key    `json:"key"`
	Secret string `json:"secret"`
}

// KeyRequest asks for a key. No scopes are all scopes; ExpiresIn 0 is a key that does not expire.
type KeyRequest struct {
	MerchantID, Name string
	Test             bool
	Scopes           []models.Scope
	ExpiresIn        time.Duration
}

func keyOf(k models.APIKey) Key {
	return Key{
		ID: k.ID, MerchantID: k.MerchantID, Name: k.Name, Prefix: k.Prefix, Test: k.Test, Scopes: k.Scopes,
		ExpiresAt: utc(k.ExpiresAt), RevokedAt: utc(k.RevokedAt), LastUsedAt: utc(k.LastUsedAt), CreatedAt: k.CreatedAt.UTC(),
		CreatedBy: k.CreatedBy,
	}
}

// CreateKey makes an API key for a merchant.
func (a *Admin) CreateKey(ctx context.Context, r KeyRequest) (KeyCreated, error) {
	if err := a.requireMerchant(ctx, r.MerchantID); err != nil {
		return KeyCreated{}, err
	}
	ask := access.KeyRequest{MerchantID: r.MerchantID, Name: r.Name, Test: r.Test, Scopes: r.Scopes}
	if len(ask.Scopes) == 0 {
		ask.Scopes = models.Scopes
	}
	if r.ExpiresIn != 0 {
		at := a.utc().Add(r.ExpiresIn)
		ask.ExpiresAt = &at
	}
	var key models.APIKey
	var secret string
	err := a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		key, secret, err = a.access.CreateKey(ctx, tx, a.actor, ask)
		return err
	})
	if err != nil {
		return KeyCreated{}, err
	}
	return KeyCreated{keyOf(key), secret}, nil
}

// keyPage is how many keys are read at a time.
const keyPage = 100

// Keys lists a merchant's keys, newest first, revoked and expired ones included.
func (a *Admin) Keys(ctx context.Context, merchantID string) ([]Key, error) {
	if err := a.requireMerchant(ctx, merchantID); err != nil {
		return nil, err
	}
	all, page := []Key{}, store.Page{Limit: keyPage}
	for {
		rows, err := a.store.ListAPIKeys(ctx, merchantID, false, page)
		if err != nil {
			return nil, err
		}
		all = append(all, convert(rows, keyOf)...)
		if len(rows) < keyPage {
			return all, nil
		}
		last := rows[len(rows)-1]
		page.Before = &store.Position{CreatedAt: last.CreatedAt, ID: last.ID}
	}
}

// RevokeKey ends a key, whoever owns it, and with children those that it made. Processes that have just seen them may
// accept them for [access.CacheFor] more.
func (a *Admin) RevokeKey(ctx context.Context, id string, withChildren bool) (Key, error) {
	err := a.store.InTx(ctx, func(tx *store.Tx) error {
		return a.access.RevokeKey(ctx, tx, a.actor, access.Revocation{ID: id, WithChildren: withChildren})
	})
	if err != nil {
		return Key{}, notFound(err, "key", id)
	}
	key, err := a.store.APIKeyByID(ctx, id)
	return keyOf(key), err
}
