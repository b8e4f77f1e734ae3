package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Scopes of the operator's routes. They belong to tokens of the deployment, never to an API key.
const (
	operatorRead    = "operator:read"
	operatorOperate = "operator:operate"
)

// operatorScopes are what a role of the deployment's tokens may do.
var operatorScopes = map[access.OperatorRole][]string{
	access.OperatorReads:    {operatorRead},
	access.OperatorOperates: {operatorRead, operatorOperate},
}

// forOperator reports whether an operation is one of the operator's.
func forOperator(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return strings.HasPrefix(s, "operator:") })
}

// authenticateOperator stands before the operator's routes: a token of the deployment that may do it.
func (h *handlers) authenticateOperator(needed []string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token, _ := bearer(c.Request().Header)
			has := operatorScopes[h.operators.Role(token)]
			if has == nil {
				h.metrics.AuthFailure()
				return NewProblem(CodeUnauthorized, "Send the operator token as `Authorization: Bearer …`.")
			}
			for _, s := range needed {
				if !slices.Contains(has, s) {
					return NewProblem(CodeInsufficientScope, "This token may only look.")
				}
			}
			r := c.Request()
			x := requestContext{ip: c.RealIP(), method: r.Method, path: r.URL.Path}
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestContextKey{}, x)))
			return next(c)
		}
	}
}

// operatorOf is the operator, for the audit log.
func operatorOf(ctx context.Context) models.Actor {
	return models.Actor{Name: "operator", IP: callerOf(ctx).ip}
}

// ListPauses shows everything to which nothing is sent by order of an operator.
func (h *handlers) ListPauses(ctx context.Context, _ ListPausesRequestObject) (ListPausesResponseObject, error) {
	v, err := h.pauses(ctx, &h.store.Queries)
	return ListPauses200JSONResponse(v), err
}

// PauseAll turns the incident switch for everybody.
func (h *handlers) PauseAll(ctx context.Context, r PauseAllRequestObject) (PauseAllResponseObject, error) {
	return h.setPaused(ctx, "", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		return h.endpoints.PauseDeliveries(ctx, tx, operatorOf(ctx), "", r.Body.Reason)
	})
}

// ResumeAll turns it back.
func (h *handlers) ResumeAll(ctx context.Context, r ResumeAllRequestObject) (ResumeAllResponseObject, error) {
	return h.setPaused(ctx, "", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		return h.endpoints.ResumeDeliveries(ctx, tx, operatorOf(ctx), "")
	})
}

// PauseMerchant turns the incident switch for one merchant.
func (h *handlers) PauseMerchant(ctx context.Context,
	r PauseMerchantRequestObject) (PauseMerchantResponseObject, error) {
	return h.setPaused(ctx, "merchant", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		return h.endpoints.PauseDeliveries(ctx, tx, operatorOf(ctx), r.ID, r.Body.Reason)
	})
}

// ResumeMerchant turns it back.
func (h *handlers) ResumeMerchant(ctx context.Context,
	r ResumeMerchantRequestObject) (ResumeMerchantResponseObject, error) {
	return h.setPaused(ctx, "merchant", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		return h.endpoints.ResumeDeliveries(ctx, tx, operatorOf(ctx), r.ID)
	})
}

// PauseEndpoint holds the deliveries of one endpoint until the operator resumes it.
func (h *handlers) PauseEndpoint(ctx context.Context,
	r PauseEndpointRequestObject) (PauseEndpointResponseObject, error) {
	return h.setPaused(ctx, "webhook endpoint", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		merchantID, err := tx.MerchantOfEndpoint(ctx, r.ID)
		if err == nil {
			_, err = h.endpoints.Pause(ctx, tx, operatorOf(ctx), merchantID, r.ID, r.Body.Reason)
		}
		return err
	})
}

// ResumeEndpoint lets it have its deliveries again.
func (h *handlers) ResumeEndpoint(ctx context.Context,
	r ResumeEndpointRequestObject) (ResumeEndpointResponseObject, error) {
	return h.setPaused(ctx, "webhook endpoint", r.Params.IdempotencyKey, func(tx *store.Tx) error {
		merchantID, err := tx.MerchantOfEndpoint(ctx, r.ID)
		if err == nil {
			_, err = h.endpoints.Resume(ctx, tx, operatorOf(ctx), merchantID, r.ID)
		}
		return err
	})
}

// setPaused changes what is paused and shows what is paused afterwards.
func (h *handlers) setPaused(ctx context.Context, what string, key *string,
	operation func(*store.Tx) error) (savedAnswer, error) {
	return h.once(ctx, key, func(tx *store.Tx) (savedAnswer, error) {
		if err := operation(tx); err != nil {
			return savedAnswer{}, noSuch(what, err)
		}
		v, err := h.pauses(ctx, &tx.Queries)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusOK, v)
	})
}

