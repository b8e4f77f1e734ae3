package endpoints

import (
	"context"
	"net/url"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// PausedHostError says that an endpoint would lead around a pause: the operator paused another one of the merchant's at
// its host, or this one, which is to stay where it is until then. It is an [ErrPaused].
type PausedHostError struct {
	EndpointID string // that is paused; "" where it is not for whoever asked for a test endpoint
	Host       string // of its URL
}

func (e *PausedHostError) Error() string {
	return strings.TrimSpace("endpoint "+e.EndpointID) + " at " + e.Host + ": " + ErrPaused.Error()
}

// Unwrap makes it an [ErrPaused].
func (e *PausedHostError) Unwrap() error { return ErrPaused }

// aroundPause refuses an endpoint at the host of another one that the operator paused, unless none of the other's
// events would go to it, by their modes.
func (s *Service) aroundPause(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	all, err := tx.EndpointsOf(ctx, e.MerchantID)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.ID == e.ID || other.Status != models.EndpointPaused || !overlap(e.Mode, other.Mode) {
			continue
		}
		if host := hostOf(other.URL); host == hostOf(e.URL) {
			if e.Mode == models.ModeTest && other.Mode != models.ModeTest {
				return &PausedHostError{Host: host}
			}
			return &PausedHostError{other.ID, host}
		}
	}
	return nil
}

// overlap reports whether some event goes to endpoints of both modes.
func overlap(a, b models.Mode) bool { return a == b || a == models.ModeBoth || b == models.ModeBoth }

// moveAroundPause refuses to take a paused endpoint to another host, which would make room for a new one at this host,
// and any endpoint to the host of a paused one.
func (s *Service) moveAroundPause(ctx context.Context, tx *store.Tx, before, after models.Endpoint) error {
	if host := hostOf(before.URL); before.Status == models.EndpointPaused && hostOf(after.URL) != host {
		return &PausedHostError{before.ID, host}
	}
	if before.Status == models.EndpointPaused {
		return nil
	}
	return s.aroundPause(ctx, tx, after)
}

// hostOf is the host of a URL, without its port, in the form in which hosts are compared.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}
