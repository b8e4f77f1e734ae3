package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// proofAgain is when to ask again after no node could be asked.
const proofAgain = 30 * time.Second

// proofsOfMerchant and proofsOfAll are how many proofs may be collected at once in one process. The next is told to
// come again in testsAgain.
const (
	proofsOfMerchant = 4
	proofsOfAll      = 32
)

// Prove collects what proves claims about a block of a chain.
type Prove func(ctx context.Context, chainID uint64, block chain.Ref, claims []chain.Claim) ([]chain.Evidence, error)

// GetPaymentProof shows what proves the transfers of a payment.
func (h *handlers) GetPaymentProof(
	ctx context.Context, r GetPaymentProofRequestObject,
) (GetPaymentProofResponseObject, error) {
	p, err := h.ownPayment(ctx, callerOf(ctx), r.ID)
	if err != nil {
		return nil, err
	}
	rows, err := h.store.TransfersOf(ctx, []string{p.ID})
	if err != nil {
		return nil, err
	}
	heads, err := h.store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	var counted []models.Transfer
	for _, t := range rows[p.ID] {
		if !t.Misdirected && t.Status != models.TransferOrphaned {
			counted = append(counted, t)
		}
	}
	total := len(counted)
	counted = counted[max(0, total-webhook.MaxTransfers):]
	slices.SortStableFunc(counted, func(a, b models.Transfer) int { // equal logs are told apart by their order
		return cmp.Or(cmp.Compare(a.BlockNumber, b.BlockNumber), cmp.Compare(a.TxHash, b.TxHash),
			cmp.Compare(a.Ordinal, b.Ordinal))
	})
	view := h.payments.View(p, payments.State{Transfers: counted, Heads: heads})
	out := webhook.PaymentProof{
		PaymentID: p.ID, Chain: p.Chain, ChainID: p.ChainID, Asset: view.Asset, Address: view.Address,
		Transfers: make([]webhook.TransferProof, len(counted)), TransfersTotal: total,
	}
	for i, t := range view.Transfers {
		out.Transfers[i].Transfer = t
	}
	x := callerOf(ctx)
	leave, ok := h.proving.Take(map[string]int{x.merchant.ID: proofsOfMerchant,
		limits.Everybody: proofsOfAll})
	if !ok {
		return nil, NewProblem(CodeRateLimited, "As many proofs as may be collected at once are being collected.").
			RetryAfter(testsAgain)
	}
	defer leave()
	x.share.Leave() // nodes are asked
	if err := h.prove(ctx, counted, out.Transfers); err != nil {
		return nil, err
	}
	return answer(http.StatusOK, out)
}

// prove fills in the proofs of transfers, block by block.
func (h *handlers) prove(ctx context.Context, rows []models.Transfer, out []webhook.TransferProof) error {
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[to].BlockHash == rows[from].BlockHash {
			to++
		}
		if err := h.proveBlock(ctx, rows[from:to], out[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (h *handlers) proveBlock(ctx context.Context, rows []models.Transfer, out []webhook.TransferProof) error {
	transfers := make([]chain.Transfer, len(rows))
	for i, row := range rows {
		var err error
		if transfers[i], err = payments.TransferOf(row); err != nil {
			return err
		}
	}
	hash, err := chain.ParseHash(rows[0].BlockHash)
	if err != nil {
		return err
	}
	evidence := make([]chain.Evidence, len(rows))
	if h.proof == nil {
		for i := range evidence {
			evidence[i].Reason = "this gateway has no node of the chain"
		}
	} else if evidence, err = h.proof(ctx, rows[0].ChainID, chain.Ref{Number: rows[0].BlockNumber, Hash: hash},
		chain.Claims(transfers)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.WarnContext(ctx, "proof.failed", "chain_id", rows[0].ChainID, "block", rows[0].BlockNumber, "error", err)
		return NewProblem(CodeChainUnavailable, "No node of the chain gives the block at present. Ask again later.").
			RetryAfter(proofAgain)
	}
	for i, e := range evidence {
		if e.Reason != "" {
			out[i].Reason = &e.Reason
			continue
		}
		out[i].Proof = &webhook.BlockProof{
			Header: hexOf(e.Header), Index: uint64(e.Index), Transaction: hexes(e.Transaction), Receipt: hexes(e.Receipt),
		}
		if e.Log >= 0 {
			out[i].Proof.Log = &e.Log
		}
	}
	return nil
}

func hexOf(b []byte) string { return "0x" + hex.EncodeToString(b) }

func hexes(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = hexOf(b)
	}
	return out
}
