package events

import (
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// SampleOrderID is the order of every sample payment. No shop has such an order, so that a receiver in production finds
// nothing to fulfil.
const SampleOrderID = "sample-order"

// sampleAmount is that of every sample payment, in base units: 1.5 units of a token with 6 decimals.
const sampleAmount = "1500000"

// Sample returns the data of an event of a payment type as if it had just happened to a made-up payment, under an id of
// its own, of test money on a test chain.
func Sample(t webhook.EventType, now time.Time) webhook.Data {
	now = now.UTC()
	order, contract := SampleOrderID, "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238"
	p := &webhook.Payment{
		ID: models.NewID(models.PrefixPayment, now), Sequence: 1, OrderID: &order, OrderCurrent: true, Status: "pending",
		Chain: "sepolia", Test: true, UpdatedAt: webhook.At(now), AmountReceivedDecimal: "0",
		ChainID: 11155111, Asset: webhook.Asset{Symbol: "USDC", Contract: &contract, Decimals: 6},
		Address: "0x000000000000000000000000000000000000dEaD", DerivationPath: "m/44'/60'/0'/0/0", Amount: sampleAmount,
		AmountDecimal: "1.5", AmountReceived: "0", AmountConfirmed: "0", RequiredConfirmations: 12,
		CreatedAt: webhook.At(now), ExpiresAt: webhook.At(now.Add(30 * time.Minute)),
		Metadata: map[string]string{"sample": "true"},
	}
	data := webhook.Data{Payment: p}
	paid := func(sequence int, status, amount string, confirmations uint64) {
		p.Sequence, p.Status, p.AmountReceived, p.Confirmations = sequence, status, amount, confirmations
		if units, err := models.ParseAmount(amount); err == nil {
			p.AmountReceivedDecimal = units.Decimal(p.Asset.Decimals)
		}
		transfer := sampleTransfer(now, amount, confirmations)
		if status == "confirmed" {
			p.AmountConfirmed, p.ConfirmedAt, transfer.Status = amount, webhook.AtPtr(&now), "confirmed"
		}
		p.Transfers = []webhook.Transfer{transfer}
	}
	switch t {
	case webhook.PaymentPartiallyPaid:
		paid(2, "pending", "500000", 1)
		p.Partial = true
	case webhook.PaymentDetected:
		paid(2, "detected", sampleAmount, 1)
	case webhook.PaymentConfirmed:
		paid(3, "confirmed", sampleAmount, 12)
	case webhook.PaymentOverpaid:
		paid(4, "confirmed", "2000000", 12)
		p.Overpaid = true
	case webhook.PaymentLate:
		paid(4, "confirmed", sampleAmount, 12)
		p.Late = true
	case webhook.PaymentExpired:
		p.Sequence, p.Status, p.OrderCurrent = 2, "expired", false
	case webhook.PaymentCanceled:
		p.Sequence, p.Status, p.OrderCurrent = 2, "canceled", false
	case webhook.PaymentReorged:
		paid(3, "pending", "0", 0)
		p.Transfers[0].Amount, p.Transfers[0].Status = sampleAmount, "orphaned"
		data.Retracts = []string{models.NewID(models.PrefixEvent, now.Add(-time.Minute))}
	case webhook.PaymentMisdirected:
		p.Sequence = 2
		data.Misdirected = &webhook.Misdirected{
			Chain: p.Chain, ChainID: p.ChainID, Asset: webhook.Asset{Symbol: "ETH", Decimals: 18},
			Transfer: sampleTransfer(now, sampleAmount, 1), TransfersNew: 1, TransfersTotal: 1,
		}
		data.Misdirected.Transfer.LogIndex = nil
		data.Misdirected.Totals = []webhook.MisdirectedTotal{{Chain: p.Chain, ChainID: p.ChainID,
			Asset: data.Misdirected.Asset, Amount: sampleAmount, Transfers: 1}}
	}
	p.TransfersTotal = len(p.Transfers)
	return data
}

func sampleTransfer(now time.Time, amount string, confirmations uint64) webhook.Transfer {
	hash, index, from := "0x"+strings.Repeat("5a", 32), 3, "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
	return webhook.Transfer{
		TxHash: &hash, LogIndex: &index, From: &from, Amount: amount, BlockNumber: 1, BlockHash: "0x" +
			strings.Repeat("b1", 32),
		BlockTimestamp: webhook.At(now.Truncate(time.Second)), Confirmations: confirmations, Status: "seen",
		Source: webhook.SourceChain,
	}
}
