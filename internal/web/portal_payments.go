package web

import (
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// listPayments shows the merchant's payments, newest first.
func (s *Site) listPayments(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := queryOf(r)
	f := store.PaymentFilter{Status: q.oneOf("status", names(models.PaymentStatuses)), OrderID: q.text("order_id"),
		Test: v.Key.Test}
	page := q.page()
	if q.err != nil {
		return q.err
	}
	rows, err := s.opts.Store.ListPayments(r.Context(), v.Merchant.ID, f, page)
	if err != nil {
		return err
	}
	rows, older := cut(rows, r, func(p models.Payment) (time.Time, string) { return p.CreatedAt, p.ID })
	return s.show(w, r, v, "payments", "Payments", "payments", list{
		Rows: rows, Empty: len(rows) == 0, Older: older, Further: page.Before != nil,
		Filter:  map[string]string{"status": f.Status, "order_id": f.OrderID},
		Choices: map[string][]string{"status": names(models.PaymentStatuses)},
	})
}

type paymentView struct {
	models.Payment
	Chain         string
	EIP55         string
	AddressURL    string
	Contract      string
	Checkout      string // path
	Confirmations uint64
	Transfers     []paymentTransfer
	Doubts        []webhook.Doubt
	Events        []store.Announced
}

type paymentTransfer struct {
	models.Transfer
	Amount string
	URL    string
	From   string // EIP-55, whole: a refund may go there
}

// showPayment shows one payment, its transfers and what was announced of it.
func (s *Site) showPayment(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx := r.Context()
	p, err := s.payment(r, v, r.PathValue("id"))
	if err != nil {
		return err
	}
	transfers, err := s.opts.Store.TransfersOf(ctx, []string{p.ID})
	if err != nil {
		return err
	}
	doubts, err := s.opts.Store.OpenDoubts(ctx, []string{p.ID})
	if err != nil {
		return err
	}
	heads, err := s.opts.Store.Heads(ctx)
	if err != nil {
		return err
	}
	events, err := s.opts.Store.AnnouncedFor(ctx, []string{p.ID})
	if err != nil {
		return err
	}
	chain := s.chains[p.ChainID]
	seen := s.opts.Payments.View(p, payments.State{Transfers: transfers[p.ID], Doubts: doubts[p.ID],
		Heads: heads})
	view := paymentView{
		Payment: p, Chain: title(p.Chain), EIP55: seen.Address, AddressURL: explorer(chain, "address", seen.Address),
		Checkout: "/pay/" + p.Token, Confirmations: seen.Confirmations, Events: events[p.ID],
		Doubts: seen.Doubts,
	}
	if p.Asset != models.AssetNative {
		view.Contract = wallet.Checksum(p.Asset)
	}
	for _, t := range transfers[p.ID] {
		row := paymentTransfer{Transfer: t, Amount: t.Amount.Decimal(p.AssetDecimals) + " " + p.AssetSymbol,
			From: wallet.Checksum(t.Sender)}
		if t.Misdirected {
			row.Amount = t.Amount.String() + " base units of " + t.Asset
		}
		if t.TxHash != "" {
			row.URL = explorer(s.chains[t.ChainID], "tx", t.TxHash)
		}
		view.Transfers = append(view.Transfers, row)
	}
	return s.show(w, r, v, "payment", "Payment "+p.ID, "payments", view)
}

// payment reads a payment that the visitor may see: the merchant's own, and for a test key one on a test chain.
func (s *Site) payment(r *http.Request, v *visitor, id string) (models.Payment, error) {
	p, err := s.opts.Store.Payment(r.Context(), v.Merchant.ID, id)
	if err == nil && v.Key.Test && !p.Test {
		err = models.ErrNotFound
	}
	return p, err
}
