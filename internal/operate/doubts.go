package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// maxListed is how many doubts, or payments that are set aside, are listed at once.
const maxListed = 200

// Doubt is a transfer about which the providers of a chain contradict each other.
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
func (s *Service) Doubts(ctx context.Context, all bool) ([]Doubt, error) {
	status := models.DoubtOpen
	if all {
		status = ""
	}
	rows, err := s.store.Doubts(ctx, 0, status, maxListed)
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
func (s *Service) Doubt(ctx context.Context, id string) (Doubt, error) {
	d, err := s.store.Doubt(ctx, id)
	return doubtOf(d), err
}

// SettleDoubt accepts or rejects a doubt. What it changes, and the line of the audit log, are one transaction.
func (s *Service) SettleDoubt(
	ctx context.Context, tx *store.Tx, actor models.Actor, id string, accept bool, reason string,
) (Doubt, error) {
	if strings.TrimSpace(reason) == "" {
		return Doubt{}, models.FieldErrors{{Field: "reason", Message: "is required", Example: "seen on two explorers"}}
	}
	d, err := s.payments.SettleDoubt(ctx, tx, actor, id, accept, reason)
	if err != nil {
		return Doubt{}, err
	}
	line := s.line(actor, "doubt."+string(d.Status), d.ID, map[string]string{"payment_id": d.PaymentID,
		"amount": d.Amount.String(), "asset": d.Asset, "reason": reason})
	line.Merchant = d.MerchantID
	return doubtOf(d), tx.Audit(ctx, line)
}

// Quarantined is a payment that could not be recomputed and was set aside, so that its block could be recorded.
type Quarantined struct {
	PaymentID  string     `json:"payment_id"`
	MerchantID string     `json:"merchant_id"`
	Chain      string     `json:"chain"`
	Status     string     `json:"status"`
	Since      *time.Time `json:"since"`
	Reason     string     `json:"reason"`
}

// Quarantine lists the payments that are set aside, those that wait longest first.
func (s *Service) Quarantine(ctx context.Context) ([]Quarantined, error) {
	return quarantine(ctx, &s.store.Queries)
}

func quarantine(ctx context.Context, q *store.Queries) ([]Quarantined, error) {
	ps, err := q.QuarantinedPayments(ctx, maxListed)
	if err != nil {
		return nil, err
	}
	list := make([]Quarantined, len(ps))
	for i, p := range ps {
		list[i] = Quarantined{PaymentID: p.ID, MerchantID: p.MerchantID, Chain: p.Chain, Status: string(p.Status),
			Since: utc(p.QuarantinedAt), Reason: p.QuarantineReason}
	}
	return list, nil
}

// RetryQuarantine recomputes the payments that are set aside, at once, and returns those that still are.
func (s *Service) RetryQuarantine(ctx context.Context, tx *store.Tx, actor models.Actor) ([]Quarantined, error) {
	changed, err := s.payments.RetryIn(ctx, tx, s.now().Add(time.Second))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(changed))
	for i, c := range changed {
		ids[i] = c.Payment.ID
	}
	left, err := quarantine(ctx, &tx.Queries)
	if err != nil {
		return nil, err
	}
	return left, tx.Audit(ctx, s.line(actor, "payment.quarantine_retried", "quarantine", map[string]string{
		"recomputed": fmt.Sprint(len(ids)), "payments": strings.Join(ids[:min(len(ids), 20)], " "),
		"left": fmt.Sprint(len(left)),
	}))
}