// noSuch tells the operator that there is no such thing at all.
func noSuch(what string, err error) error {
	if errors.Is(err, models.ErrNotFound) {
		return NewProblem(CodeNotFound, "There is no "+what+" with this id.").Because(err)
	}
	return err
}

func (h *handlers) pauses(ctx context.Context, q *store.Queries) (Pauses, error) {
	v := Pauses{Merchants: []PausedMerchant{}, WebhookEndpoints: []PausedEndpoint{}}
	p, err := q.Pauses(ctx)
	if err != nil {
		return v, err
	}
	if p.All != nil {
		v.All = &PausedAll{Since: webhook.At(*p.All), Reason: p.Reason}
	}
	merchants, err := q.Merchants(ctx)
	if err != nil {
		return v, err
	}
	for _, m := range merchants {
		if m.DeliveriesPausedAt != nil {
			v.Merchants = append(v.Merchants, PausedMerchant{ID: m.ID, Since: webhook.At(*m.DeliveriesPausedAt)})
		}
	}
	endpoints, err := q.PausedEndpoints(ctx)
	for _, e := range endpoints {
		v.WebhookEndpoints = append(v.WebhookEndpoints,
			PausedEndpoint{ID: e.ID, MerchantID: e.MerchantID, Reason: e.DisabledReason})
	}
	return v, err
}

// ListMerchants shows every merchant, newest first.
func (h *handlers) ListMerchants(ctx context.Context,
	_ ListMerchantsRequestObject) (ListMerchantsResponseObject, error) {
	rows, err := h.store.Merchants(ctx)
	list := ListMerchants200JSONResponse{Data: []OperatedMerchant{}}
	for _, m := range rows {
		list.Data = append(list.Data, operatedView(m))
	}
	return list, err
}

// AdminGetMerchant shows one.
func (h *handlers) AdminGetMerchant(ctx context.Context,
	r AdminGetMerchantRequestObject) (AdminGetMerchantResponseObject, error) {
	m, err := h.store.Merchant(ctx, r.ID)
	return AdminGetMerchant200JSONResponse(operatedView(m)), noSuch("merchant", err)
}

// AdminUpdateMerchant changes what the body names.
func (h *handlers) AdminUpdateMerchant(ctx context.Context,
	r AdminUpdateMerchantRequestObject) (AdminUpdateMerchantResponseObject, error) {
	change := access.MerchantChange{Name: r.Body.Name, AcceptLate: r.Body.AcceptLate}
	if l := r.Body.Limits; l != nil {
		change.RatePerSecond, change.MaxEndpoints = intOr(l.RequestsPerSecond), intOr(l.WebhookEndpoints)
		change.MaxKeys, change.MaxOpenPayments = intOr(l.APIKeys), intOr(l.OpenPayments)
	}
	var m models.Merchant
	err := h.store.InTx(ctx, func(tx *store.Tx) (err error) {
		m, err = h.access.ChangeMerchant(ctx, tx, operatorOf(ctx), r.ID, change)
		return err
	})
	return AdminUpdateMerchant200JSONResponse(operatedView(m)), noSuch("merchant", err)
}

func operatedView(m models.Merchant) OperatedMerchant {
	return OperatedMerchant{
		ID: m.ID, Name: m.Name, AcceptLate: m.AcceptLate, PausedAt: webhook.AtPtr(m.SuspendedAt),
		DeliveriesPausedAt: webhook.AtPtr(m.DeliveriesPausedAt),
		Limits: OwnLimits{RequestsPerSecond: m.RatePerSecond, WebhookEndpoints: m.MaxEndpoints, APIKeys: m.MaxKeys,
			OpenPayments: m.MaxOpenPayments},
		CreatedAt: webhook.At(m.CreatedAt),
	}
}

// ListAudit shows lines of the audit log, oldest first.
func (h *handlers) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	page, err := pageOf(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	from := int64(1)
	if r.Params.From != nil {
		from = *r.Params.From
	}
	lines, err := h.store.AuditLog(ctx, from, page.Limit+1)
	if err != nil {
		return nil, err
	}
	v := ListAudit200JSONResponse{Data: []AuditLine{}}
	if len(lines) > page.Limit {
		v.NextFrom = &lines[page.Limit].Seq
		lines = lines[:page.Limit]
	}
	for _, e := range lines {
		v.Data = append(v.Data, AuditLine{
			Seq: e.Seq, At: webhook.At(e.At), Actor: e.Actor, Action: e.Action, Subject: e.Subject, MerchantID: e.Merchant,
			Detail: orEmptyMap(e.Detail), IP: e.IP, Hash: e.Hash,
		})
	}
	return v, nil
}
