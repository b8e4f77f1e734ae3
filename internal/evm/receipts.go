package evm

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

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
	err = p.try(ctx, "receipt "+tx.Hex(), func(ctx context.Context, c *rpc.Client) error {
		var r *struct {
			wireReceipt
			Number *hexutil.Uint64 `json:"blockNumber"`
		}
		var t *struct {
			Hash      *common.Hash    `json:"hash"`
			BlockHash *common.Hash    `json:"blockHash"`
			From      *common.Address `json:"from"`
			To        *common.Address `json:"to"`
			Value     *hexutil.Big    `json:"value"`
		}
		if err := c.CallContext(ctx, &r, "eth_getTransactionReceipt", common.Hash(tx)); err != nil {
			return err
		}
		if err := c.CallContext(ctx, &t, "eth_getTransactionByHash", common.Hash(tx)); err != nil {
			return err
		}
		if r == nil || t == nil || r.BlockHash == nil || r.Number == nil {
			return fmt.Errorf("%w: no block holds transaction %s", ErrMissing, tx.Hex())
		}
		block := chain.Hash(*r.BlockHash)
		if err := r.belongs(common.Hash(tx), block); err != nil {
			return err
		}
		if r.Status == nil || *r.Status > 1 || t.Hash == nil || *t.Hash != common.Hash(tx) ||
			t.BlockHash == nil || *t.BlockHash != *r.BlockHash || t.From == nil || t.Value == nil {
			return fmt.Errorf("%w: transaction %s and its receipt", ErrInconsistent, tx.Hex())
		}
		out = Receipt{
			Block: chain.Ref{Number: uint64(*r.Number), Hash: block}, OK: *r.Status == 1,
			From: chain.Address(*t.From), Value: t.Value.ToInt(),
		}
		if t.To != nil {
			to := chain.Address(*t.To)
			out.To = &to
		}
		for _, l := range r.Logs {
			if l.Address == nil || l.Index == nil || l.TxHash == nil || *l.TxHash != common.Hash(tx) || l.Removed {
				return fmt.Errorf("%w: a log in the receipt of %s", ErrInconsistent, tx.Hex())
			}
			if transfer, ok := l.transfer(); ok {
				out.Logs = append(out.Logs, transfer)
			}
		}
		return nil
	})
	return out, err
}
