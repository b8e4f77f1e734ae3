package endpoints

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Create makes an enabled endpoint and its first secret: the one given, or a new one. The merchant's default endpoint
// is gone with it; beside test endpoints it stays for live events. Whoever asks with a key gives [Settings.Mode] test
// or live. It returns [models.FieldErrors], [ErrLimit] or a [*PausedHostError] when the request cannot be met.
func (s *Service) Create(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string, set Settings,
	secret *string) (models.Endpoint, webhook.Secret, error) {
	now := s.now()
	e := models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, now), MerchantID: merchantID, Events: []string{webhook.PatternAll},
		Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1, CreatedAt: now, UpdatedAt: now,
		Mode: cmp.Or(set.Mode, models.ModeBoth),
	}
	var problems models.FieldErrors
	if set.URL == nil {
		problems = append(problems, models.FieldError{Field: "url", Message: "is needed",
			Example: "https://shop.example/hooks"})
	}
	if !slices.Contains(models.Modes, e.Mode) {
		problems = append(problems, models.FieldError{Field: "mode", Message: "must be live, test or both", Example: "live"})
	}
	problems = append(problems, s.apply(&e, set)...)
	key, problem := newSecret(secret)
	if problem != nil {
		problems = append(problems, *problem)
	}
	if len(problems) > 0 {
		return e, webhook.Secret{}, problems
	}
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil {
		return e, key, err
	}
	have, err := tx.CountEndpoints(ctx, merchantID)
	if err != nil {
		return e, key, err
	}
	limit := s.opts.MaxEndpoints
	if m.MaxEndpoints != nil {
		limit = *m.MaxEndpoints
	}
	if count(have, e.Mode == models.ModeTest) >= limit {
		return e, key, ErrLimit
	}
	if err := s.aroundPause(ctx, tx, e); err != nil {
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
	if err := s.ensureDefault(ctx, tx, merchantID); err != nil {
		return e, key, err
	}
	return e, key, s.audit(ctx, tx, actor, "endpoint.created", e,
		map[string]string{"url": e.URL, "events": strings.Join(e.Events, " "), "mode": string(e.Mode)})
}

// count is how many endpoints count against the limit of one mode: test endpoints by themselves, so that a test key
// leaves live keys all of theirs.
func count(have map[models.Mode]int, test bool) int {
	if test {
		return have[models.ModeTest]
	}
	return have[models.ModeLive] + have[models.ModeBoth]
}

// Update changes settings of an endpoint. It returns [models.FieldErrors], [ErrDefault], [ErrSecretTooOld] or a
// [*PausedHostError] when it cannot.
func (s *Service) Update(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	set Settings) (models.Endpoint, error) {
	e, err := s.own(ctx, tx, merchantID, id)
	if err != nil {
		return e, err
	}
	if err := s.secretInTime(ctx, tx, e); err != nil {
		return e, err
	}
	before := e
	problems := s.apply(&e, set)
	if problems = append(problems, leaks(before, e, set)...); len(problems) > 0 {
		return before, problems
	}
	if e.URL != before.URL { // what failed was another receiver
		e = breaker.Close(e)
		if err := s.moveAroundPause(ctx, tx, before, e); err != nil {
			return before, err
		}
	}
	if err := s.keyFor(ctx, tx, e); err != nil {
		return e, err
	}
	e.UpdatedAt = s.now()
	if e, err = tx.SaveEndpoint(ctx, e); err != nil {
		return e, err
	}
	return e,
		s.audit(ctx, tx, actor, "endpoint.updated", e,
			map[string]string{"url": e.URL, "changed": strings.Join(set.names(), " ")})
}

// leaks refuses to take what an endpoint keeps hidden along to another host, which may be somebody else's: custom
// headers may hold credentials, and a client certificate is one. Whoever knows them gives them again; whoever does not
// can remove them.
func leaks(before, after models.Endpoint, set Settings) models.FieldErrors {
	if after.URL == "" || origin(before.URL) == origin(after.URL) { // "" was refused by itself
		return nil
	}
	var problems models.FieldErrors
	if len(before.HeadersSealed) > 0 && set.Headers == nil {
		problems = append(problems, models.FieldError{Field: "headers", Example: `{"X-Tenant":"shop"}`,
			Message: "must be given again, or {} to remove them, when the URL goes to another host"})
	}
	if len(before.ClientKeySealed) > 0 && set.ClientCert == nil {
		problems = append(problems, models.FieldError{Field: "client_cert", Example: exampleClientCert,
			Message: "must be given again, or null to remove it, when the URL goes to another host"})
	}
	return problems
}

// origin is the scheme, host and port of a URL as [Options.CheckURL] normalises it.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// SetMode narrows an endpoint that gets events of both modes to one, or lets the operator widen a live one to both.
// What waits for it and is of the other mode is canceled. Test stays test, because test keys know its secret and may
// have chosen its URL. It returns [models.FieldErrors], [ErrModeIsFinal] or [ErrBatchWaits] when it cannot.
func (s *Service) SetMode(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	mode models.Mode) (models.Endpoint, error) {
	if !slices.Contains(models.Modes, mode) {
		return models.Endpoint{}, models.FieldErrors{{Field: "mode", Message: "must be live, test or both", Example: "live"}}
	}
	if _, err := tx.LockMerchant(ctx, merchantID); err != nil {
		return models.Endpoint{}, err
	}
	e, err := s.own(ctx, tx, merchantID, id)
	if err != nil || e.Mode == mode {
		return e, err
	}
	if e.Mode != models.ModeBoth && mode != models.ModeBoth || e.Mode == models.ModeTest {
		return e, ErrModeIsFinal
	}
	if e.Status == models.EndpointPaused { // another endpoint could have the events that it takes no more
		return e, ErrPaused
	}
	if waits, err := tx.BatchWaits(ctx, id); err != nil {
		return e, err
	} else if waits {
		return e, ErrBatchWaits
	}
	from := e.Mode
	e.Mode, e.UpdatedAt = mode, s.now()
	if err := s.keyFor(ctx, tx, e); err != nil {
		return e, err
	}
	e, n, err := tx.SetMode(ctx, e, e.UpdatedAt)
	if err != nil {
		return e, err
	}
	if err := s.ensureDefault(ctx, tx, merchantID); err != nil {
		return e, err
	}
	return e, s.audit(ctx, tx, actor, "endpoint.mode_changed", e,
		map[string]string{"from": string(from), "to": string(mode), "deliveries": fmt.Sprint(n)})
}

// Delete removes an endpoint and cancels what waits for it. Its attempts can still be read. A merchant whose
// last endpoint goes has the default one again. What the operator paused stays: it returns [ErrPaused].
func (s *Service) Delete(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string) error {
	if _, err := tx.LockMerchant(ctx, merchantID); err != nil {
		return err
	}
	e, err := s.own(ctx, tx, merchantID, id)
	if err == nil && e.Status == models.EndpointPaused {
		err = ErrPaused
	}
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
		err = ErrDefault
	}
	return e, err
}

// secretInTime refuses to change an endpoint whose newest secret is older than a secret may be. It signs on all the
// same.
func (s *Service) secretInTime(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	if s.opts.SecretMaxAge == 0 {
		return nil
	}
	secrets, err := tx.Secrets(ctx, e.ID, s.now())
	if err != nil {
		return err
	}
	for _, k := range secrets {
		if k.ExpiresAt == nil && s.now().Sub(k.ActiveFrom) < s.opts.SecretMaxAge {
			return nil
		}
	}
	return ErrSecretTooOld
}
