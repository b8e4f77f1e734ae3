package api

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ListWebhookEndpoints shows a page of endpoints, newest first.
func (h *handlers) ListWebhookEndpoints(ctx context.Context,
	r ListWebhookEndpointsRequestObject) (ListWebhookEndpointsResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	x := callerOf(ctx)
	rows, err := h.store.ListEndpoints(ctx, x.merchant.ID, x.key.Test, page)
	if err != nil {
		return nil, err
	}
	list := ListWebhookEndpoints200JSONResponse{Data: []WebhookEndpoint{}}
	for _, e := range rows {
		v, err := h.endpointView(ctx, h.store, e)
		if err != nil {
			return nil, err
		}
		list.Data = append(list.Data, v)
	}
	if n := len(rows); n > 0 {
		list.NextCursor = nextCursor(n, page.Limit, rows[n-1].CreatedAt, rows[n-1].ID)
	}
	return list, nil
}

// CreateWebhookEndpoint makes an endpoint; its secret is in this answer and in no other.
func (h *handlers) CreateWebhookEndpoint(ctx context.Context,
	r CreateWebhookEndpointRequestObject) (CreateWebhookEndpointResponseObject, error) {
	x, b := callerOf(ctx), r.Body
	set := endpoints.Settings{
		URL: &b.URL, Description: b.Description, Headers: deref(b.Headers), CAPEM: b.CAPEM, SPKIPins: b.SPKIPins,
		Ed25519: b.Ed25519, Events: patterns(b.Events), Filter: filterOf(b.Filter), TimeoutMS: millisOf(b.Timeout),
		MaxInFlight: asGiven(b.MaxInFlight), MaxAttempts: asGiven(b.MaxAttempts), RetryBaseMS: millisOf(b.RetryBase),
		RetryMaxMS: millisOf(b.RetryMax), RateLimit: asGiven(b.RateLimit), BatchMaxEvents: asGiven(b.BatchMaxEvents),
		BatchMaxWaitMS: millisOfFraction(b.BatchMaxWait),
	}
	if b.ClientCert != nil {
		set.ClientCert = &endpoints.ClientCert{CertPEM: b.ClientCert.CertPEM, KeyPEM: b.ClientCert.KeyPEM}
	}
	var err error
	if set.Mode, err = modeFor(x.key, b.Mode); err != nil {
		return nil, err
	}
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		e, secret, err := h.endpoints.Create(ctx, tx, x.actor(), x.merchant.ID, set, b.Secret)
		if err != nil {
			return savedAnswer{}, err
		}
		return h.endpointAnswer(ctx, tx, http.StatusCreated, e, &secret)
	})
}

// modeFor is the mode that a key gives an endpoint: its own where the body names none. A test key makes test endpoints
// alone, and only the operator makes one that gets both.
func modeFor(key models.APIKey, given *models.Mode) (models.Mode, error) {
	mode := models.ModeOf(key.Test)
	if given == nil {
		return mode, nil
	}
	switch {
	case key.Test && *given != models.ModeTest:
		return "", models.FieldErrors{{Field: "mode", Message: "must be test: a test key makes only test endpoints",
			Example: "test"}}
	case *given == models.ModeBoth:
		return "", models.FieldErrors{{Field: "mode", Message: "must be live or test: only the operator makes an endpoint " +
			"that gets both", Example: "live"}}
	}
	return *given, nil
}

