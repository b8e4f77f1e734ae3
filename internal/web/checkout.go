package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// noPayment is what an unknown link gets.
var noPayment = &problem{http.StatusNotFound, "No such payment", "This payment link is not known here. Perhaps it " +
	"was cut short when it was copied; the shop can give you a new one."}

// status is what the page asks for every two seconds. Amounts are base units, and whole units for people.
type status struct {
	Status                string       `json:"status"`
	Phase                 string       `json:"phase"` // status, but a pending payment is partial, overdue or renewed
	Partial               bool         `json:"partial"`
	Overpaid              bool         `json:"overpaid"`
	Late                  bool         `json:"late"`
	Symbol                string       `json:"symbol"`
	Amount                string       `json:"amount"`
	AmountDecimal         string       `json:"amount_decimal"`
	AmountReceived        string       `json:"amount_received"`
	AmountReceivedDecimal string       `json:"amount_received_decimal"`
	AmountConfirmed       string       `json:"amount_confirmed"`
	Remaining             string       `json:"remaining"`
	RemainingDecimal      string       `json:"remaining_decimal"`
	Confirmations         uint64       `json:"confirmations"`
	RequiredConfirmations uint64       `json:"required_confirmations"`
	ExpiresAt             webhook.Time `json:"expires_at"`
	ServerTime            webhook.Time `json:"server_time"`
	Version               string       `json:"version"` // differs when the page does
}

// checkout shows a payment to its payer.
func (s *Site) checkout(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bill(r)
	if err != nil {
		return err
	}
	m, err := s.opts.Store.Merchant(r.Context(), b.payment.MerchantID)
	if err != nil {
		return err
	}
	view, err := b.view(m.Name, s.chains[b.payment.ChainID], s.tongueOf(r))
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept-Language")
	return s.pages.write(w, http.StatusOK, "checkout", view)
}

// checkoutStatus is the same payment for the script of the page.
func (s *Site) checkoutStatus(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bill(r)
	if err != nil {
		return err
	}
	p, places := b.payment, b.payment.AssetDecimals
	writeJSON(w, http.StatusOK, status{
		Status: string(p.Status), Phase: b.phase, Partial: p.Partial, Overpaid: p.Overpaid, Late: p.Late,
		Symbol: p.AssetSymbol, Amount: p.Amount.String(), AmountDecimal: p.Amount.Decimal(places),
		AmountReceived: p.AmountReceived.String(), AmountReceivedDecimal: p.AmountReceived.Decimal(places),
		AmountConfirmed: p.AmountConfirmed.String(), Remaining: b.missing().String(),
		RemainingDecimal: b.missing().Decimal(places), Confirmations: b.seen.Confirmations,
		RequiredConfirmations: b.seen.RequiredConfirmations, ExpiresAt: b.seen.ExpiresAt, ServerTime: webhook.At(b.now),
		Version: b.version(),
	})
	return nil
}

// bill is a payment as it stands at a moment.
type bill struct {
	payment   models.Payment
	transfers []models.Transfer
	seen      webhook.Payment // as the API shows it
	phase     string
	now       time.Time
}

// bill reads the payment that the link of a request opens.
func (s *Site) bill(r *http.Request) (bill, error) {
	ctx, b := r.Context(), bill{now: s.now()}
	var err error
	if b.payment, err = s.opts.Store.PaymentByToken(ctx, r.PathValue("token")); errors.Is(err, models.ErrNotFound) {
		return b, noPayment
	} else if err != nil {
		return b, err
	}
	transfers, err := s.opts.Store.TransfersOf(ctx, []string{b.payment.ID})
	if err != nil {
		return b, err
	}
	doubts, err := s.opts.Store.OpenDoubts(ctx, []string{b.payment.ID})
	if err != nil {
		return b, err
	}
	heads, err := s.opts.Store.Heads(ctx)
	if err != nil {
		return b, err
	}
	b.transfers = transfers[b.payment.ID]
	b.seen = s.opts.Payments.View(b.payment, payments.State{Transfers: b.transfers,
		Doubts: doubts[b.payment.ID], Heads: heads})
	b.phase = phaseOf(b.payment, b.now)
	return b, nil
}
