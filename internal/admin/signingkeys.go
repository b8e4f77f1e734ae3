package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// SigningKey is a public key of the gateway's own Ed25519 signatures.
type SigningKey struct {
	ID         string     `json:"id"`
	Test       bool       `json:"test"`       // signs for test endpoints, and for no others
	PublicKey  string     `json:"public_key"` // whpk_…
	ActiveFrom time.Time  `json:"active_from"`
	ExpiresAt  *time.Time `json:"expires_at"` // null while nothing replaces it
}

func signingKeyOf(k models.SigningKey, test bool) SigningKey {
	return SigningKey{ID: k.ID, Test: test, PublicKey: k.PublicKey, ActiveFrom: k.ActiveFrom.UTC(),
		ExpiresAt: utc(k.ExpiresAt)}
}

// SigningKeys lists the keys that are published, newest first: those of test endpoints after the others.
func (a *Admin) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	all := []SigningKey{}
	for _, test := range []bool{false, true} {
		rows, err := a.store.SigningKeys(ctx, test, a.utc())
		if err != nil {
			return nil, err
		}
		for _, k := range rows {
			all = append(all, signingKeyOf(k, test))
		}
	}
	return all, nil
}

// RotateSigningKey publishes another key, which signs after publishAhead; the older ones sign beside it for overlap.
// test is for the keys of test endpoints.
func (a *Admin) RotateSigningKey(ctx context.Context, test bool, publishAhead,
	overlap time.Duration) (SigningKey, error) {
	service, err := a.endpoints()
	if err != nil {
		return SigningKey{}, err
	}
	var made models.SigningKey
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		rotate := service.RotateSigningKey
		if test {
			rotate = service.RotateTestSigningKey
		}
		made, err = rotate(ctx, tx, a.actor, publishAhead, overlap)
		return err
	})
	return signingKeyOf(made, test), err
}
