package proof

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Finding is what a node says about one transfer.
type Finding string

// Proven: the node agrees in everything. Refuted: it does not. Unprovable: a receipt cannot tell, because the money
// came by no transaction of its own (found by its balance, or sent by a contract).
const (
	Proven     Finding = "proven"
	Refuted    Finding = "refuted"
	Unprovable Finding = "unprovable"
)

// TransferVerdict is about one transfer of an event.
type TransferVerdict struct {
	EventID   string  `json:"event_id"`
	PaymentID string  `json:"payment_id"`
	TxHash    string  `json:"tx_hash"`   // "" where there is none
	LogIndex  *int    `json:"log_index"` // null for the chain's own coin
	Amount    string  `json:"amount"`    // base units
	Asset     string  `json:"asset"`     // symbol
	Finding   Finding `json:"finding"`
	Reason    string  `json:"reason,omitempty"` // of all but proven
}

// Node answers questions about one chain; [evm.Pool] is one.
type Node interface {
	Receipt(ctx context.Context, tx chain.Hash) (evm.Receipt, error)
	Header(ctx context.Context, number uint64) (chain.Header, error)
}

// Transfers holds each transfer that an event tells of against a node of the payment's chain, and the sums that it
// calls received and confirmed against the transfers. The error is about the node; what the node says is in the
// verdicts.
func Transfers(ctx context.Context, node Node, e webhook.Event) ([]TransferVerdict, error) {
	p := e.Data.Payment
	if p == nil {
		return nil, nil
	}
	var all []TransferVerdict
	listed := make(map[string]bool)
	for _, t := range p.Transfers {
		v, err := one(ctx, node, p.Address, p.Asset, t)
		if err != nil {
			return all, err
		}
		if key := identity(t); key != "" && t.Status != "orphaned" {
			if listed[key] {
				v = refuted("the same transfer is listed twice")
			}
			listed[key] = true
		}
		all = append(all, named(v, e, p.Asset, t))
	}
	if m := e.Data.Misdirected; m != nil {
		v := unprovable("it happened on chain %d, and the node is of chain %d", m.ChainID, p.ChainID)
		if m.ChainID == p.ChainID {
			var err error
			if v, err = one(ctx, node, p.Address, m.Asset, m.Transfer); err != nil {
				return all, err
			}
		}
		all = append(all, named(v, e, m.Asset, m.Transfer))
	}
	return append(all, sums(e)...), nil
}

// identity tells one transfer from another: its transaction and its log. It is "" where there is no transaction.
func identity(t webhook.Transfer) string {
	if t.TxHash == nil {
		return ""
	}
	if t.LogIndex == nil {
		return strings.ToLower(*t.TxHash)
	}
	return fmt.Sprintf("%s %d", strings.ToLower(*t.TxHash), *t.LogIndex)
}

// sums holds what the payment says was received and confirmed against the transfers that it lists.
func sums(e webhook.Event) []TransferVerdict {
	p := e.Data.Payment
	verdict := func(amount string, f Finding, format string, args ...any) []TransferVerdict {
		return []TransferVerdict{{
			EventID: e.ID, PaymentID: p.ID, Amount: amount, Asset: p.Asset.Symbol,
			Finding: f, Reason: fmt.Sprintf(format, args...),
		}}
	}
	switch listed := len(p.Transfers); {
	case p.TransfersTotal > listed && listed < webhook.MaxTransfers:
		return verdict(p.AmountConfirmed, Refuted, "%d of %d transfers are listed, and an event lists up to %d",
			listed, p.TransfersTotal, webhook.MaxTransfers)
	case p.TransfersTotal > listed:
		return verdict(p.AmountConfirmed, Unprovable, "%d of %d transfers are listed, so nobody can add them up",
			listed, p.TransfersTotal)
	}
	received, confirmed := new(big.Int), new(big.Int)
	for _, t := range p.Transfers {
		amount, ok := new(big.Int).SetString(t.Amount, 10)
		if !ok || t.Status == "orphaned" {
			continue
		}
		received.Add(received, amount)
		if t.Status == "confirmed" {
			confirmed.Add(confirmed, amount)
		}
	}
	var all []TransferVerdict
	if confirmed.String() != p.AmountConfirmed {
		all = verdict(p.AmountConfirmed, Refuted, "amount_confirmed is %s, and the confirmed transfers sum up to %s",
			p.AmountConfirmed, confirmed)
	}
	if received.String() != p.AmountReceived {
		all = append(all, verdict(p.AmountReceived, Refuted, "amount_received is %s, and the transfers sum up to %s",
			p.AmountReceived, received)...)
	}
	return all
}

