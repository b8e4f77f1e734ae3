package delivery

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// target is an endpoint with its secrets decrypted: what an attempt needs of it, so that neither the database nor the
// vault is asked for every POST. It belongs to one version of the endpoint's row.
type target struct {
	endpoint endpoints.Opened
	host     string

	mu         sync.Mutex
	secrets    webhook.Secrets
	validUntil time.Time // until when secrets are the live ones; zero before the first use
}

// signing is what signs a delivery at now: every live secret, or the one that a test asks for while there is one, and
// the gateway's own keys where the endpoint wants them.
func (t *target) signing(signWith string, now time.Time, keys []webhook.SigningKey) webhook.Secrets {
	live := t.live(now)
	switch {
	case signWith == endpoints.SignWithAll:
	case signWith == endpoints.SignWithNext && live.Next != nil:
		live = webhook.Secrets{Current: *live.Next}
	case signWith == endpoints.SignWithPrevious && len(live.Previous) > 0:
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
	if now.Before(t.validUntil) {
		return t.secrets
	}
	live := endpoints.LiveSecrets(t.endpoint.Secrets, now)
	t.secrets = webhook.Secrets{}
	if live.Current != nil {
		t.secrets.Current = t.endpoint.Keys[live.Current.ID]
	}
	if live.Next != nil {
		next := t.endpoint.Keys[live.Next.ID]
		t.secrets.Next = &next
	}
	for _, p := range live.Previous {
		t.secrets.Previous = append(t.secrets.Previous, t.endpoint.Keys[p.ID])
	}
	t.validUntil = now.Add(time.Hour)
	for _, r := range t.endpoint.Secrets { // until the next of them begins or ends
		for _, edge := range []*time.Time{&r.ActiveFrom, r.ExpiresAt} {
			if edge != nil && edge.After(now) && edge.Before(t.validUntil) {
				t.validUntil = *edge
			}
		}
	}
	return t.secrets
}

// maxTargets bounds how many endpoints a process remembers.
const maxTargets = 10_000

// targets remembers targets. Every load of a delivery tells the version of its endpoint, so none is ever out of date.
type targets struct {
	endpoints *endpoints.Service
	mu        sync.Mutex
	open      map[string]*target
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
	opened, err := ts.endpoints.Open(ctx, id, now)
	if err != nil {
		return nil, err
	}
	t := &target{endpoint: opened}
	if u, err := url.Parse(opened.URL); err == nil {
		t.host = u.Host
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
