package api

import (
	"context"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ListDoubts shows transfers about which providers contradict each other.
func (h *handlers) ListDoubts(ctx context.Context, r ListDoubtsRequestObject) (ListDoubtsResponseObject, error) {
	doubts, err := h.operate.Doubts(ctx, valueOr(r.Params.All, false))
	v := ListDoubts200JSONResponse{Data: make([]Doubt, len(doubts))}
	for i, d := range doubts {
		v.Data[i] = doubtView(d)
	}
	return v, err
}

// GetDoubt shows one.
func (h *handlers) GetDoubt(ctx context.Context, r GetDoubtRequestObject) (GetDoubtResponseObject, error) {
	d, err := h.operate.Doubt(ctx, r.ID)
	return GetDoubt200JSONResponse(doubtView(d)), noSuch("doubt", err)
}

// AcceptDoubt says that a transfer counts.
func (h *handlers) AcceptDoubt(ctx context.Context, r AcceptDoubtRequestObject) (AcceptDoubtResponseObject, error) {
	return h.settleDoubt(ctx, r.ID, r.Params.IdempotencyKey, true, r.Body.Reason)
}

// RejectDoubt says that it does not.
func (h *handlers) RejectDoubt(ctx context.Context, r RejectDoubtRequestObject) (RejectDoubtResponseObject, error) {
	return h.settleDoubt(ctx, r.ID, r.Params.IdempotencyKey, false, r.Body.Reason)
}

func (h *handlers) settleDoubt(ctx context.Context, id string, key *string, accept bool,
	reason string) (savedAnswer, error) {
	return h.once(ctx, key, func(tx *store.Tx) (savedAnswer, error) {
		d, err := h.operate.SettleDoubt(ctx, tx, operatorOf(ctx), id, accept, reason)
		if err != nil {
			return savedAnswer{}, noSuch("doubt", err)
		}
		return answer(http.StatusOK, doubtView(d))
	})
}

func doubtView(d operate.Doubt) Doubt {
	v := Doubt{
		Amount: d.Amount, Answers: make([]ProviderAnswer, len(d.Answers)), Asset: d.Asset, BlockHash: d.BlockHash,
		BlockNumber: int64(d.BlockNumber), Chain: d.Chain, CreatedAt: webhook.At(d.CreatedAt), ID: d.ID, Kind: d.Kind,
		MerchantID: d.MerchantID, PaymentID: d.PaymentID, Reason: d.Reason, Recipient: d.Recipient,
		SettledAt: webhook.AtPtr(d.SettledAt), SettledBy: d.SettledBy, Source: d.Source, Status: d.Status,
		TxHash: d.TxHash,
	}
	for i, a := range d.Answers {
		v.Answers[i] = ProviderAnswer{Provider: a.Provider, Known: a.Known, Holds: a.Holds, Proven: a.Proven, Text: a.Text}
	}
	return v
}

// ListQuarantine shows payments that were set aside.
func (h *handlers) ListQuarantine(ctx context.Context,
	_ ListQuarantineRequestObject) (ListQuarantineResponseObject, error) {
	list, err := h.operate.Quarantine(ctx)
	return ListQuarantine200JSONResponse(quarantineView(list)), err
}

// RetryQuarantine recomputes them at once and shows those that still are set aside.
func (h *handlers) RetryQuarantine(ctx context.Context,
	r RetryQuarantineRequestObject) (RetryQuarantineResponseObject, error) {
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		left, err := h.operate.RetryQuarantine(ctx, tx, operatorOf(ctx))
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusOK, quarantineView(left))
	})
}

func quarantineView(list []operate.Quarantined) Quarantine {
	v := Quarantine{Data: make([]QuarantinedPayment, len(list))}
	for i, q := range list {
		v.Data[i] = QuarantinedPayment{Chain: q.Chain, MerchantID: q.MerchantID, PaymentID: q.PaymentID, Reason: q.Reason,
			Since: webhook.AtPtr(q.Since), Status: q.Status}
	}
	return v
}
