package web

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Phases that a payer can tell apart while the payment is pending; otherwise the phase is the status.
const (
	phasePartial = "partial"
	phaseOverdue = "overdue" // the time is over, and the chain has not said so yet
	phaseRenewed = "renewed" // another payment has taken the order over
)

// phaseOf is what the payer has to be told. A payment expires by block time only, but who pays after the time has
// passed by the clock pays late, so the address is no longer offered then.
func phaseOf(p models.Payment, now time.Time) string {
	switch {
	case p.Status != models.PaymentPending:
		return string(p.Status)
	case p.ReplacedBy != nil:
		return phaseRenewed
	case !now.Before(p.ExpiresAt):
		return phaseOverdue
	case p.Partial:
		return phasePartial
	}
	return string(p.Status)
}

// checkoutView is everything that the page shows. It holds nothing of the merchant but the name and the order id.
type checkoutView struct {
	tongue
	Phase, Title, Lead, Icon string
	Notes                    []string
	Merchant, OrderID        string
	Amount, Symbol           string
	Chain                    string
	ChainID                  uint64
	Test                     bool

	Pay           bool // the payer may send now
	ToSend        string
	Received      string
	Address       string
	AddressURL    string
	Contract      string // of a token
	ContractURL   string
	Ways          []way
	Call          call   // what a wallet in the browser sends
	Tag           string // by which the chain itself says what is final; "" where depth decides
	Progress      bool
	Confirmations uint64
	Required      uint64
	Transfers     []transferRow
	Redirect      string

	Open      bool // more is to come, so the page reloads itself
	ExpiresAt time.Time
	Now       time.Time
	Version   string
}

type transferRow struct {
	Amount, Hash, URL, State string
}

// missing is what has not arrived yet.
func (b bill) missing() models.Amount {
	left := b.payment.Amount.Big()
	left.Sub(left, b.payment.AmountReceived.Big())
	m, err := models.AmountFromBig(left)
	if err != nil {
		return models.Amount{} // more arrived than was asked
	}
	return m
}

// excess is what arrived beyond the amount.
func (b bill) excess() models.Amount {
	over := b.payment.AmountReceived.Big()
	over.Sub(over, b.payment.Amount.Big())
	e, err := models.AmountFromBig(over)
	if err != nil {
		return models.Amount{}
	}
	return e
}

// version changes whenever the page would look different.
func (b bill) version() string {
	p := b.payment
	return fmt.Sprintf("%s.%d.%s.%d.%d.%d.%t%t%t", b.phase, p.Sequence, p.AmountReceived, b.seen.Confirmations,
		len(b.transfers), len(b.seen.Doubts), p.Partial, p.Overpaid, p.Late)
}

func (b bill) view(merchant string, c config.Chain, speaks tongue) (checkoutView, error) {
	p, places := b.payment, b.payment.AssetDecimals
	v := checkoutView{
		tongue: speaks,
		Phase:  b.phase, Merchant: merchant, Amount: p.Amount.Decimal(places), Symbol: p.AssetSymbol, Chain: title(p.Chain),
		ChainID: p.ChainID, Test: p.Test, Pay: b.phase == string(models.PaymentPending) || b.phase == phasePartial,
		ToSend: b.missing().Decimal(places), Address: wallet.Checksum(p.Address),
		AddressURL: explorer(c, "address", wallet.Checksum(p.Address)), Progress: p.Status == models.PaymentDetected,
		Confirmations: min(b.seen.Confirmations, b.seen.RequiredConfirmations), Required: b.seen.RequiredConfirmations,
		Open: p.Open(), ExpiresAt: p.ExpiresAt, Now: b.now, Version: b.version(),
	}
	if p.OrderID != nil {
		v.OrderID = *p.OrderID
	}
	if p.AmountReceived.Sign() > 0 {
		v.Received = p.AmountReceived.Decimal(places)
	}
	if p.Asset != models.AssetNative {
		v.Contract = wallet.Checksum(p.Asset)
		v.ContractURL = explorer(c, "token", v.Contract)
	}
	b.tell(&v)
	for _, t := range last(b.seen.Transfers, webhook.MaxTransfers) {
		v.Transfers = append(v.Transfers, b.row(t, c, speaks))
	}
	if u, err := url.Parse(p.RedirectURL); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		v.Redirect = p.RedirectURL
	}
	v.Tag = string(c.Finality.Tag)
	if v.Pay {
		var err error
		v.Call = callFor(p, b.missing())
		if v.Ways, err = ways(p, b.missing(), speaks); err != nil {
			return v, err
		}
	}
	return v, nil
}

