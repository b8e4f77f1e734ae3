package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// CreatePortalLink makes a link that opens the portal once; its URL is in this answer only.
func (h *handlers) CreatePortalLink(ctx context.Context,
	r CreatePortalLinkRequestObject) (CreatePortalLinkResponseObject, error) {
	x := callerOf(ctx)
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		link, url, err := h.access.CreateLink(ctx, tx, x.actor(), access.LinkRequest{
			MerchantID: x.merchant.ID, Scopes: r.Body.Scopes, Test: deref(r.Body.Test) || x.key.Test && r.Body.Test == nil,
			ExpiresIn: time.Duration(deref(r.Body.ExpiresIn)) * time.Second, Granter: &x.key,
		})
		if errors.Is(err, access.ErrWiderKey) {
			return savedAnswer{}, NewProblem(CodeInsufficientScope,
				"A link has no scope that the key which asks does not have itself.").Because(err)
		}
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusCreated, PortalLink{ID: link.ID, URL: &url, Scopes: link.Scopes, Test: link.Test,
			ExpiresAt: webhook.At(link.ExpiresAt)})
	})
}
