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

// State is what stands beside the row of a payment.
type State struct {
	Transfers []models.Transfer
	Doubts    []models.Doubt    // the open ones
	Heads     map[uint64]uint64 // the newest blocks by chain id, from which confirmations are counted
}

// View is a payment as merchants see it, in events and over REST alike.
func (s *Service) View(p models.Payment, now State) webhook.Payment {
	checkout := s.publicURL + "/pay/" + p.Token
	v := webhook.Payment{
		ID: p.ID, Sequence: p.Sequence, OrderID: p.OrderID, OrderCurrent: p.OrderCurrent(),
		Replaces: p.Replaces, ReplacedBy: p.ReplacedBy, Status: string(p.Status), Partial: p.Partial,
		Overpaid: p.Overpaid, Late: p.Late, Chain: p.Chain, ChainID: p.ChainID,
		Asset:   assetView(asset{id: p.Asset, symbol: p.AssetSymbol, decimals: p.AssetDecimals}),
		Address: wallet.Checksum(p.Address), DerivationPath: p.DerivationPath,
		Amount: p.Amount.String(), AmountDecimal: p.Amount.Decimal(p.AssetDecimals),
		AmountReceived: p.AmountReceived.String(), AmountConfirmed: p.AmountConfirmed.String(),
		AmountReceivedDecimal: p.AmountReceived.Decimal(p.AssetDecimals), Test: p.Test, PaymentURI: uriOf(p),
		UpdatedAt:     webhook.At(p.UpdatedAt),
		Confirmations: confirmations(now.Transfers, now.Heads), RequiredConfirmations: p.RequiredConfirmations,
		CreatedAt: webhook.At(p.CreatedAt), ExpiresAt: webhook.At(p.ExpiresAt), ConfirmedAt: webhook.AtPtr(p.ConfirmedAt),
		Metadata: p.Metadata, CheckoutURL: &checkout,
	}
	if p.RedirectURL != "" {
		v.RedirectURL = &p.RedirectURL
	}
	for _, t := range now.Transfers {
		if t.Misdirected {
			continue // payment.misdirected shows it, with its own asset
		}
		v.Transfers = append(v.Transfers, transferView(t, now.Heads))
	}
	for _, d := range now.Doubts {
		v.Doubts = append(v.Doubts, s.doubtView(d))
	}
	v.TransfersTotal = len(v.Transfers)
	return v
}

// publish stores the event that an announcement calls for, and its deliveries.
func (s *Service) publish(ctx context.Context, tx *store.Tx, a Announcement, now State) error {
	e, err := s.event(a, now)
	if err != nil {
		return err
	}
	_, err = outbox.Publish(ctx, tx, []models.Event{e}, s.maxAttempts)
	return err
}

// event is what an announcement says, as it will be stored and sent.
func (s *Service) event(a Announcement, now State) (models.Event, error) {
	e := events.Payment{Type: a.Type, MerchantID: a.Payment.MerchantID, Test: a.Payment.Test,
		View: s.View(a.Payment, now), Retracts: a.Retracts}
	if len(a.Misdirected) > 0 {
		e.Misdirected = s.misdirectedView(a.Misdirected, a.New, now.Heads)
	}
	return s.events.Payment(e, s.now())
}

// misdirectedView shows the newest of the misdirected transfers, of which some are new, and sums up all.
func (s *Service) misdirectedView(all []models.Transfer, fresh int, heads map[uint64]uint64) *webhook.Misdirected {
	newest := all[len(all)-1]
	m := webhook.Misdirected{ChainID: newest.ChainID, Transfer: transferView(newest, heads), TransfersNew: fresh,
		TransfersTotal: len(all), Totals: s.misdirectedTotals(all)}
	m.Chain, m.Asset = s.chainAndAsset(newest.ChainID, newest.Asset)
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
		total.Chain, total.Asset = s.chainAndAsset(t.ChainID, t.Asset)
		totals = append(totals, total)
	}
	return totals
}

// chainAndAsset name where a transfer was made and what it moved.
func (s *Service) chainAndAsset(chainID uint64, id string) (chain string, a webhook.Asset) {
	a = assetView(asset{id: id, symbol: "unknown"})
	for _, c := range s.chains {
		if c.ChainID != chainID {
			continue
		}
		chain = c.Name
		if found, problem := resolve(c, id); problem == "" {
			a = assetView(found)
		}
	}
	return chain, a
}

func (s *Service) doubtView(d models.Doubt) webhook.Doubt {
	v := webhook.Doubt{ID: d.ID, Kind: d.Kind, ChainID: d.ChainID, Amount: d.Amount.String(), BlockNumber: d.BlockNumber,
		BlockHash: d.BlockHash, CreatedAt: webhook.At(d.CreatedAt)}
	v.Chain, v.Asset = s.chainAndAsset(d.ChainID, d.Asset)
	if v.Chain == "" {
		v.Chain = d.Chain
	}
	if d.TxHash != "" {
		v.TxHash = &d.TxHash
	}
	return v
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