// tell puts the state into words.
func (b bill) tell(v *checkoutView) {
	p := b.payment
	switch b.phase {
	case string(models.PaymentPending):
		v.Icon, v.Title = "wait", v.Text("Waiting for your payment")
		v.Lead = v.Text("This page notices by itself when it arrives.")
	case phasePartial:
		v.Icon, v.Title = "part", v.Text("Part of it has arrived")
		v.Lead = v.Text("%s of %s %s received. Please send the missing %s %s to the same address.", v.Received, v.Amount,
			v.Symbol, v.ToSend, v.Symbol)
	case phaseOverdue:
		v.Icon, v.Title = "wait", v.Text("The time to pay is over")
		v.Lead = v.Text("Please do not send anything now. A payment that was sent in time still counts as soon as the " +
			"chain has it.")
	case phaseRenewed:
		v.Icon, v.Title = "over", v.Text("There is a newer payment for this order")
		v.Lead = v.Text("Please do not send anything to this address any more, but use the page that the shop has given " +
			"you since.")
	case string(models.PaymentDetected):
		v.Icon, v.Title = "seen", v.Text("Payment seen")
		v.Lead = v.Text("It is on the chain and becomes final in a moment. There is nothing more to do.")
	case string(models.PaymentConfirmed):
		v.Icon, v.Title = "done", v.Text("Payment complete")
		v.Lead = v.Text("Thank you. Everything has arrived and is final.")
	case string(models.PaymentExpired):
		v.Icon, v.Title = "over", v.Text("This payment has expired")
		v.Lead = v.Text("Please do not send anything to its address any more. %s can start a new payment for you.",
			v.Merchant)
	case string(models.PaymentCanceled):
		v.Icon, v.Title = "over", v.Text("This payment was canceled")
		v.Lead = v.Text("Please do not send anything to its address.")
	}
	if p.Overpaid && b.excess().Sign() > 0 {
		v.Notes = append(v.Notes, v.Text("You sent %s %s more than was asked. %s about returning it.",
			b.excess().Decimal(p.AssetDecimals), p.AssetSymbol, v.contact()))
	}
	switch {
	case p.Late && (p.Status == models.PaymentExpired || p.Status == models.PaymentCanceled):
		v.Notes = append(v.Notes, v.Text("%s %s arrived after this payment had ended. %s.",
			v.Received, p.AssetSymbol, v.contact()))
	case p.Late:
		v.Notes = append(v.Notes, v.Text("Money arrived after the time to pay was over."))
	case p.Partial && (p.Status != models.PaymentPending || b.phase == phaseOverdue || b.phase == phaseRenewed):
		v.Notes = append(v.Notes, v.Text("Only %s of %s %s arrived. %s.", v.Received, v.Amount,
			p.AssetSymbol, v.contact()))
	}
	if len(b.seen.Doubts) > 0 {
		v.Notes = append(v.Notes, v.Text("The nodes of the chain contradict each other about a transfer to this address. It is being "+
			"looked at, and the payment waits for that. Please do not send it again."))
	}
	for _, t := range b.transfers {
		if t.Misdirected && t.Canonical() {
			v.Notes = append(v.Notes, v.Text("Something other than %s on %s arrived at this address. It does not "+
				"count. %s.", p.AssetSymbol, v.Chain, v.contact()))
			break
		}
	}
}

// contact says whom to ask, and with what, so that they find the payment.
func (v checkoutView) contact() string {
	if v.OrderID != "" {
		return v.Text("Please contact %s and name order %s and this page's address", v.Merchant, v.OrderID)
	}
	return v.Text("Please contact %s and name this page's address", v.Merchant)
}

func (b bill) row(t webhook.Transfer, c config.Chain, speaks tongue) transferRow {
	row := transferRow{Hash: speaks.Text("found by balance"), State: t.Status}
	if a, err := models.ParseAmount(t.Amount); err == nil {
		row.Amount = a.Decimal(b.payment.AssetDecimals)
	}
	if t.TxHash != nil {
		row.Hash, row.URL = *t.TxHash, explorer(c, "tx", *t.TxHash)
	}
	switch models.TransferStatus(t.Status) {
	case models.TransferSeen:
		row.State = speaks.Text("%d of %d", min(t.Confirmations, b.seen.RequiredConfirmations), b.seen.RequiredConfirmations)
	case models.TransferConfirmed:
		row.State = speaks.Text("final")
	case models.TransferOrphaned:
		row.State = speaks.Text("undone by the chain")
	}
	return row
}

// explorer links to something on the chain's explorer; "" when the chain has none.
func explorer(c config.Chain, kind, id string) string {
	if c.ExplorerURL == "" {
		return ""
	}
	return c.ExplorerURL + "/" + kind + "/" + id
}

// title writes a chain's slug for people: "arbitrum-one" is "Arbitrum one".
func title(slug string) string {
	slug = strings.ReplaceAll(slug, "-", " ")
	first, n := utf8.DecodeRuneInString(slug)
	return string(unicode.ToUpper(first)) + slug[n:]
}

func last[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }
