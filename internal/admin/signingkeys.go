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
	PublicKey  string     `json:"public_key"` // whpk_…
	ActiveFrom time.Time  `json:"active_from"`
	ExpiresAt  *time.Time `json:"expires_at"` // null while nothing replaces it
}

func signingKeyOf(k models.SigningKey) SigningKey {
	return SigningKey{ID: k.ID, PublicKey: k.PublicKey, ActiveFrom: k.ActiveFrom.UTC(), ExpiresAt: utc(k.ExpiresAt)}
}

// SigningKeys lists the keys that are published, newest first.
func (a *Admin) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	rows, err := a.store.SigningKeys(ctx, a.utc())
	return convert(rows, signingKeyOf), err
}

// RotateSigningKey publishes another key, which signs after publishAhead; the older ones sign beside it for overlap.
func (a *Admin) RotateSigningKey(ctx context.Context, publishAhead, overlap time.Duration) (SigningKey, error) {
	service, err := a.endpoints()
	if err != nil {
		return SigningKey{}, err
	}
	var made models.SigningKey
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		made, err = service.RotateSigningKey(ctx, tx, a.actor, publishAhead, overlap)
		return err
	})
	return signingKeyOf(made), err
}
