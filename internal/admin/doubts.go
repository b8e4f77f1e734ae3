package admin

import (
	"context"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// MaxDoubts is how many doubts are listed at once.
const MaxDoubts = 200

// Doubt is a transfer about which the providers of a chain contradict each other, as an operator sees it.
type Doubt struct {
	ID          string                  `json:"id"`
	Kind        string                  `json:"kind"`
	Status      string                  `json:"status"`
	Chain       string                  `json:"chain"`
	PaymentID   string                  `json:"payment_id"`
	MerchantID  string                  `json:"merchant_id"`
	Asset       string                  `json:"asset"`
	Amount      string                  `json:"amount"`
	Recipient   string                  `json:"recipient"`
	TxHash      string                  `json:"tx_hash"`
	Source      string                  `json:"source"`
	BlockNumber uint64                  `json:"block_number"`
	BlockHash   string                  `json:"block_hash"`
	Answers     []models.ProviderAnswer `json:"answers"`
	SettledBy   string                  `json:"settled_by"`
	Reason      string                  `json:"reason"`
	SettledAt   *time.Time              `json:"settled_at"`
	CreatedAt   time.Time               `json:"created_at"`
}

func doubtOf(d models.Doubt) Doubt {
	return Doubt{
		ID: d.ID, Kind: d.Kind, Status: string(d.Status), Chain: d.Chain, PaymentID: d.PaymentID, MerchantID: d.MerchantID,
		Asset: d.Asset, Amount: d.Amount.String(), Recipient: d.Recipient, TxHash: d.TxHash, Source: d.Source,
		BlockNumber: d.BlockNumber, BlockHash: d.BlockHash, Answers: d.Answers, SettledBy: d.SettledBy, Reason: d.Reason,
		SettledAt: utc(d.SettledAt), CreatedAt: d.CreatedAt.UTC(),
	}
}

// Doubts lists the newest doubts; with all also those that are settled.
func (a *Admin) Doubts(ctx context.Context, all bool) ([]Doubt, error) {
	status := models.DoubtOpen
	if all {
		status = ""
	}
	rows, err := a.store.Doubts(ctx, 0, status, MaxDoubts)
	if err != nil {
		return nil, err
	}
	ds := make([]Doubt, len(rows))
	for i, d := range rows {
		ds[i] = doubtOf(d)
	}
	return ds, nil
}

// Doubt reads one doubt.
func (a *Admin) Doubt(ctx context.Context, id string) (Doubt, error) {
	d, err := a.store.Doubt(ctx, id)
	return doubtOf(d), err
}

// SettleDoubt accepts or rejects a doubt. What it changes, and the line of the audit log, are one transaction.
func (a *Admin) SettleDoubt(ctx context.Context, id string, accept bool, reason string) (Doubt, error) {
	if strings.TrimSpace(reason) == "" {
		return Doubt{}, models.FieldErrors{{Field: "reason", Message: "is required", Example: "seen on two explorers"}}
	}
	s, err := a.payments()
	if err != nil {
		return Doubt{}, err
	}
	var d models.Doubt
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if d, err = s.SettleDoubt(ctx, tx, a.actor, id, accept, reason); err != nil {
			return err
		}
		return tx.Audit(ctx, models.AuditEntry{
			At: a.utc(), Actor: a.actor.Name, Action: "doubt." + string(d.Status), Subject: d.ID,
			Detail: map[string]string{"payment_id": d.PaymentID, "amount": d.Amount.String(), "asset": d.Asset,
				"reason": reason},
		})
	})
	return doubtOf(d), err
}

// payments makes the service that moves payments.
func (a *Admin) payments() (*payments.Service, error) {
	return wiring.Payments(a.cfg, a.store, nil, a.now, a.log, nil)
}
