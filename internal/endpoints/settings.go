package endpoints

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Settings are what a merchant may choose about an endpoint. A nil field stays as it is, or at its default; a pointer
// to a nil *int takes an override back.
type Settings struct {
	URL         *string
	Description *string
	Events      []string // "*", "payment.*" or exact types
	Filter      **models.EndpointFilter
	Headers     map[string]string // replaces all; an empty map removes them
	CAPEM       *string
	SPKIPins    *[]string // base64 of the SHA-256 of a certificate's public key info
	// ClientCert is a certificate chain and its private key in PEM; an empty certificate removes both.
	ClientCert *ClientCert
	Ed25519    *bool // sign with the gateway's own key too
	// Mode is of a new endpoint: both where it is left out, which no key may do. [Service.SetMode] is what changes it.
	Mode models.Mode

	TimeoutMS, RateLimit, MaxInFlight, MaxAttempts, RetryBaseMS, RetryMaxMS, BatchMaxEvents, BatchMaxWaitMS **int
}

// ClientCert is what the gateway shows to an endpoint that asks for a certificate.
type ClientCert struct{ CertPEM, KeyPEM string }

// Limits of the settings.
const (
	maxDescription = 255
	maxPEM         = 64 << 10
	maxPins        = 10
	maxAttempts    = 100
)

// names lists what a request sets, for the audit log.
func (set Settings) names() []string {
	given := map[string]bool{
		"url": set.URL != nil, "description": set.Description != nil, "events": set.Events != nil,
		"filter":  set.Filter != nil,
		"headers": set.Headers != nil,
		"ed25519": set.Ed25519 != nil, "ca_pem": set.CAPEM != nil, "spki_pins": set.SPKIPins != nil,
		"client_cert": set.ClientCert != nil, "timeout": set.TimeoutMS != nil,
		"rate_limit": set.RateLimit != nil, "max_in_flight": set.MaxInFlight != nil, "max_attempts": set.MaxAttempts != nil,
		"retry_base": set.RetryBaseMS != nil, "retry_max": set.RetryMaxMS != nil,
		"batch_max_events": set.BatchMaxEvents != nil,
		"batch_max_wait":   set.BatchMaxWaitMS != nil,
	}
	maps.DeleteFunc(given, func(_ string, yes bool) bool { return !yes })
	return slices.Sorted(maps.Keys(given))
}

// apply checks every setting and writes the good ones into e. It is long because it is a list of settings.
func (s *Service) apply(e *models.Endpoint, set Settings) models.FieldErrors {
	var problems models.FieldErrors
	bad := func(field, example, format string, args ...any) {
		problems = append(problems, models.FieldError{Field: field, Message: fmt.Sprintf(format, args...), Example: example})
	}
	if set.URL != nil {
		url, err := s.opts.CheckURL(egress.Tenant{Merchant: e.MerchantID}, *set.URL)
		if err != nil {
			bad("url", "https://shop.example/hooks", "%s", urlReason(err))
		}
		e.URL = url
	}
	if set.Description != nil {
		if len(*set.Description) > maxDescription || !utf8.ValidString(*set.Description) ||
			strings.ContainsFunc(*set.Description, unicode.IsControl) {
			bad("description", "Production shop", "must be at most %d bytes without control characters", maxDescription)
		}
		e.Description = *set.Description
	}
	if set.Events != nil {
		for _, p := range set.Events {
			if !webhook.ValidPattern(p) {
				bad("events", `["payment.*"]`, "has %q, which is neither an event type nor payment.* nor *", p)
			}
		}
		if len(set.Events) == 0 {
			bad("events", `["*"]`, "must name at least one event type")
		}
		e.Events = slices.Compact(slices.Sorted(slices.Values(set.Events)))
	}
	if set.Filter != nil {
		s.applyFilter(e, *set.Filter, bad)
	}
	if set.Headers != nil {
		s.applyHeaders(e, set.Headers, bad)
	}
	if set.CAPEM != nil {
		if problem := tlsProblem(egress.TLSSettings{CAPEM: *set.CAPEM}, len(*set.CAPEM)); problem != "" {
			bad("ca_pem", "-----BEGIN CERTIFICATE-----…", "%s", problem)
		}
		e.CAPEM = *set.CAPEM
	}
	if set.SPKIPins != nil {
		if err := (egress.TLSSettings{SPKIPins: *set.SPKIPins}).Check(); err != nil || len(*set.SPKIPins) > maxPins {
			bad("spki_pins", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "must hold at most %d base64 of SHA-256 digests",
				maxPins)
		}
		e.SPKIPins = *set.SPKIPins
	}
	if set.ClientCert != nil {
		s.applyClientCert(e, *set.ClientCert, bad)
	}
	if set.Ed25519 != nil {
		e.Ed25519 = *set.Ed25519
	}
	number := func(field string, to **int, given **int, least, most int) {
		if given == nil {
			return
		}
		if *given != nil && (**given < least || **given > most) {
			bad(field, fmt.Sprint(least), "must be %d to %d", least, most)
		}
		*to = *given
	}
	const hour = 3_600_000
	number("timeout", &e.TimeoutMS, set.TimeoutMS, 1000, 30000)
	number("rate_limit", &e.RateLimit, set.RateLimit, 1, 10_000)
	number("max_in_flight", &e.MaxInFlight, set.MaxInFlight, 1, 1000)
	number("max_attempts", &e.MaxAttempts, set.MaxAttempts, 1, maxAttempts)
	number("retry_base", &e.RetryBaseMS, set.RetryBaseMS, 1000, hour)
	number("retry_max", &e.RetryMaxMS, set.RetryMaxMS, 1000, 24*hour)
	if e.RetryBaseMS != nil && e.RetryMaxMS != nil && *e.RetryBaseMS > *e.RetryMaxMS {
		bad("retry_max", fmt.Sprint((*e.RetryBaseMS+999)/1000), "must be at least retry_base")
	}
	number("batch_max_events", &e.BatchMaxEvents, set.BatchMaxEvents, 1, 100)
	number("batch_max_wait", &e.BatchMaxWaitMS, set.BatchMaxWaitMS, 10, 60_000)
	return problems
}

