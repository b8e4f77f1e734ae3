package evm

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// MaxBlocks is the most blocks that [Pool.Blocks] reads at once.
const MaxBlocks = 50

// wireBlock is a header with the transactions, of any type a chain may have.
type wireBlock struct {
	wireHeader
	Transactions []struct {
		Hash  *common.Hash    `json:"hash"`
		From  *common.Address `json:"from"`
		To    *common.Address `json:"to"`
		Value *hexutil.Big    `json:"value"`
	} `json:"transactions"`
}

// readBlock is a block without its logs, and what they are held against.
type readBlock struct {
	chain.Block
	bloom types.Bloom
	txs   map[common.Hash]bool // all of them, also those that carry no money
}

// read checks a block and keeps the transactions that carry money.
func (w *wireBlock) read(number uint64) (readBlock, error) {
	if w == nil {
		return readBlock{}, ErrMissing
	}
	h, err := w.header()
	if err != nil {
		return readBlock{}, err
	}
	if h.Number != number || w.Bloom == nil || w.Transactions == nil {
		return readBlock{}, fmt.Errorf("%w: asked for block %d, got %d, or one without bloom or transactions",
			ErrInconsistent, number, h.Number)
	}
	r := readBlock{Block: chain.Block{Header: h}, bloom: *w.Bloom, txs: make(map[common.Hash]bool, len(w.Transactions))}
	for _, t := range w.Transactions {
		if t.Hash == nil || r.txs[*t.Hash] {
			return readBlock{}, fmt.Errorf("%w: block %d has a transaction twice, or one without hash", ErrInconsistent, number)
		}
		r.txs[*t.Hash] = true
		if t.Value == nil || t.Value.ToInt().Sign() == 0 {
			continue // some second-layer types have none
		}
		if t.From == nil {
			return readBlock{}, fmt.Errorf("%w: transaction %s has no sender", ErrInconsistent, t.Hash.Hex())
		}
		r.Txs = append(r.Txs, chain.Tx{
			Hash: chain.Hash(*t.Hash), From: chain.Address(*t.From), To: (*chain.Address)(t.To), Value: t.Value.ToInt(),
		})
	}
	return r, nil
}

// Block is the canonical block at a height with its transactions and the transfers of the listed tokens, all from one
// provider. The logs are asked for by the block's hash: a node that does not have them then has to say so.
func (p *Pool) Block(ctx context.Context, number uint64) (b chain.Block, err error) {
	err = p.try(ctx, fmt.Sprintf("block %d", number), func(ctx context.Context, c *rpc.Client) error {
		blocks, err := p.blocks(ctx, c, number, number)
		if err == nil {
			b = blocks[0]
		}
		return err
	})
	return b, err
}

// Blocks are the canonical blocks of a range, both ends included and at most [MaxBlocks], in two requests to one
// provider. They are complete, and each is the parent of the next. Where a node refuses so much at once, ask for less.
func (p *Pool) Blocks(ctx context.Context, from, to uint64) (bs []chain.Block, err error) {
	if from > to || to-from >= MaxBlocks {
		return nil, fmt.Errorf("evm: blocks %d to %d: want 1 to %d at once", from, to, MaxBlocks)
	}
	err = p.try(ctx, fmt.Sprintf("blocks %d to %d", from, to), func(ctx context.Context, c *rpc.Client) (err error) {
		bs, err = p.blocks(ctx, c, from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return bs, nil
}

func (p *Pool) blocks(ctx context.Context, c *rpc.Client, from, to uint64) ([]chain.Block, error) {
	wire := make([]*wireBlock, to-from+1)
	calls := make([]rpc.BatchElem, len(wire))
	for i := range wire {
		args := []any{hexutil.EncodeUint64(from + uint64(i)), true}
		calls[i] = rpc.BatchElem{Method: "eth_getBlockByNumber", Args: args, Result: &wire[i]}
	}
	if err := callAll(ctx, c, calls); err != nil {
		return nil, err
	}
	read := make([]readBlock, len(wire))
	for i, w := range wire {
		var err error
		if read[i], err = w.read(from + uint64(i)); err != nil {
			return nil, err
		}
		if i > 0 && read[i].Parent != read[i-1].Hash {
			return nil, fmt.Errorf("%w: block %d does not follow block %d", ErrInconsistent, read[i].Number, read[i-1].Number)
		}
	}
	if err := p.addLogs(ctx, c, read); err != nil {
		return nil, err
	}
	blocks := make([]chain.Block, len(read))
	for i, r := range read {
		blocks[i] = r.Block
	}
	return blocks, nil
}

// callAll puts several calls into one request. It fails when any of them does, an answer that is left out included.
func callAll(ctx context.Context, c *rpc.Client, calls []rpc.BatchElem) error {
	switch len(calls) {
	case 0:
		return nil
	case 1: // not every node takes batches
		return c.CallContext(ctx, calls[0].Result, calls[0].Method, calls[0].Args...)
	}
	if err := c.BatchCallContext(ctx, calls); err != nil {
		return err
	}
	for _, call := range calls {
		if errors.Is(call.Error, rpc.ErrMissingBatchResponse) {
			return fmt.Errorf("%w: %s: %w", ErrInconsistent, call.Method, call.Error)
		} else if call.Error != nil {
			return call.Error
		}
	}
	return nil
}

// wireReceipt is what we read of a receipt.
type wireReceipt struct {
	TxHash    *common.Hash    `json:"transactionHash"`
	BlockHash *common.Hash    `json:"blockHash"`
	Status    *hexutil.Uint64 `json:"status"`
	Logs      []wireLog       `json:"logs"`
}

// belongs checks that a receipt is that of a transaction in a block.
func (r *wireReceipt) belongs(tx common.Hash, block chain.Hash) error {
	switch {
	case r == nil || r.TxHash == nil || r.BlockHash == nil:
		return fmt.Errorf("%w: no receipt of transaction %s, or one that names no block", ErrMissing, tx.Hex())
	case *r.TxHash != tx:
		return fmt.Errorf("%w: asked for the receipt of %s, got that of %s", ErrInconsistent, tx.Hex(), r.TxHash.Hex())
	case chain.Hash(*r.BlockHash) != block:
		return fmt.Errorf("%w: transaction %s is in block %s, not in %s",
			ErrInconsistent, tx.Hex(), r.BlockHash.Hex(), block.Hex())
	}
	return nil
}

// Succeeded reports whether a transaction of a block did what it says, by its receipt.
func (p *Pool) Succeeded(ctx context.Context, block, tx chain.Hash) (ok bool, err error) {
	err = p.try(ctx, "receipt "+tx.Hex(), func(ctx context.Context, c *rpc.Client) error {
		var r *wireReceipt
		if err := c.CallContext(ctx, &r, "eth_getTransactionReceipt", common.Hash(tx)); err != nil {
			return err
		}
		if err := r.belongs(common.Hash(tx), block); err != nil {
			return err
		}
		if r.Status == nil || *r.Status > 1 {
			return fmt.Errorf("%w: the receipt of %s has no status", ErrInconsistent, tx.Hex())
		}
		ok = *r.Status == 1
		return nil
	})
	return ok && err == nil, err
}
