package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ListAPIKeys shows a page of the merchant's keys, newest first, ended ones included.
func (h *handlers) ListAPIKeys(ctx context.Context, r ListAPIKeysRequestObject) (ListAPIKeysResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	x := callerOf(ctx)
	rows, err := h.store.ListAPIKeys(ctx, x.merchant.ID, x.key.Test, page)
	if err != nil {
		return nil, err
	}
	list := ListAPIKeys200JSONResponse{Data: []APIKey{}}
	for _, k := range rows {
		list.Data = append(list.Data, keyView(k))
	}
	if n := len(rows); n > 0 {
		list.NextCursor = nextCursor(n, page.Limit, rows[n-1].CreatedAt, rows[n-1].ID)
	}
	return list, nil
}

// CreateAPIKey makes a key with scopes that the asking key has; the key itself is in this answer only.
func (h *handlers) CreateAPIKey(ctx context.Context, r CreateAPIKeyRequestObject) (CreateAPIKeyResponseObject, error) {
	x := callerOf(ctx)
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		k, secret, err := h.access.CreateKey(ctx, tx, x.actor(), access.KeyRequest{
			MerchantID: x.merchant.ID, Name: r.Body.Name, Scopes: r.Body.Scopes,
			Test:      deref(r.Body.Test) || x.key.Test && r.Body.Test == nil,
			ExpiresAt: r.Body.ExpiresAt, Granter: &x.key,
		})
		if err != nil {
			return savedAnswer{}, err
		}
		v := keyView(k)
		v.Key = &secret
		return answer(http.StatusCreated, v)
	})
}

// RevokeAPIKey ends a key, and with with_children those that it made, at once here and within access.CacheFor in other
// processes.
func (h *handlers) RevokeAPIKey(ctx context.Context, r RevokeAPIKeyRequestObject) (RevokeAPIKeyResponseObject, error) {
	x := callerOf(ctx)
	if !models.IsID(models.PrefixAPIKey, r.ID) {
		return nil, NotFound("API key")
	}
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		return h.access.RevokeKey(ctx, tx, x.actor(), access.Revocation{
			ID: r.ID, Asker: &x.key, WithChildren: deref(r.Params.WithChildren)})
	})
	if errors.Is(err, access.ErrWiderKey) {
		return nil, NewProblem(CodeInsufficientScope, "This key has scopes that yours does not have.").Because(err)
	}
	return RevokeAPIKey204Response{}, h.orNotFound(err, "API key")
}
