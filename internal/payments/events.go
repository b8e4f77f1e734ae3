package payments

import (
	"context"
	"math/big"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// View is a payment as merchants see it, in events and over REST alike. heads are the newest blocks by chain id, from
// which confirmations are counted.
func (s *Service) View(p models.Payment, transfers []models.Transfer, heads map[uint64]uint64) webhook.Payment {
	checkout := s.publicURL + "/pay/" + p.Token
	v := webhook.Payment{
		ID: p.ID, Sequence: p.Sequence, OrderID: p.OrderID, Status: string(p.Status), Partial: p.Partial,
		Overpaid: p.Overpaid, Late: p.Late, Chain: p.Chain, ChainID: p.ChainID,
		Asset:   assetView(asset{p.Asset, p.AssetSymbol, p.AssetDecimals}),
		Address: wallet.Checksum(p.Address), DerivationPath: p.DerivationPath,
		Amount: p.Amount.String(), AmountDecimal: p.Amount.Decimal(p.AssetDecimals),
		AmountReceived: p.AmountReceived.String(), AmountConfirmed: p.AmountConfirmed.String(),
		Confirmations: confirmations(transfers, heads), RequiredConfirmations: p.RequiredConfirmations,
		CreatedAt: webhook.At(p.CreatedAt), ExpiresAt: webhook.At(p.ExpiresAt), ConfirmedAt: webhook.AtPtr(p.ConfirmedAt),
		Metadata: p.Metadata, CheckoutURL: &checkout,
	}
	for _, t := range transfers {
		if t.Misdirected {
			continue // payment.misdirected shows it, with its own asset
		}
		v.Transfers = append(v.Transfers, transferView(t, heads))
	}
	v.TransfersTotal = len(v.Transfers)
	return v
}

// publish stores the event that an announcement calls for, and its deliveries.
func (s *Service) publish(ctx context.Context, tx *store.Tx, a Announcement, transfers []models.Transfer,
	heads map[uint64]uint64) error {
	e, err := s.event(a, transfers, heads)
	if err != nil {
		return err
	}
	_, err = outbox.Publish(ctx, tx, []models.Event{e}, s.maxAttempts)
	return err
}

// event is what an announcement says, as it will be stored and sent.
func (s *Service) event(a Announcement, transfers []models.Transfer, heads map[uint64]uint64) (models.Event, error) {
	e := events.Payment{Type: a.Type, MerchantID: a.Payment.MerchantID, Test: a.Payment.Test,
		View: s.View(a.Payment, transfers, heads), Retracts: a.Retracts}
	if len(a.Misdirected) > 0 {
		e.Misdirected = s.misdirectedView(a.Misdirected, a.New, heads)
	}
	return s.events.Payment(e, s.now())
}

// misdirectedView shows the newest of the misdirected transfers, of which some are new, and sums up all.
func (s *Service) misdirectedView(all []models.Transfer, fresh int, heads map[uint64]uint64) *webhook.Misdirected {
	newest := all[len(all)-1]
	m := webhook.Misdirected{ChainID: newest.ChainID, Transfer: transferView(newest, heads), TransfersNew: fresh,
		TransfersTotal: len(all), Totals: s.misdirectedTotals(all)}
	m.Chain, m.Asset = s.chainAndAsset(newest)
	return &m
}

// misdirectedTotals sums transfers up by chain and asset. The kinds that came last stand first.
func (s *Service) misdirectedTotals(all []models.Transfer) []webhook.MisdirectedTotal {
	type kind struct {
		chainID uint64
		asset   string
	}
	var order []models.Transfer // the newest of each kind
	sums, counts := make(map[kind]*big.Int), make(map[kind]int)
	for _, t := range slices.Backward(all) {
		k := kind{t.ChainID, t.Asset}
		if sums[k] == nil {
			sums[k] = new(big.Int)
			order = append(order, t)
		}
		sums[k].Add(sums[k], t.Amount.Big())
		counts[k]++
	}
	var totals []webhook.MisdirectedTotal
	for _, t := range order[:min(len(order), webhook.MaxTransfers)] {
		k := kind{t.ChainID, t.Asset}
		total := webhook.MisdirectedTotal{ChainID: t.ChainID, Amount: clamp(sums[k]).String(), Transfers: counts[k]}
		total.Chain, total.Asset = s.chainAndAsset(t)
		totals = append(totals, total)
	}
	return totals
}

// chainAndAsset name where a transfer was made and what it moved.
func (s *Service) chainAndAsset(t models.Transfer) (chain string, a webhook.Asset) {
	a = assetView(asset{id: t.Asset, symbol: "unknown"})
	for _, c := range s.chains {
		if c.ChainID != t.ChainID {
			continue
		}
		chain = c.Name
		if found, problem := resolve(c, t.Asset); problem == "" {
			a = assetView(found)
		}
	}
	return chain, a
}

func assetView(a asset) webhook.Asset {
	v := webhook.Asset{Symbol: a.symbol, Decimals: a.decimals}
	if a.id != models.AssetNative {
		contract := wallet.Checksum(a.id)
		v.Contract = &contract
	}
	return v
}

func transferView(t models.Transfer, heads map[uint64]uint64) webhook.Transfer {
	v := webhook.Transfer{
		LogIndex: t.LogIndex, Amount: t.Amount.String(), BlockNumber: t.BlockNumber, BlockHash: t.BlockHash,
		BlockTimestamp: webhook.At(t.BlockTime), Confirmations: depth(t, heads), Status: string(t.Status), Source: t.Source,
	}
	if t.TxHash != "" {
		from := wallet.Checksum(t.Sender)
		v.TxHash, v.From = &t.TxHash, &from
	}
	return v
}
