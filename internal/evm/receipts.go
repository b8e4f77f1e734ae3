package evm

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Receipt is what a node says of a transaction that is in a block.
type Receipt struct {
	Block chain.Ref
	OK    bool           // its status is 1
	From  chain.Address  // who signed the transaction
	To    *chain.Address // nil when it creates a contract
	Value *big.Int       // of the chain's own coin
	Logs  []chain.Log    // ERC-20 transfers, of any contract
}

// Receipt reads a transaction and its receipt. [ErrMissing] is in the error when the node knows no such transaction in
// a block.
func (p *Pool) Receipt(ctx context.Context, tx chain.Hash) (out Receipt, err error) {
	err = p.try(ctx, "receipt "+tx.Hex(), func(ctx context.Context, n *conn) error {
		var r *struct {
			wireReceipt
			Number *quantity `json:"blockNumber"`
		}
		var t *struct {
			wireTx
			BlockHash *common.Hash `json:"blockHash"`
		}
		if err := n.call(ctx, &r, "eth_getTransactionReceipt", common.Hash(tx)); err != nil {
			return err
		}
		if err := n.call(ctx, &t, "eth_getTransactionByHash", common.Hash(tx)); err != nil {
			return err
		}
		if r == nil || t == nil || r.BlockHash == nil || r.Number == nil {
			return fmt.Errorf("%w: no block holds transaction %s", ErrMissing, tx.Hex())
		}
		block := chain.Hash(*r.BlockHash)
		if err := r.belongs(common.Hash(tx), block); err != nil {
			return err
		}
		ok, err := r.succeeded()
		if err != nil {
			return err
		}
		if t.Hash == nil || *t.Hash != common.Hash(tx) || t.BlockHash == nil || *t.BlockHash != *r.BlockHash ||
			t.From.Address == nil || t.Value == nil {
			return fmt.Errorf("%w: transaction %s and its receipt", ErrInconsistent, tx.Hex())
		}
		out = Receipt{
			Block: chain.Ref{Number: uint64(*r.Number), Hash: block}, OK: ok, From: chain.Address(*t.From.Address),
			To: (*chain.Address)(t.To.Address), Value: t.Value.big(),
		}
		out.Logs, err = r.transfers()
		return err
	})
	return out, err
}

// transfers are the ERC-20 transfers of a receipt. Every one must be of its transaction and on the chain.
func (r *wireReceipt) transfers() ([]chain.Log, error) {
	var logs []chain.Log
	for _, l := range r.Logs {
		t, ok := l.transfer()
		if !ok {
			continue
		}
		if t.Doubtful || t.TxHash != chain.Hash(*r.TxHash) || l.removed() {
			return nil, fmt.Errorf("%w: a log in the receipt of %s", ErrInconsistent, r.TxHash.Hex())
		}
		logs = append(logs, t)
	}
	return logs, nil
}

// Succeeded reports whether a transaction of a block did what it says, by its receipt.
func (p *Pool) Succeeded(ctx context.Context, block, tx chain.Hash) (ok bool, err error) {
	err = p.try(ctx, "receipt "+tx.Hex(), func(ctx context.Context, n *conn) error {
		r, err := receiptIn(ctx, n, block, tx)
		if err == nil {
			ok, err = r.succeeded()
		}
		return err
	})
	return ok && err == nil, err
}

// Happened reports whether a transfer of a block happened, by the receipt of its transaction: the chain's own coin
// moves when the transaction succeeds, a token when the receipt holds the log. A receipt that does not hold it
// contradicts the block, which is an error.
func (p *Pool) Happened(ctx context.Context, block chain.Hash, t chain.Transfer) (ok bool, err error) {
	if t.Asset == chain.Native {
		return p.Succeeded(ctx, block, t.TxHash)
	}
	err = p.try(ctx, "receipt "+t.TxHash.Hex(), func(ctx context.Context, n *conn) error {
		r, err := receiptIn(ctx, n, block, t.TxHash)
		if err != nil {
			return err
		}
		logs, err := r.transfers()
		if err != nil {
			return err
		}
		for _, l := range logs {
			if l.LogIndex == t.LogIndex && l.Contract.Hex() == t.Asset && l.From == t.From && l.To == t.To &&
				l.Value.Cmp(t.Value) == 0 {
				ok = true
				return nil
			}
		}
		return fmt.Errorf("%w: the receipt of %s does not hold the transfer with log index %d that the block's logs hold",
			ErrInconsistent, t.TxHash, t.LogIndex)
	})
	return ok && err == nil, err
}

// receiptIn asks for the receipt of a transaction of a block.
func receiptIn(ctx context.Context, n *conn, block, tx chain.Hash) (r *wireReceipt, err error) {
	if err := n.call(ctx, &r, "eth_getTransactionReceipt", common.Hash(tx)); err != nil {
		return nil, err
	}
	return r, r.belongs(common.Hash(tx), block)
}
