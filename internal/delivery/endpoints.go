package delivery

import (
	"context"
	"fmt"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// CreateEndpoint makes an enabled endpoint and its first secret: the one given, or a new one. The merchant's default
// endpoint is gone with it. It returns [Faults] or [ErrEndpointLimit] when the request cannot be met.
func (s *Service) CreateEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string, set Settings, secret *string) (models.Endpoint, webhook.Secret, error) {
	now := s.now()
	e := models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, now), MerchantID: merchantID, Events: []string{webhook.PatternAll},
		Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	var faults Faults
	if set.URL == nil {
		faults = append(faults, Fault{Field: "url", Message: "is needed", Example: "https://shop.example/hooks"})
	}
	faults = append(faults, s.apply(&e, set)...)
	key, fault := newSecret(secret)
	if fault != nil {
		faults = append(faults, *fault)
	}
	if len(faults) > 0 {
		return e, webhook.Secret{}, faults
	}
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil {
		return e, key, err
	}
	have, err := tx.CountEndpoints(ctx, merchantID)
	if err != nil {
		return e, key, err
	}
	limit := s.MaxEndpoints
	if m.MaxEndpoints != nil {
		limit = *m.MaxEndpoints
	}
	if have >= limit {
		return e, key, ErrEndpointLimit
	}
	if err := s.dropDefault(ctx, tx, merchantID); err != nil {
		return e, key, err
	}
	if err := s.keyFor(ctx, tx, e); err != nil {
		return e, key, err
	}
	if err := tx.InsertEndpoint(ctx, e); err != nil {
		return e, key, err
	}
	if err := s.insertSecret(ctx, tx, e.ID, key, now); err != nil {
		return e, key, err
	}
	return e, key, s.audit(ctx, tx, actor, "endpoint.created", e, map[string]string{"url": e.URL, "events": strings.Join(e.Events, " ")})
}

// UpdateEndpoint changes settings of an endpoint. It returns [Faults], [ErrDefaultEndpoint] or [ErrSecretTooOld] when it
// cannot.
func (s *Service) UpdateEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string, set Settings) (models.Endpoint, error) {
	e, err := s.own(ctx, tx, merchantID, id)
	if err != nil {
		return e, err
	}
	if err := s.secretInTime(ctx, tx, e); err != nil {
		return e, err
	}
	before := e
	if faults := s.apply(&e, set); len(faults) > 0 {
		return before, faults
	}
	if e.URL != before.URL { // what failed was another receiver
		e = closeBreaker(e)
	}
	if err := s.keyFor(ctx, tx, e); err != nil {
		return e, err
	}
	e.UpdatedAt = s.now()
	if e, err = tx.SaveEndpoint(ctx, e); err != nil {
		return e, err
	}
	return e, s.audit(ctx, tx, actor, "endpoint.updated", e, map[string]string{"url": e.URL, "changed": strings.Join(set.names(), " ")})
}

// EnableEndpoint lets an endpoint have its deliveries again; what was held leaves oldest first. Enabling an enabled one
// changes nothing; what the operator paused it refuses with [ErrEndpointPaused].
func (s *Service) EnableEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointEnabled, "")
}

// DisableEndpoint holds the deliveries of an endpoint until it is enabled.
func (s *Service) DisableEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id, reason string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointDisabled, reason)
}

// PauseEndpoint is the operator's DisableEndpoint: only [Service.ResumeEndpoint] ends it (ruling 10).
func (s *Service) PauseEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id, reason string) (models.Endpoint, error) {
	return s.setStatus(ctx, tx, actor, merchantID, id, models.EndpointPaused, reason)
}

// ResumeEndpoint enables what the operator paused.
func (s *Service) ResumeEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string) (models.Endpoint, error) {
	e, err := tx.LockEndpoint(ctx, merchantID, id)
	if err != nil || e.Status != models.EndpointPaused {
		return e, err
	}
	return s.moveTo(ctx, tx, actor, e, models.EndpointEnabled, "")
}

func (s *Service) setStatus(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string, to models.EndpointStatus, reason string) (models.Endpoint, error) {
	e, err := s.own(ctx, tx, merchantID, id)
	switch {
	case err != nil:
		return e, err
	case e.Status == to:
		return e, nil
	case e.Status == models.EndpointPaused:
		return e, ErrEndpointPaused
	}
	return s.moveTo(ctx, tx, actor, e, to, reason)
}

func (s *Service) moveTo(ctx context.Context, tx *store.Tx, actor models.Actor, e models.Endpoint, to models.EndpointStatus, reason string) (models.Endpoint, error) {
	now := s.now()
	from := e.Status
	e.Status, e.DisabledReason, e.UpdatedAt = to, reason, now
	if to == models.EndpointEnabled {
		e = closeBreaker(e)
	}
	e, err := tx.SaveEndpoint(ctx, e)
	if err != nil {
		return e, err
	}
	move := tx.HoldDeliveries
	if to == models.EndpointEnabled {
		move = tx.ResumeDeliveries
	}
	n, err := move(ctx, e.ID, now)
	if err != nil {
		return e, err
	}
	return e, s.audit(ctx, tx, actor, "endpoint."+string(to), e, map[string]string{"from": string(from), "reason": reason, "deliveries": fmt.Sprint(n)})
}

// DeleteEndpoint removes an endpoint and cancels what waits for it. Its attempts can still be read. A merchant whose
// last endpoint goes has the default one again.
func (s *Service) DeleteEndpoint(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string) error {
	if _, err := tx.LockMerchant(ctx, merchantID); err != nil {
		return err
	}
	e, err := s.own(ctx, tx, merchantID, id)
	if err != nil {
		return err
	}
	n, err := s.remove(ctx, tx, e)
	if err != nil {
		return err
	}
	if err := s.ensureDefault(ctx, tx, merchantID); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "endpoint.deleted", e, map[string]string{"url": e.URL, "deliveries": fmt.Sprint(n)})
}

func (s *Service) remove(ctx context.Context, tx *store.Tx, e models.Endpoint) (int64, error) {
	now := s.now()
	e.DeletedAt, e.UpdatedAt = &now, now
	e.HeadersSealed, e.ClientKeySealed = nil, nil
	if _, err := tx.SaveEndpoint(ctx, e); err != nil {
		return 0, err
	}
	secrets, err := tx.Secrets(ctx, e.ID, now)
	if err != nil {
		return 0, err
	}
	for _, k := range secrets {
		if err := tx.EndSecret(ctx, k.ID, now); err != nil {
			return 0, err
		}
	}
	return tx.CancelDeliveries(ctx, e.ID, now)
}

// own locks an endpoint that the merchant may change.
func (s *Service) own(ctx context.Context, tx *store.Tx, merchantID, id string) (models.Endpoint, error) {
	e, err := tx.LockEndpoint(ctx, merchantID, id)
	if err == nil && e.IsDefault {
		err = ErrDefaultEndpoint
	}
	return e, err
}
