package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// PortalLink is a link that opens the portal of a merchant once. URL is shown this once.
type PortalLink struct {
	ID         string         `json:"id"`
	MerchantID string         `json:"merchant_id"`
	URL        string         `json:"url"`
	Scopes     []models.Scope `json:"scopes"`
	Test       bool           `json:"test"`
	ExpiresAt  time.Time      `json:"expires_at"`
}

// PortalLinkRequest asks for a link. No scopes are those that only look; ExpiresIn 0 is five minutes.
type PortalLinkRequest struct {
	MerchantID string
	Scopes     []models.Scope
	Test       bool
	ExpiresIn  time.Duration
}

// CreatePortalLink makes a link into the portal of a merchant.
func (a *Admin) CreatePortalLink(ctx context.Context, r PortalLinkRequest) (PortalLink, error) {
	if len(r.Scopes) == 0 {
		r.Scopes = []models.Scope{models.ScopePaymentsRead, models.ScopeWebhooksRead}
	}
	var made PortalLink
	err := a.store.InTx(ctx, func(tx *store.Tx) error {
		l, url, err := a.access.CreateLink(ctx, tx, a.actor, access.LinkRequest{MerchantID: r.MerchantID, Scopes: r.Scopes,
			Test: r.Test, ExpiresIn: r.ExpiresIn})
		made = PortalLink{ID: l.ID, MerchantID: l.MerchantID, URL: url, Scopes: l.Scopes, Test: l.Test,
			ExpiresAt: l.ExpiresAt}
		return err
	})
	if err != nil {
		return PortalLink{}, notFound(err, "merchant", r.MerchantID)
	}
	return made, nil
}