// GetWebhookEndpoint shows one endpoint, with its version as ETag.
func (h *handlers) GetWebhookEndpoint(ctx context.Context,
	r GetWebhookEndpointRequestObject) (GetWebhookEndpointResponseObject, error) {
	e, err := h.ownEndpoint(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	v, err := h.endpointView(ctx, h.store, e)
	if err != nil {
		return nil, err
	}
	return GetWebhookEndpoint200JSONResponse{endpointResponse(e, v)}, nil
}

// UpdateWebhookEndpoint changes what the body names, if the caller saw the newest version.
func (h *handlers) UpdateWebhookEndpoint(ctx context.Context,
	r UpdateWebhookEndpointRequestObject) (UpdateWebhookEndpointResponseObject, error) {
	x, b := callerOf(ctx), r.Body
	set := endpoints.Settings{
		URL: b.URL, Description: b.Description, Headers: deref(b.Headers), SPKIPins: b.SPKIPins, Ed25519: b.Ed25519,
		Events: patterns(b.Events), TimeoutMS: millisOr(b.Timeout), MaxInFlight: intOr(b.MaxInFlight),
		MaxAttempts: intOr(b.MaxAttempts), RetryBaseMS: millisOr(b.RetryBase), RetryMaxMS: millisOr(b.RetryMax),
		RateLimit: intOr(b.RateLimit), BatchMaxEvents: intOr(b.BatchMaxEvents),
	}
	if b.Filter.Set {
		if set.Filter = filterOf(b.Filter.Value); set.Filter == nil {
			set.Filter = new((*models.EndpointFilter)(nil))
		}
	}
	if b.BatchMaxWait.Set {
		if set.BatchMaxWaitMS = millisOfFraction(b.BatchMaxWait.Value); set.BatchMaxWaitMS == nil {
			set.BatchMaxWaitMS = new((*int)(nil))
		}
	}
	if b.CAPEM.Set {
		pem := deref(b.CAPEM.Value)
		set.CAPEM = &pem
	}
	if b.ClientCert.Set {
		cert := deref(b.ClientCert.Value)
		set.ClientCert = &endpoints.ClientCert{CertPEM: cert.CertPEM, KeyPEM: cert.KeyPEM}
	}
	if _, err := h.ownEndpoint(ctx, r.ID); err != nil {
		return nil, err
	}
	if b.Mode != nil {
		if _, err := modeFor(x.key, b.Mode); err != nil {
			return nil, err
		}
	}
	var out UpdateWebhookEndpoint200JSONResponse
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		if err := h.stillAt(ctx, tx, x, r.ID, r.Params.IfMatch); err != nil {
			return err
		}
		if b.Mode != nil {
			if _, err := h.endpoints.SetMode(ctx, tx, x.actor(), x.merchant.ID, r.ID, *b.Mode); err != nil {
				return err
			}
		}
		e, err := h.endpoints.Update(ctx, tx, x.actor(), x.merchant.ID, r.ID, set)
		if err != nil {
			return err
		}
		v, err := h.endpointView(ctx, tx, e)
		out = UpdateWebhookEndpoint200JSONResponse{endpointResponse(e, v)}
		return err
	})
	return out, err
}

// DeleteWebhookEndpoint ends an endpoint; what waits for it is canceled.
func (h *handlers) DeleteWebhookEndpoint(ctx context.Context,
	r DeleteWebhookEndpointRequestObject) (DeleteWebhookEndpointResponseObject, error) {
	x := callerOf(ctx)
	if _, err := h.ownEndpoint(ctx, r.ID); err != nil {
		return nil, err
	}
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		if err := h.stillAt(ctx, tx, x, r.ID, r.Params.IfMatch); err != nil {
			return err
		}
		return h.endpoints.Delete(ctx, tx, x.actor(), x.merchant.ID, r.ID)
	})
	return DeleteWebhookEndpoint204Response{}, err
}

// EnableWebhookEndpoint resumes an endpoint and what was held for it.
func (h *handlers) EnableWebhookEndpoint(ctx context.Context,
	r EnableWebhookEndpointRequestObject) (EnableWebhookEndpointResponseObject, error) {
	return h.change(ctx, r.ID, r.Params.IdempotencyKey,
		func(tx *store.Tx, x requestContext) (models.Endpoint, *webhook.Secret, error) {
			e, err := h.endpoints.Enable(ctx, tx, x.actor(), x.merchant.ID, r.ID)
			return e, nil, err
		})
}

// DisableWebhookEndpoint stops an endpoint; deliveries are held from now on.
func (h *handlers) DisableWebhookEndpoint(ctx context.Context,
	r DisableWebhookEndpointRequestObject) (DisableWebhookEndpointResponseObject, error) {
	reason := "disabled by the merchant"
	if r.Body != nil && r.Body.Reason != nil {
		reason = *r.Body.Reason
	}
	return h.change(ctx, r.ID, r.Params.IdempotencyKey,
		func(tx *store.Tx, x requestContext) (models.Endpoint, *webhook.Secret, error) {
			e, err := h.endpoints.Disable(ctx, tx, x.actor(), x.merchant.ID, r.ID, reason)
			return e, nil, err
		})
}

// RotateWebhookSecret gives an endpoint another secret, shown in this answer only.
func (h *handlers) RotateWebhookSecret(ctx context.Context,
	r RotateWebhookSecretRequestObject) (RotateWebhookSecretResponseObject, error) {
	var plan endpoints.Rotation
	if b := r.Body; b != nil {
		plan.Secret, plan.ActivateIn = b.Secret, time.Duration(deref(b.ActivateIn))*time.Second
		if b.OverlapSeconds != nil {
			overlap := time.Duration(*b.OverlapSeconds) * time.Second
			plan.Overlap = &overlap
		}
	}
	return h.change(ctx, r.ID, r.Params.IdempotencyKey,
		func(tx *store.Tx, x requestContext) (models.Endpoint, *webhook.Secret, error) {
			e, secret, err := h.endpoints.RotateSecret(ctx, tx, x.actor(), x.merchant.ID, r.ID, plan)
			return e, &secret, err
		})
}

