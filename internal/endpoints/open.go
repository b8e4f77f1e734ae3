package endpoints

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Opened is an endpoint with everything of it decrypted that is stored encrypted.
type Opened struct {
	models.Endpoint
	Headers map[string]string // custom ones
	TLS     egress.TLSSettings
	Secrets []models.EndpointSecret   // those that have not expired
	Keys    map[string]webhook.Secret // by the id of the secret
}

// Open reads an endpoint and decrypts what of it is stored encrypted. It reads the version before the secrets, so that
// a rotation in between makes the result look older than it is, never newer.
func (s *Service) Open(ctx context.Context, id string, now time.Time) (Opened, error) {
	o := Opened{Keys: make(map[string]webhook.Secret)}
	var err error
	if o.Endpoint, err = s.store.EndpointByID(ctx, id); err != nil {
		return o, err
	}
	if o.Secrets, err = s.store.Secrets(ctx, id, now); err != nil {
		return o, err
	}
	for _, row := range o.Secrets {
		if o.Keys[row.ID], err = s.openSecret(row); err != nil {
			return o, err
		}
	}
	if o.Headers, err = s.openHeaders(o.Endpoint); err != nil {
		return o, err
	}
	o.TLS, err = s.TLSSettings(o.Endpoint)
	return o, err
}

// HeaderNames lists the names of an endpoint's custom headers. Their values may be credentials and are never shown.
func (s *Service) HeaderNames(e models.Endpoint) ([]string, error) {
	headers, err := s.openHeaders(e)
	return slices.Sorted(maps.Keys(headers)), err
}

func (s *Service) openHeaders(e models.Endpoint) (headers map[string]string, err error) {
	if len(e.HeadersSealed) == 0 {
		return nil, nil
	}
	plain, err := s.vault.Open(e.HeadersSealed, models.HeadersAAD(e.ID))
	if err != nil {
		return nil, fmt.Errorf("endpoints: open headers of %s: %w", e.ID, err)
	}
	if err := json.Unmarshal(plain, &headers); err != nil {
		return nil, fmt.Errorf("endpoints: headers of %s are not a JSON object", e.ID)
	}
	return headers, nil
}

// TLSSettings returns the settings with which an endpoint is connected to, with the private key of its client
// certificate decrypted.
func (s *Service) TLSSettings(e models.Endpoint) (egress.TLSSettings, error) {
	settings := egress.TLSSettings{CAPEM: e.CAPEM, SPKIPins: e.SPKIPins, ClientCertPEM: e.ClientCertPEM}
	if len(e.ClientKeySealed) > 0 {
		key, err := s.vault.Open(e.ClientKeySealed, models.ClientKeyAAD(e.ID))
		if err != nil {
			return settings, fmt.Errorf("endpoints: open client key of %s: %w", e.ID, err)
		}
		settings.ClientKeyPEM = string(key)
	}
	return settings, nil
}

// openSecret decrypts one secret of an endpoint.
func (s *Service) openSecret(row models.EndpointSecret) (webhook.Secret, error) {
	plain, err := s.vault.Open(row.Sealed, models.SecretAAD(row.ID))
	if err != nil {
		return webhook.Secret{}, fmt.Errorf("endpoints: open secret %s: %w", row.ID, err)
	}
	key, err := webhook.ParseSecret(string(plain))
	if err != nil {
		return webhook.Secret{}, fmt.Errorf("endpoints: secret %s: %w", row.ID, err)
	}
	return key, nil
}