// tlsProblem is what is wrong with a field of TLS settings that has so many bytes, "" when nothing is.
func tlsProblem(settings egress.TLSSettings, size int) string {
	if size > maxPEM {
		return fmt.Sprintf("must be PEM of at most %d bytes", maxPEM)
	}
	var broken *egress.TLSFieldError
	if err := settings.Check(); errors.As(err, &broken) {
		return broken.Reason
	}
	return ""
}

func (s *Service) applyHeaders(e *models.Endpoint, custom map[string]string,
	bad func(field, example, format string, args ...any)) {
	if problem := checkHeaders(custom); problem != "" {
		bad("headers", `{"X-Tenant":"shop"}`, "%s", problem)
		return
	}
	e.HeadersSealed = nil
	if len(custom) == 0 {
		return
	}
	plain, err := json.Marshal(custom)
	if err == nil {
		e.HeadersSealed, err = s.vault.Seal(plain, models.HeadersAAD(e.ID))
	}
	if err != nil {
		bad("headers", `{"X-Tenant":"shop"}`, "could not be encrypted: %v", err)
	}
}

const exampleClientCert = `{"cert_pem":"-----BEGIN CERTIFICATE-----…","key_pem":"-----BEGIN PRIVATE KEY-----…"}`

func (s *Service) applyClientCert(e *models.Endpoint, c ClientCert,
	bad func(field, example, format string, args ...any)) {
	e.ClientCertPEM, e.ClientKeySealed = "", nil
	if c.CertPEM == "" && c.KeyPEM == "" {
		return
	}
	problem := tlsProblem(egress.TLSSettings{ClientCertPEM: c.CertPEM, ClientKeyPEM: c.KeyPEM},
		max(len(c.CertPEM), len(c.KeyPEM)))
	if strings.Contains(c.CertPEM, "PRIVATE KEY") {
		problem = "must have the certificates in cert_pem and the key in key_pem"
	}
	if problem != "" {
		bad("client_cert", exampleClientCert, "%s", problem)
		return
	}
	sealed, err := s.vault.Seal([]byte(c.KeyPEM), models.ClientKeyAAD(e.ID))
	if err != nil {
		bad("client_cert", exampleClientCert, "could not be encrypted: %v", err)
		return
	}
	e.ClientCertPEM, e.ClientKeySealed = c.CertPEM, sealed
}

// urlReason is why a URL is refused, to stand behind the name of the field.
func urlReason(err error) string {
	var refused *egress.URLError
	if errors.As(err, &refused) {
		return refused.Words()
	}
	return err.Error()
}
