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
	f, q := paymentFilter(r, v)
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
		Filter: q.given("status", "order_id", "chain", "from", "until"), Export: exportLink(r),
		Choices: map[string][]string{"status": names(models.PaymentStatuses), "chain": s.chainNames(v)},
	})
}

// paymentFilter reads which payments are asked for.
func paymentFilter(r *http.Request, v *visitor) (store.PaymentFilter, *query) {
	q := queryOf(r)
	f := store.PaymentFilter{Status: q.oneOf("status", names(models.PaymentStatuses)), OrderID: q.text("order_id"),
		Chain: q.text("chain"), Test: v.Key.Test, Created: store.Range{After: q.day("from"), Before: q.day("until")}}
	if !f.Created.Before.IsZero() {
		f.Created.Before = f.Created.Before.AddDate(0, 0, 1) // the last day is in it
	}
	return f, q
}

// exportLink is where all rows of a list are, as CSV.
func exportLink(r *http.Request) string {
	all := r.URL.Query()
	all.Del("cursor")
	link := r.URL.Path + ".csv"
	if len(all) > 0 {
		link += "?" + all.Encode()
	}
	return link
}

// chainNames are the chains that the visitor may see payments of.
func (s *Site) chainNames(v *visitor) (chains []string) {
	for _, c := range s.opts.Chains {
		if !v.Key.Test || c.Test {
			chains = append(chains, c.Name)
		}
	}
	return chains
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
	Timeline      []happening
	Cancelable    bool
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
		Doubts: seen.Doubts, Cancelable: v.Cancel() && p.Status == models.PaymentPending && p.AmountReceived.Sign() == 0,
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
	if view.Timeline, err = s.timeline(r, v, view.Transfers, view.Events); err != nil {
		return err
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
