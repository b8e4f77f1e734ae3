package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ListChains shows how far each chain is recorded.
func (h *handlers) ListChains(ctx context.Context, _ ListChainsRequestObject) (ListChainsResponseObject, error) {
	chains, err := h.operate.Chains(ctx)
	v := ListChains200JSONResponse{Data: make([]OperatedChain, len(chains))}
	for i, c := range chains {
		v.Data[i] = chainView(c)
	}
	return v, err
}

// GetChain shows one chain and asks its providers.
func (h *handlers) GetChain(ctx context.Context, r GetChainRequestObject) (GetChainResponseObject, error) {
	s, err := h.operate.Status(ctx, r.Name)
	if err != nil {
		return nil, noChain(err)
	}
	c := chainView(s.Chain)
	v := GetChain200JSONResponse{
		AgeSeconds: c.AgeSeconds, BlockNumber: c.BlockNumber, BlockTime: c.BlockTime, Chain: c.Chain, ChainID: c.ChainID,
		FinalNumber: c.FinalNumber, HaltReason: c.HaltReason, HaltedAt: c.HaltedAt, HeadNumber: c.HeadNumber,
		OpenDoubts: c.OpenDoubts, SeenAt: c.SeenAt, Proofs: s.Proofs, Providers: make([]ChainProvider, len(s.Providers)),
	}
	for i, p := range s.Providers {
		v.Providers[i] = ChainProvider{Provider: p.Provider, Head: int64(p.Head), Error: p.Error}
	}
	return v, nil
}

// RescanChain reads recorded blocks once more.
func (h *handlers) RescanChain(ctx context.Context, r RescanChainRequestObject) (RescanChainResponseObject, error) {
	done, err := h.operate.Rescan(ctx, operatorOf(ctx), r.Name, uint64(r.Body.From), uint64(valueOr(r.Body.To, 0)))
	return RescanChain200JSONResponse{
		Blocks: done.Blocks, Chain: done.Chain, Credited: done.Credited, Doubts: done.Doubts, From: int64(done.From),
		NextFrom: number(done.NextFrom), To: int64(done.To), Transfers: done.Transfers,
	}, noChain(err)
}

// AcceptChain lets a halted chain go on.
func (h *handlers) AcceptChain(ctx context.Context, r AcceptChainRequestObject) (AcceptChainResponseObject, error) {
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		if err := h.operate.AcceptReorg(ctx, tx, operatorOf(ctx), r.Name); err != nil {
			return savedAnswer{}, noChain(err)
		}
		return h.chainIn(ctx, tx, r.Name)
	})
}

// ResetChain has a chain recorded anew.
func (h *handlers) ResetChain(ctx context.Context, r ResetChainRequestObject) (ResetChainResponseObject, error) {
	return h.idempotent(ctx, r.Params.IdempotencyKey, func(recordOf recordFunc) (a savedAnswer, err error) {
		reset, err := h.operate.PrepareReset(ctx, r.Name, uint64(r.Body.StartBlock), r.Body.Reason,
			valueOr(r.Body.Yes, false))
		if err != nil {
			return a, noChain(err)
		}
		return a, h.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if err := h.operate.Reset(ctx, tx, operatorOf(ctx), reset); err != nil {
				return noChain(err)
			}
			if a, err = h.chainIn(ctx, tx, r.Name); err != nil {
				return err
			}
			return recordOf.write(ctx, tx, a)
		})
	})
}

func (h *handlers) chainIn(ctx context.Context, tx *store.Tx, name string) (savedAnswer, error) {
	c, err := h.operate.ChainIn(ctx, &tx.Queries, name)
	if err != nil {
		return savedAnswer{}, err
	}
	return answer(http.StatusOK, chainView(c))
}

// ReconcileChain holds the balances of open payments against the record.
func (h *handlers) ReconcileChain(ctx context.Context,
	r ReconcileChainRequestObject) (ReconcileChainResponseObject, error) {
	done, err := h.operate.Reconcile(ctx, operatorOf(ctx), r.Name)
	v := ReconcileChain200JSONResponse{
		BlockNumber: int64(done.Block), Chain: done.Chain, Credited: done.Credited, Doubts: done.Doubts,
		Payments: done.Payments, NextFrom: number(done.NextFrom), Differences: []BalanceDifference{},
	}
	for _, d := range done.Differences {
		v.Differences = append(v.Differences, BalanceDifference{Address: d.Address, Asset: d.Asset, Held: d.Held,
			PaymentID: d.PaymentID, Recorded: d.Recorded, Text: d.Text})
	}
	return v, noChain(err)
}

// AuditChain holds the record against one provider.
func (h *handlers) AuditChain(ctx context.Context, r AuditChainRequestObject) (AuditChainResponseObject, error) {
	done, err := h.operate.Audit(ctx, operate.AuditOf{Chain: r.Name, Provider: valueOr(r.Params.Provider, ""),
		From: uint64(valueOr(r.Params.From, 0)), To: uint64(valueOr(r.Params.To, 0))})
	v := AuditChain200JSONResponse{
		Blocks: done.Blocks, Chain: done.Chain, From: int64(done.From), NextFrom: number(done.NextFrom),
		Provider: done.Provider, To: int64(done.To), Transfers: done.Transfers, Unknown: done.Unknown,
		Differences: []ChainDifference{},
	}
	for _, d := range done.Differences {
		v.Differences = append(v.Differences, ChainDifference{
			Amount: d.Amount, Asset: d.Asset, BlockHash: d.BlockHash, BlockNumber: int64(d.Block), Kind: d.Kind,
			PaymentID: d.PaymentID, Recipient: d.Recipient, Text: d.Text, TxHash: d.TxHash,
		})
	}
	return v, noChain(err)
}

func chainView(c operate.Chain) OperatedChain {
	return OperatedChain{
		AgeSeconds: c.AgeSeconds, BlockNumber: int64(c.Number), BlockTime: webhook.At(c.BlockTime), Chain: c.Chain,
		ChainID: int64(c.ChainID), FinalNumber: int64(c.FinalNumber), HaltReason: c.HaltReason,
		HaltedAt: webhook.AtPtr(c.HaltedAt), HeadNumber: int64(c.HeadNumber), OpenDoubts: c.Doubts,
		SeenAt: webhook.AtPtr(c.SeenAt),
	}
}

// noChain tells the operator that no chain has the name.
func noChain(err error) error {
	if errors.Is(err, models.ErrNotFound) {
		return NewProblem(CodeNotFound, sentence(err)).Because(err)
	}
	return err
}

func number(n *uint64) *int64 {
	if n == nil {
		return nil
	}
	v := int64(*n)
	return &v
}

func valueOr[T any](v *T, or T) T {
	if v == nil {
		return or
	}
	return *v
}
