package api

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// GetMerchant shows the merchant of the key.
func (h *handlers) GetMerchant(ctx context.Context, _ GetMerchantRequestObject) (GetMerchantResponseObject, error) {
	v, err := h.merchantView(ctx, callerOf(ctx).merchant)
	return GetMerchant200JSONResponse(v), err
}

// UpdateMerchant changes what payers see of the merchant, which is not a test key's to change.
func (h *handlers) UpdateMerchant(ctx context.Context,
	r UpdateMerchantRequestObject) (UpdateMerchantResponseObject, error) {
	x, b := callerOf(ctx), r.Body
	if x.key.Test {
		return nil, NewProblem(CodeInsufficientScope, "A test key changes nothing that payers of real money see.")
	}
	change := access.Profile{Name: b.Name, SupportURL: textOr(b.SupportURL), SupportEmail: textOr(b.SupportEmail),
		Logo: textOr(b.Logo)}
	if b.Languages.Set {
		change.Languages = new([]string)
		for _, l := range deref(b.Languages.Value) {
			*change.Languages = append(*change.Languages, string(l))
		}
	}
	var m models.Merchant
	err := h.store.InTx(ctx, func(tx *store.Tx) (err error) {
		m, err = h.access.ChangeProfile(ctx, tx, x.actor(), x.merchant.ID, change)
		return err
	})
	if err != nil {
		return nil, err
	}
	v, err := h.merchantView(ctx, m)
	return UpdateMerchant200JSONResponse(v), err
}

// textOr is a text that a body may leave out, or take away with null.
func textOr(o Optional[string]) **string {
	if !o.Set {
		return nil
	}
	return &o.Value
}

func (h *handlers) merchantView(ctx context.Context, m models.Merchant) (Merchant, error) {
	view := Merchant{
		ID: m.ID, Name: m.Name, SupportURL: m.SupportURL, SupportEmail: m.SupportEmail, LogoURL: h.access.LogoURL(m),
		AcceptLate: m.AcceptLate, Paused: m.SuspendedAt != nil, CreatedAt: webhook.At(m.CreatedAt),
		Limits: Limits{
			RequestsPerSecond: orDefault(m.RatePerSecond, int(h.limits.Rate)),
			WebhookEndpoints:  orDefault(m.MaxEndpoints, h.limits.MaxEndpoints), APIKeys: orDefault(m.MaxKeys, h.limits.MaxKeys),
			OpenPayments: orDefault(m.MaxOpenPayments, h.limits.MaxOpenPayments),
		},
	}
	if len(m.Languages) > 0 {
		view.Languages = new([]Language)
		for _, l := range m.Languages {
			*view.Languages = append(*view.Languages, Language(l))
		}
	}
	if m.AccountKeyID != nil {
		k, err := h.store.AccountKey(ctx, *m.AccountKeyID)
		if err != nil {
			return view, err
		}
		account, err := wallet.Parse(k.XPub)
		if err != nil {
			return view, err
		}
		first, err := account.Address(k.Branch, 0)
		if err != nil {
			return view, err
		}
		view.AccountKey = &AccountKey{Fingerprint: k.ID, Branch: int64(k.Branch), NextIndex: int64(k.NextIndex),
			FirstAddress: first}
	}
	return view, nil
}

// ListAssets shows what a payment may ask for; a test key sees only test chains.
func (h *handlers) ListAssets(ctx context.Context, _ ListAssetsRequestObject) (ListAssetsResponseObject, error) {
	x := callerOf(ctx)
	list := ListAssets200JSONResponse{Data: []Asset{}}
	for _, c := range h.chains {
		if c.Retired || x.key.Test && !c.Test {
			continue
		}
		list.Data = append(list.Data, Asset{Chain: c.Name, ChainID: c.ChainID, Symbol: c.Native.Symbol,
			Decimals: int(c.Native.Decimals), Test: c.Test})
		for _, t := range c.Tokens {
			if t.Retired {
				continue
			}
			contract := wallet.Checksum(t.Contract)
			list.Data = append(list.Data, Asset{Chain: c.Name, ChainID: c.ChainID, Symbol: t.Symbol, Contract: &contract,
				Decimals: int(t.Decimals), Test: c.Test})
		}
	}
	return list, nil
}

func orDefault(own *int, fallback int) int {
	if own != nil {
		return *own
	}
	return fallback
}