func named(v TransferVerdict, e webhook.Event, asset webhook.Asset, t webhook.Transfer) TransferVerdict {
	v.EventID, v.PaymentID, v.Asset, v.Amount, v.LogIndex = e.ID, e.Data.Payment.ID, asset.Symbol, t.Amount, t.LogIndex
	if t.TxHash != nil {
		v.TxHash = *t.TxHash
	}
	return v
}

func refuted(format string, args ...any) TransferVerdict {
	return TransferVerdict{Finding: Refuted, Reason: fmt.Sprintf(format, args...)}
}

func unprovable(format string, args ...any) TransferVerdict {
	return TransferVerdict{Finding: Unprovable, Reason: fmt.Sprintf(format, args...)}
}

// one judges one transfer to an address.
func one(
	ctx context.Context, node Node, address string, asset webhook.Asset, t webhook.Transfer,
) (TransferVerdict, error) {
	if t.TxHash == nil {
		return unprovable("found by the balance of the address, not by a transaction"), nil
	}
	tx, err := chain.ParseHash(*t.TxHash)
	if err != nil {
		return refuted("tx_hash is no hash"), nil
	}
	block, err := chain.ParseHash(t.BlockHash)
	if err != nil {
		return refuted("block_hash is no hash"), nil
	}
	to, err := chain.ParseAddress(address)
	if err != nil {
		return refuted("the payment's address is no address"), nil
	}
	r, err := node.Receipt(ctx, tx)
	missing := errors.Is(err, evm.ErrMissing)
	if err != nil && !missing {
		return TransferVerdict{}, err
	}
	if t.Status == "orphaned" {
		if !missing && r.Block.Hash == block {
			return refuted("called orphaned, and the node has it in block %d", r.Block.Number), nil
		}
		return TransferVerdict{Finding: Proven}, nil
	}
	if missing {
		return refuted("the node knows no such transaction in a block"), nil
	}
	if r.Block.Hash != block || r.Block.Number != t.BlockNumber {
		return refuted("the node has it in block %d %s", r.Block.Number, r.Block.Hash), nil
	}
	header, err := node.Header(ctx, r.Block.Number)
	switch {
	case err != nil:
		return TransferVerdict{}, err
	case header.Hash != block:
		return refuted("block %d is %s by now", header.Number, header.Hash), nil
	case !header.Time.Equal(t.BlockTimestamp.Time):
		return refuted("block_timestamp is not that of the block"), nil
	case !r.OK:
		return refuted("the transaction failed"), nil
	}
	if asset.Contract == nil {
		return coinMoved(r, to, t), nil
	}
	return tokenMoved(r, to, *asset.Contract, t), nil
}

// coinMoved judges whether a transaction moved the chain's own coin as the transfer says.
func coinMoved(r evm.Receipt, to chain.Address, t webhook.Transfer) TransferVerdict {
	switch {
	case t.LogIndex != nil:
		return refuted("the chain's own coin has no log_index")
	case r.To == nil || *r.To != to:
		return unprovable("the transaction went to another address, which may have passed it on")
	case r.Value.String() != t.Amount:
		return refuted("the transaction moved %s", r.Value)
	case t.From == nil:
		return refuted("from is no address")
	}
	if from, err := chain.ParseAddress(*t.From); err != nil || from != r.From {
		return refuted("the transaction is of %s", r.From)
	}
	return TransferVerdict{Finding: Proven}
}

// tokenMoved judges whether a log of a transaction moved a token as the transfer says.
func tokenMoved(r evm.Receipt, to chain.Address, contract string, t webhook.Transfer) TransferVerdict {
	if t.LogIndex == nil {
		return refuted("a token's transfer has a log_index")
	}
	i := slices.IndexFunc(r.Logs, func(l chain.Log) bool { return l.LogIndex == *t.LogIndex })
	if i < 0 {
		return refuted("the transaction has no transfer with log_index %d", *t.LogIndex)
	}
	l := r.Logs[i]
	token, err := chain.ParseAddress(contract)
	if err != nil || t.From == nil {
		return refuted("contract or from is no address")
	}
	from, err := chain.ParseAddress(*t.From)
	switch {
	case err != nil:
		return refuted("contract or from is no address")
	case l.Contract != token:
		return refuted("log %d is of contract %s", l.LogIndex, l.Contract)
	case l.To != to:
		return refuted("log %d moved it to %s", l.LogIndex, l.To)
	case l.From != from:
		return refuted("log %d moved it from %s", l.LogIndex, l.From)
	case l.Value.String() != t.Amount:
		return refuted("log %d moved %s", l.LogIndex, l.Value)
	}
	return TransferVerdict{Finding: Proven}
}
