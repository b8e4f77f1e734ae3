package endpoints

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// EnsureDefaults gives every one of the merchants that made no endpoint the deployment's default one, brings its URL,
// mode and secret up to date, and takes it away where there is none any more. Who made test endpoints alone keeps it
// for live events. It is called when a process starts and when a merchant is made.
func (s *Service) EnsureDefaults(ctx context.Context, merchantIDs []string) error {
	for _, id := range merchantIDs {
		err := s.store.InTx(ctx, func(tx *store.Tx) error {
			if _, err := tx.LockMerchant(ctx, id); err != nil {
				return err
			}
			return s.ensureDefault(ctx, tx, id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ensureDefault does it for one merchant, whose row is locked.
func (s *Service) ensureDefault(ctx context.Context, tx *store.Tx, merchantID string) error {
	made, err := tx.CountEndpoints(ctx, merchantID)
	if err != nil {
		return err
	}
	if count(made, false) > 0 || s.opts.DefaultURL == "" {
		return s.dropDefault(ctx, tx, merchantID)
	}
	mode := models.ModeBoth
	if count(made, true) > 0 {
		mode = models.ModeLive
	}
	e, found, err := s.defaultOf(ctx, tx, merchantID)
	if err != nil {
		return err
	}
	now := s.now()
	switch {
	case !found:
		e = models.Endpoint{
			ID: models.NewID(models.PrefixEndpoint, now), MerchantID: merchantID, URL: s.opts.DefaultURL, IsDefault: true,
			Events: []string{webhook.PatternAll}, Status: models.EndpointEnabled, BreakerState: models.BreakerClosed,
			Mode: mode, Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		if err := tx.InsertEndpoint(ctx, e); err != nil {
			return err
		}
	case e.URL != s.opts.DefaultURL || e.Mode != mode:
		e.URL, e.Mode, e.UpdatedAt = s.opts.DefaultURL, mode, now
		if e, _, err = tx.SetMode(ctx, e, now); err != nil {
			return err
		}
	}
	return s.defaultSecret(ctx, tx, e)
}

// defaultSecret makes the configured secret the only one of a default endpoint.
func (s *Service) defaultSecret(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	now := s.now()
	rows, err := tx.Secrets(ctx, e.ID, now)
	if err != nil {
		return err
	}
	present := false
	changed := false
	for _, row := range rows {
		if key, err := s.openSecret(row); err == nil && !present && !s.opts.DefaultSecret.IsZero() &&
			key.Equal(s.opts.DefaultSecret) {
			present = true
			continue
		}
		if err := tx.EndSecret(ctx, row.ID, now); err != nil {
			return err
		}
		changed = true
	}
	if !present && !s.opts.DefaultSecret.IsZero() {
		if err := s.insertSecret(ctx, tx, e.ID, s.opts.DefaultSecret, now); err != nil {
			return err
		}
		changed = true
	}
	if changed {
		e.UpdatedAt = now
		_, err = tx.SaveEndpoint(ctx, e)
	}
	return err
}

func (s *Service) dropDefault(ctx context.Context, tx *store.Tx, merchantID string) error {
	e, found, err := s.defaultOf(ctx, tx, merchantID)
	if err != nil || !found {
		return err
	}
	_, err = s.remove(ctx, tx, e)
	return err
}

func (s *Service) defaultOf(ctx context.Context, tx *store.Tx, merchantID string) (models.Endpoint, bool, error) {
	all, err := tx.EndpointsOf(ctx, merchantID)
	if err != nil {
		return models.Endpoint{}, false, err
	}
	for _, e := range all {
		if e.IsDefault {
			return e, true, nil
		}
	}
	return models.Endpoint{}, false, nil
}
