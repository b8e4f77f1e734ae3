package evm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Errors of an answer that cannot be believed.
var (
	ErrMissing      = errors.New("the node does not have the block")
	ErrInconsistent = errors.New("the answer contradicts itself")
)

// transferTopic is keccak256("Transfer(address,address,uint256)").
var transferTopic = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

// wireHeader holds what we read of a header; wireBlock adds the transactions, of any type a chain may have.
type wireHeader struct {
	Number    *hexutil.Uint64 `json:"number"`
	Hash      *common.Hash    `json:"hash"`
	Parent    *common.Hash    `json:"parentHash"`
	Timestamp *hexutil.Uint64 `json:"timestamp"`
	Bloom     *types.Bloom    `json:"logsBloom"`
}

type wireBlock struct {
	wireHeader
	Transactions []struct {
		Hash  *common.Hash    `json:"hash"`
		From  *common.Address `json:"from"`
		To    *common.Address `json:"to"`
		Value *hexutil.Big    `json:"value"`
	} `json:"transactions"`
}

func (w *wireHeader) header() (chain.Header, error) {
	if w.Number == nil || w.Hash == nil || w.Parent == nil || w.Timestamp == nil {
		return chain.Header{}, fmt.Errorf("%w: a block without number, hash, parentHash or timestamp", ErrInconsistent)
	}
	return chain.Header{
		Number: uint64(*w.Number), Hash: chain.Hash(*w.Hash), Parent: chain.Hash(*w.Parent), Time: time.Unix(int64(*w.Timestamp), 0).UTC(),
	}, nil
}

// Head is the newest block that any provider knows. All are asked at once, so that one that lags does not hold us back.
func (p *Pool) Head(ctx context.Context) (chain.Header, error) {
	type answer struct {
		head chain.Header
		err  error
	}
	answers := make([]answer, len(p.providers))
	var wg sync.WaitGroup
	for i, pr := range p.providers {
		wg.Go(func() {
			answers[i].err = p.ask(ctx, pr, func(ctx context.Context, c *rpc.Client) (err error) {
				answers[i].head, err = header(ctx, c, "latest")
				return err
			})
		})
	}
	wg.Wait()
	var best chain.Header
	var errs []error
	for i, a := range answers {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.providers[i].host, a.err))
		} else if best.Time.IsZero() || a.head.Number > best.Number {
			best = a.head
		}
	}
	if best.Time.IsZero() {
		return best, fmt.Errorf("evm: %s head: %w", p.o.Name, errors.Join(errs...))
	}
	return best, nil
}

// Header is the canonical block at a height.
func (p *Pool) Header(ctx context.Context, number uint64) (h chain.Header, err error) {
	err = p.try(ctx, fmt.Sprintf("header %d", number), func(ctx context.Context, c *rpc.Client) error {
		h, err = header(ctx, c, hexutil.EncodeUint64(number))
		if err == nil && h.Number != number {
			return fmt.Errorf("%w: asked for block %d, got %d", ErrInconsistent, number, h.Number)
		}
		return err
	})
	return h, err
}

// header asks one node for the header at a number or a tag.
func header(ctx context.Context, c *rpc.Client, at string) (chain.Header, error) {
	var w *wireHeader
	if err := c.CallContext(ctx, &w, "eth_getBlockByNumber", at, false); err != nil {
		return chain.Header{}, err
	}
	if w == nil {
		return chain.Header{}, ErrMissing
	}
	return w.header()
}

// Block is the canonical block at a height with its transactions and the transfers of the listed tokens, all from one
// provider. The logs are asked for by the block's hash: a node that does not have them then has to say so.
func (p *Pool) Block(ctx context.Context, number uint64) (b chain.Block, err error) {
	err = p.try(ctx, fmt.Sprintf("block %d", number), func(ctx context.Context, c *rpc.Client) error {
		b, err = p.block(ctx, c, number)
		return err
	})
	return b, err
}

func (p *Pool) block(ctx context.Context, c *rpc.Client, number uint64) (chain.Block, error) {
	var w *wireBlock
	if err := c.CallContext(ctx, &w, "eth_getBlockByNumber", hexutil.EncodeUint64(number), true); err != nil {
		return chain.Block{}, err
	}
	if w == nil {
		return chain.Block{}, ErrMissing
	}
	h, err := w.header()
	if err != nil {
		return chain.Block{}, err
	}
	if h.Number != number || w.Bloom == nil {
		return chain.Block{}, fmt.Errorf("%w: asked for block %d, got %d, bloom %t", ErrInconsistent, number, h.Number, w.Bloom != nil)
	}
	b := chain.Block{Header: h, Txs: make([]chain.Tx, 0, len(w.Transactions))}
	txs := make(map[common.Hash]bool, len(w.Transactions))
	for _, t := range w.Transactions {
		if t.Hash == nil || t.From == nil || txs[*t.Hash] {
			return chain.Block{}, fmt.Errorf("%w: block %d has a transaction twice, or one without hash or sender", ErrInconsistent, number)
		}
		txs[*t.Hash] = true
		if t.Value == nil || t.Value.ToInt().Sign() == 0 {
			continue // some second-layer types have none
		}
		b.Txs = append(b.Txs, chain.Tx{Hash: chain.Hash(*t.Hash), From: chain.Address(*t.From), To: (*chain.Address)(t.To), Value: t.Value.ToInt()})
	}
	if b.Logs, err = p.logs(ctx, c, h, *w.Bloom, txs); err != nil {
		return chain.Block{}, err
	}
	return b, nil
}

// Succeeded reports whether a transaction of a block did what it says, by its receipt.
func (p *Pool) Succeeded(ctx context.Context, block, tx chain.Hash) (ok bool, err error) {
	err = p.try(ctx, "receipt "+tx.Hex(), func(ctx context.Context, c *rpc.Client) error {
		var r *struct {
			BlockHash *common.Hash    `json:"blockHash"`
			Status    *hexutil.Uint64 `json:"status"`
		}
		if err := c.CallContext(ctx, &r, "eth_getTransactionReceipt", common.Hash(tx)); err != nil {
			return err
		}
		if r == nil || r.BlockHash == nil || r.Status == nil {
			return fmt.Errorf("%w: no receipt, or one without block and status", ErrMissing)
		}
		if chain.Hash(*r.BlockHash) != block {
			return fmt.Errorf("%w: the transaction is in block %s now, not in %s", ErrInconsistent, r.BlockHash.Hex(), block.Hex())
		}
		ok = *r.Status == 1
		return nil
	})
	return ok, err
}
