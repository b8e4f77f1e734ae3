package api

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// GetMerchant shows the merchant of the key.
func (h *handlers) GetMerchant(ctx context.Context, _ GetMerchantRequestObject) (GetMerchantResponseObject, error) {
	m := callerOf(ctx).merchant
	view := GetMerchant200JSONResponse{
		ID: m.ID, Name: m.Name, AcceptLate: m.AcceptLate, Paused: m.SuspendedAt != nil, CreatedAt: webhook.At(m.CreatedAt),
		Limits: Limits{
			RequestsPerSecond: orDefault(m.RatePerSecond, int(h.limits.Rate)),
			WebhookEndpoints:  orDefault(m.MaxEndpoints, h.limits.MaxEndpoints), APIKeys: orDefault(m.MaxKeys, h.limits.MaxKeys),
			OpenPayments: orDefault(m.MaxOpenPayments, h.limits.MaxOpenPayments),
		},
	}
	if m.AccountKeyID != nil {
		k, err := h.store.AccountKey(ctx, *m.AccountKeyID)
		if err != nil {
			return nil, err
		}
		account, err := wallet.Parse(k.XPub)
		if err != nil {
			return nil, err
		}
		first, err := account.Address(k.Branch, 0)
		if err != nil {
			return nil, err
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