// change is an action on one endpoint that answers with the endpoint.
func (h *handlers) change(ctx context.Context, id string, key *string,
	operation func(*store.Tx, requestContext) (models.Endpoint, *webhook.Secret, error)) (savedAnswer, error) {
	if _, err := h.ownEndpoint(ctx, id); err != nil {
		return savedAnswer{}, err
	}
	return h.once(ctx, key, func(tx *store.Tx) (savedAnswer, error) {
		e, secret, err := operation(tx, callerOf(ctx))
		if err != nil {
			return savedAnswer{}, err
		}
		return h.endpointAnswer(ctx, tx, http.StatusOK, e, secret)
	})
}

// ownEndpoint reads an endpoint of the caller; for a test key there are test endpoints alone.
func (h *handlers) ownEndpoint(ctx context.Context, id string) (models.Endpoint, error) {
	if !models.IsID(models.PrefixEndpoint, id) {
		return models.Endpoint{}, NotFound("webhook endpoint")
	}
	x := callerOf(ctx)
	e, err := h.store.Endpoint(ctx, x.merchant.ID, id)
	if err == nil && !x.key.Sees(e.Mode) {
		err = models.ErrNotFound
	}
	return e, h.orNotFound(err, "webhook endpoint")
}

// stillAt refuses a conditional request whose version is not the newest any more.
func (h *handlers) stillAt(ctx context.Context, tx *store.Tx, x requestContext, id string, ifMatch *string) error {
	if ifMatch == nil || strings.TrimSpace(*ifMatch) == "*" {
		return nil
	}
	e, err := tx.LockEndpoint(ctx, x.merchant.ID, id)
	if err != nil {
		return h.orNotFound(err, "webhook endpoint")
	}
	seen := strings.Split(*ifMatch, ",") // our own tags have no comma
	if !slices.ContainsFunc(seen, func(tag string) bool { return strings.TrimSpace(tag) == etag(e) }) {
		return NewProblem(CodeVersionMismatch, "The endpoint is at version "+etag(e)+" now. Read it again and decide anew.")
	}
	return nil
}

func (h *handlers) endpointAnswer(ctx context.Context, tx *store.Tx, status int, e models.Endpoint,
	secret *webhook.Secret) (savedAnswer, error) {
	v, err := h.endpointView(ctx, tx, e)
	if err != nil {
		return savedAnswer{}, err
	}
	if secret != nil {
		shown := secret.Reveal()
		v.Secret = &shown
	}
	a, err := answer(status, v)
	a.header = http.Header{"ETag": {etag(e)}}
	return a, err
}

func endpointResponse(e models.Endpoint, v WebhookEndpoint) WebhookEndpointJSONResponse {
	tag := etag(e)
	return WebhookEndpointJSONResponse{Body: v, Headers: WebhookEndpointResponseHeaders{ETag: &tag}}
}

// filterOf is a filter as a body names it; nil leaves it as it is.
func filterOf(given *EventFilter) **models.EndpointFilter {
	if given == nil {
		return nil
	}
	f := &models.EndpointFilter{Chains: deref(given.Chains), Assets: deref(given.Assets),
		Statuses: deref(given.Statuses), Metadata: deref(given.Metadata)}
	return &f
}

func patterns(given *[]EventPattern) []string {
	if given == nil {
		return nil
	}
	out := []string{}
	for _, p := range *given {
		out = append(out, string(p))
	}
	return out
}

// asGiven and millisOf turn a value that may be left out into a setting; intOr and millisOr one that may also be null.
func asGiven(v *int) **int {
	if v == nil {
		return nil
	}
	return &v
}

func millisOf(seconds *int) **int {
	if seconds == nil {
		return nil
	}
	ms := *seconds * 1000
	p := &ms
	return &p
}

func millisOfFraction(seconds *float64) **int {
	if seconds == nil {
		return nil
	}
	ms := int(math.Round(*seconds * 1000))
	p := &ms
	return &p
}

func intOr(o Optional[int]) **int {
	if !o.Set {
		return nil
	}
	return &o.Value
}

func millisOr(o Optional[int]) **int {
	if o.Set && o.Value != nil {
		return millisOf(o.Value)
	}
	return intOr(o)
}
