package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// target is an endpoint opened up: what an attempt needs of it, so that neither the database nor the vault is asked for
// every POST. It belongs to one version of the endpoint's row.
type target struct {
	endpoint models.Endpoint
	host     string
	custom   map[string]string
	tls      egress.TLSSettings
	rows     []models.EndpointSecret
	keys     map[string]webhook.Secret

	mu         sync.Mutex
	secrets    webhook.Secrets
	secretsFor time.Time // until when they are the live ones; zero before the first use
}

// signing is what signs a delivery at now: every live secret, or the one that a test asks for while there is one, and the
// gateway's own keys where the endpoint wants them.
func (t *target) signing(signWith string, now time.Time, keys []webhook.SigningKey) webhook.Secrets {
	live := t.live(now)
	switch {
	case signWith == signWithAll:
	case signWith == SignWithNext && live.Next != nil:
		live = webhook.Secrets{Current: *live.Next}
	case signWith == SignWithPrevious && len(live.Previous) > 0:
		live = webhook.Secrets{Current: live.Previous[0]}
	case signWith != "":
		live = webhook.Secrets{Current: live.Current}
	}
	live.SigningKeys = keys
	return live
}

// live is which secrets sign at now.
func (t *target) live(now time.Time) webhook.Secrets {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.secretsFor) {
		return t.secrets
	}
	live := LiveSecrets(t.rows, now)
	t.secrets = webhook.Secrets{}
	if live.Current != nil {
		t.secrets.Current = t.keys[live.Current.ID]
	}
	if live.Next != nil {
		next := t.keys[live.Next.ID]
		t.secrets.Next = &next
	}
	for _, p := range live.Previous {
		t.secrets.Previous = append(t.secrets.Previous, t.keys[p.ID])
	}
	t.secretsFor = now.Add(time.Hour)
	for _, r := range t.rows { // until the next of them begins or ends
		for _, edge := range []*time.Time{&r.ActiveFrom, r.ExpiresAt} {
			if edge != nil && edge.After(now) && edge.Before(t.secretsFor) {
				t.secretsFor = *edge
			}
		}
	}
	return t.secrets
}

// maxTargets bounds how many endpoints a process keeps open.
const maxTargets = 10_000

// targets keeps targets. Every load of a delivery tells the version of its endpoint, so none is ever out of date.
type targets struct {
	store   *store.Store
	service *Service
	mu      sync.Mutex
	open    map[string]*target
}

// peek returns what is known of an endpoint without asking anybody, nil for nothing.
func (ts *targets) peek(id string) *target {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.open[id]
}

// get returns the endpoint at a version or a newer one.
func (ts *targets) get(ctx context.Context, id string, version int, now time.Time) (*target, error) {
	if t := ts.peek(id); t != nil && t.endpoint.Version >= version {
		return t, nil
	}
	t, err := ts.service.open(ctx, id, now)
	if err != nil {
		return nil, err
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.open) >= maxTargets {
		for old := range ts.open { // whichever comes first
			delete(ts.open, old)
			if len(ts.open) < maxTargets*9/10 {
				break
			}
		}
	}
	ts.open[id] = t
	return t, nil
}

// open reads an endpoint and opens what of it is sealed. The version is read before the secrets, so that a rotation in
// between makes the target look older than it is, never newer.
func (s *Service) open(ctx context.Context, id string, now time.Time) (*target, error) {
	e, err := s.Store.EndpointByID(ctx, id)
	if err != nil {
		return nil, err
	}
	t := &target{endpoint: e, keys: make(map[string]webhook.Secret)}
	if u, err := url.Parse(e.URL); err == nil {
		t.host = u.Host
	}
	if t.rows, err = s.Store.Secrets(ctx, id, now); err != nil {
		return nil, err
	}
	for _, row := range t.rows {
		if t.keys[row.ID], err = s.openSecret(row); err != nil {
			return nil, err
		}
	}
	if len(e.HeadersSealed) > 0 {
		plain, err := s.Vault.Open(e.HeadersSealed, models.HeadersAAD(id))
		if err != nil {
			return nil, fmt.Errorf("delivery: open headers of %s: %w", id, err)
		}
		if err := json.Unmarshal(plain, &t.custom); err != nil {
			return nil, fmt.Errorf("delivery: headers of %s are no JSON object", id)
		}
	}
	t.tls, err = s.TLSOf(e)
	return t, err
}

// TLSOf returns the settings with which an endpoint is connected to, the private key of its client certificate opened.
func (s *Service) TLSOf(e models.Endpoint) (egress.TLSSettings, error) {
	settings := egress.TLSSettings{CAPEM: e.CAPEM, SPKIPins: e.SPKIPins, ClientCertPEM: e.ClientCertPEM}
	if len(e.ClientKeySealed) > 0 {
		key, err := s.Vault.Open(e.ClientKeySealed, models.ClientKeyAAD(e.ID))
		if err != nil {
			return settings, fmt.Errorf("delivery: open client key of %s: %w", e.ID, err)
		}
		settings.ClientKeyPEM = string(key)
	}
	return settings, nil
}

// openSecret decrypts one secret of an endpoint.
func (s *Service) openSecret(row models.EndpointSecret) (webhook.Secret, error) {
	plain, err := s.Vault.Open(row.Sealed, models.SecretAAD(row.ID))
	if err != nil {
		return webhook.Secret{}, fmt.Errorf("delivery: open secret %s: %w", row.ID, err)
	}
	key, err := webhook.ParseSecret(string(plain))
	if err != nil {
		return webhook.Secret{}, fmt.Errorf("delivery: secret %s: %w", row.ID, err)
	}
	return key, nil
}
