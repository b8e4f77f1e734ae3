package api

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// endpointView shows an endpoint. Secrets, the key of a client certificate and the values of custom headers are not in
// it.
func (h *handlers) endpointView(ctx context.Context, q reader, e models.Endpoint) (WebhookEndpoint, error) {
	secrets, err := q.Secrets(ctx, e.ID, h.now())
	if err != nil {
		return WebhookEndpoint{}, err
	}
	names, err := h.endpoints.HeaderNames(e)
	if err != nil {
		return WebhookEndpoint{}, err
	}
	v := WebhookEndpoint{
		ID: e.ID, URL: e.URL, Description: e.Description, Status: e.Status, DisabledReason: orNull(e.DisabledReason),
		Mode:    e.Mode,
		Default: e.IsDefault, Breaker: Breaker{State: e.BreakerState, OpenUntil: webhook.AtPtr(e.BreakerOpenUntil)},
		CAPEM: orNull(e.CAPEM), ClientCertPEM: orNull(e.ClientCertPEM), SPKIPins: append([]string{}, e.SPKIPins...),
		Events: []EventPattern{}, Headers: map[string]string{}, Secrets: []SecretInfo{}, Ed25519: e.Ed25519,
		MaxAttempts: e.MaxAttempts, MaxInFlight: e.MaxInFlight, Timeout: seconds(e.TimeoutMS),
		RetryBase: seconds(e.RetryBaseMS), RetryMax: seconds(e.RetryMaxMS), RateLimit: e.RateLimit,
		BatchMaxEvents: e.BatchMaxEvents, LastSuccessAt: webhook.AtPtr(e.LastSuccessAt), CreatedAt: webhook.At(e.CreatedAt),
		UpdatedAt: webhook.At(e.UpdatedAt),
	}
	if f := e.Filter; f != nil {
		v.Filter = &EndpointFilter{Chains: orNone(f.Chains), Assets: orNone(f.Assets), Statuses: orNone(f.Statuses)}
		if len(f.Metadata) > 0 {
			v.Filter.Metadata = &f.Metadata
		}
	}
	if e.BatchMaxWaitMS != nil {
		wait := float64(*e.BatchMaxWaitMS) / 1000
		v.BatchMaxWait = &wait
	}
	for _, p := range e.Events {
		v.Events = append(v.Events, EventPattern(p))
	}
	for _, name := range names {
		v.Headers[name] = "[redacted]"
	}
	live := endpoints.LiveSecrets(secrets, h.now())
	show := func(role string, s *models.EndpointSecret) {
		if s != nil {
			v.Secrets = append(v.Secrets, SecretInfo{Role: role, ActiveFrom: webhook.At(s.ActiveFrom),
				CreatedAt: webhook.At(s.CreatedAt), ExpiresAt: webhook.AtPtr(s.ExpiresAt)})
		}
	}
	show("next", live.Next)
	show("current", live.Current)
	for i := range live.Previous {
		show("previous", &live.Previous[i])
	}
	return v, nil
}

// orNone leaves an empty list out.
func orNone[T any](list []T) *[]T {
	if len(list) == 0 {
		return nil
	}
	return &list
}

// reader reads secrets, inside a transaction or outside.
type reader interface {
	Secrets(ctx context.Context, endpointID string, now time.Time) ([]models.EndpointSecret, error)
}

func deliveryView(d models.Delivery) Delivery {
	v := Delivery{
		ID: d.ID, EventID: d.EventID, EndpointID: d.EndpointID, EventType: EventType(d.EventType), PaymentID: d.PaymentID,
		State: d.State, Attempts: d.Attempts, MaxAttempts: d.MaxAttempts, LastClass: orNull(d.LastClass),
		DeadReason: orNull(d.DeadReason), ReplayOf: d.ReplayOf, CreatedAt: webhook.At(d.CreatedAt),
		DeliveredAt: webhook.AtPtr(d.DeliveredAt),
	}
	if d.LastStatus != 0 {
		v.LastStatus = &d.LastStatus
	}
	if !d.State.Terminal() {
		v.NextAttemptAt = webhook.AtPtr(&d.NextAttemptAt)
	}
	return v
}

// detailView is a delivery with its attempts: the same keys, and attempt_log.
func detailView(d models.Delivery, attempts []models.Attempt) (DeliveryDetail, error) {
	var v DeliveryDetail
	plain, err := json.Marshal(deliveryView(d))
	if err == nil {
		err = json.Unmarshal(plain, &v)
	}
	if err != nil {
		return v, err
	}
	v.AttemptLog = []Attempt{}
	for _, a := range attempts {
		v.AttemptLog = append(v.AttemptLog, attemptView(a))
	}
	return v, nil
}

func attemptView(a models.Attempt) Attempt {
	v := Attempt{
		ID: a.ID, Number: a.Number, Class: a.Class, Error: orNull(a.Error), RemoteIP: orNull(a.RemoteIP),
		RequestHeaders: orEmptyMap(a.RequestHeaders), ResponseHeaders: orEmptyMap(a.ResponseHeaders),
		ResponseBody: string(a.ResponseBody), StartedAt: webhook.At(a.StartedAt),
		TimingsMs: Timings{Total: millis(a.TotalMicros)},
	}
	if a.StatusCode != 0 {
		v.Status = &a.StatusCode
	}
	if len(a.Tries) > 0 {
		tries := make([]Try, len(a.Tries))
		for i, t := range a.Tries {
			tries[i] = Try{At: webhook.At(t.At), RemoteIP: orNull(t.RemoteIP), Error: orNull(t.Error)}
		}
		v.Tries = &tries
	}
	for _, t := range []struct {
		micros int64
		into   **float64
	}{{a.DNSMicros, &v.TimingsMs.DNS}, {a.ConnectMicros, &v.TimingsMs.Connect}, {a.TLSMicros, &v.TimingsMs.TLS},
		{a.FirstByteMicros, &v.TimingsMs.FirstByte}} {
		if t.micros > 0 {
			ms := millis(t.micros)
			*t.into = &ms
		}
	}
	return v
}

func keyView(k models.APIKey) APIKey {
	return APIKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: append([]Scope{}, k.Scopes...), Test: k.Test,
		CreatedAt: webhook.At(k.CreatedAt), ExpiresAt: webhook.AtPtr(k.ExpiresAt), LastUsedAt: webhook.AtPtr(k.LastUsedAt),
		RevokedAt: webhook.AtPtr(k.RevokedAt), CreatedBy: k.CreatedBy,
	}
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// seconds turns milliseconds into the whole seconds that merchants set.
func seconds(ms *int) *int {
	if ms == nil {
		return nil
	}
	s := *ms / 1000
	return &s
}

// etag is the version of an endpoint as conditional requests name it.
func etag(e models.Endpoint) string { return `"` + strconv.Itoa(e.Version) + `"` }
