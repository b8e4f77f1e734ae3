package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// warnAhead is how long before a secret is too old its merchant hears of it, at most a quarter of the greatest age.
	warnAhead = 14 * 24 * time.Hour
	// warnBatch is how many secrets are looked at in one go.
	warnBatch = 100
)

// secretInTime refuses to change an endpoint whose newest secret is older than a secret may be. It signs on all the same.
func (s *Service) secretInTime(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	if s.SecretMaxAge == 0 {
		return nil
	}
	secrets, err := tx.Secrets(ctx, e.ID, s.now())
	if err != nil {
		return err
	}
	for _, k := range secrets {
		if k.ExpiresAt == nil && s.now().Sub(k.ActiveFrom) < s.SecretMaxAge {
			return nil
		}
	}
	return ErrSecretTooOld
}

// WarnOfOldSecrets publishes endpoint.secret_expiring, once for each secret that will soon be too old, and returns how
// many there were.
func (s *Service) WarnOfOldSecrets(ctx context.Context) (int, error) {
	if s.SecretMaxAge == 0 {
		return 0, nil
	}
	before := s.now().Add(min(warnAhead, s.SecretMaxAge/4) - s.SecretMaxAge)
	warned := 0
	for {
		aging, err := s.Store.AgingSecrets(ctx, before, warnBatch)
		if err != nil || len(aging) == 0 {
			return warned, err
		}
		for _, k := range aging {
			err := s.Store.InTx(ctx, func(tx *store.Tx) error { return s.warn(ctx, tx, k) })
			if err != nil && !errors.Is(err, models.ErrNotFound) {
				return warned, err
			}
			warned++
		}
	}
}

// warn tells the merchant about one secret, unless somebody did so or rotated it meanwhile.
func (s *Service) warn(ctx context.Context, tx *store.Tx, k models.EndpointSecret) error {
	if mine, err := tx.MarkWarned(ctx, k.ID, s.now()); err != nil || !mine {
		return err
	}
	merchantID, err := tx.MerchantOfEndpoint(ctx, k.EndpointID)
	if err != nil {
		return err
	}
	e, err := tx.LockEndpoint(ctx, merchantID, k.EndpointID)
	if err != nil {
		return err
	}
	ev, err := s.endpointEvent(ctx, tx, webhook.EndpointSecretExpiring, e)
	if err != nil {
		return err
	}
	if _, err := tx.Publish(ctx, ev, s.MaxAttempts); err != nil {
		return err
	}
	return s.audit(ctx, tx, models.System, "endpoint.secret_expiring", e, map[string]string{"secret_id": k.ID, "active_from": k.ActiveFrom.Format(time.RFC3339)})
}
