package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// tracesAtOnce is how many blocks are traced in one request.
	tracesAtOnce = 8
	// maxFrames bounds the calls of one block.
	maxFrames = 1 << 20
)

// addTraces gives blocks the coin that their traces tell of. It asks the provider that gave the blocks, else another
// one that traces. A block that nobody traces, or whose trace does not fit it, keeps its transactions as the source:
// nodes trace recent blocks only, and what balances tell serves then.
func (p *Pool) addTraces(ctx context.Context, n *conn, blocks []*readBlock) error {
	if !p.tracing() || len(blocks) == 0 {
		return nil
	}
	if p.traceAll(ctx, n, blocks); !n.pr.tracesNothing() {
		return ctx.Err()
	}
	up, _ := p.split()
	for _, pr := range up {
		if pr == n.pr || pr.tracesNothing() {
			continue
		}
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
			p.traceAll(ctx, n, blocks)
			return ctx.Err()
		})
		if err == nil && !pr.tracesNothing() {
			break
		}
	}
	return ctx.Err()
}

func (pr *provider) tracesNothing() bool { return pr.lacks(noDebugTrace) && pr.lacks(noBlockTrace) }

func (p *Pool) traceAll(ctx context.Context, n *conn, blocks []*readBlock) {
	for some := range slices.Chunk(blocks, tracesAtOnce) {
		if err := p.traceSome(ctx, n, some); err != nil && ctx.Err() == nil {
			p.opts.Logger.DebugContext(ctx, "provider.trace_failed", "chain", p.opts.Name, "host", n.pr.host,
				"block", some[0].Number, "error", n.pr.plain(err))
		}
	}
}

func (p *Pool) tracing() bool {
	return p.opts.Internal == "" || p.opts.Internal == "auto" || p.opts.Internal == "trace"
}

// traceSome traces blocks on one node, in the first of the two ways that it knows.
func (p *Pool) traceSome(ctx context.Context, n *conn, blocks []*readBlock) error {
	for _, way := range []struct {
		lacks trait
		call  func(b *readBlock, into *json.RawMessage) rpc.BatchElem
		coins func(b *readBlock, answer json.RawMessage) ([]chain.Coin, error)
	}{{noDebugTrace, debugTrace, debugCoins}, {noBlockTrace, blockTrace, blockCoins}} {
		if n.pr.lacks(way.lacks) {
			continue
		}
		answers, calls := make([]json.RawMessage, len(blocks)), make([]rpc.BatchElem, len(blocks))
		for i, b := range blocks {
			calls[i] = way.call(b, &answers[i])
		}
		if err := n.callAll(ctx, calls); err != nil {
			if unknownMethod(err) || errors.Is(err, rpc.ErrNoResult) {
				n.pr.learn(way.lacks, 1)
				continue
			}
			return err // it has no state that old, for example
		}
		for i, b := range blocks {
			coins, err := way.coins(b, answers[i])
			if err != nil {
				return fmt.Errorf("the trace of block %d: %w", b.Number, err)
			}
			b.Coins, b.CoinsFrom = coins, chain.FromTrace
		}
		return nil
	}
	return nil
}

func debugTrace(b *readBlock, into *json.RawMessage) rpc.BatchElem {
	options := map[string]any{"tracer": "callTracer", "timeout": "8s"}
	return rpc.BatchElem{Method: "debug_traceBlockByHash", Args: []any{common.Hash(b.Hash), options}, Result: into}
}

func blockTrace(b *readBlock, into *json.RawMessage) rpc.BatchElem {
	return rpc.BatchElem{Method: "trace_block", Args: []any{hexutil.EncodeUint64(b.Number)}, Result: into}
}

// frame is a call of geth's callTracer.
type frame struct {
	Type  string          `json:"type"`
	From  optionalAddress `json:"from"`
	To    optionalAddress `json:"to"`
	Value *bigQuantity    `json:"value"`
	Error string          `json:"error"`
	Calls []frame         `json:"calls"`
}

// debugCoins reads an answer to debug_traceBlockByHash. Every transaction of the block must be in it.
func debugCoins(b *readBlock, answer json.RawMessage) ([]chain.Coin, error) {
	var traced []struct {
		TxHash *common.Hash    `json:"txHash"`
		Result *frame          `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(answer, &traced); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	order := make([]common.Hash, len(b.position))
	for hash, i := range b.position {
		order[i] = hash
	}
	coins, have := []chain.Coin{}, make(map[common.Hash]bool, len(order))
	for i, t := range traced {
		hash := common.Hash{}
		switch {
		case t.TxHash != nil:
			hash = *t.TxHash
		case i < len(order):
			hash = order[i]
		}
		if _, listed := b.position[hash]; !listed {
			continue // Polygon traces its state sync as well
		}
		if t.Result == nil {
			return nil, fmt.Errorf("%w: transaction %s was not traced: %.100s", ErrInconsistent, hash.Hex(), t.Error)
		}
		have[hash] = true
		coins = t.Result.walk(chain.Hash(hash), coins, new(int))
	}
	if len(have) != len(order) {
		return nil, fmt.Errorf("%w: %d of %d transactions were traced", ErrInconsistent, len(have), len(order))
	}
	return coins, nil
}

// walk adds the movements of a call and of those that it makes, in the order in which they happen. A call that failed
// moved nothing, and neither did those below it.
func (f *frame) walk(tx chain.Hash, coins []chain.Coin, frames *int) []chain.Coin {
	if *frames++; f.Error != "" || *frames > maxFrames {
		return coins
	}
	switch f.Type {
	case "CALL", "CREATE", "CREATE2", "SELFDESTRUCT":
		if f.Value != nil && f.From.Address != nil && f.To.Address != nil {
			coins = appendCoin(coins, tx, *f.From.Address, *f.To.Address, f.Value.big())
		}
	}
	for i := range f.Calls {
		coins = f.Calls[i].walk(tx, coins, frames)
	}
	return coins
}

func appendCoin(coins []chain.Coin, tx chain.Hash, from, to common.Address, value *big.Int) []chain.Coin {
	if value.Sign() == 0 || from == to {
		return coins
	}
	return append(coins, chain.Coin{
		TxHash: tx, From: chain.Address(from), To: chain.Address(to), Value: value, LogIndex: -1,
	})
}

// blockCoins reads an answer to trace_block, a flat list in the order of the calls. Each entry names its place in the
// tree of its transaction; what lies below a failed one did not happen.
func blockCoins(b *readBlock, answer json.RawMessage) ([]chain.Coin, error) {
	var traced []parityTrace
	if err := json.Unmarshal(answer, &traced); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	coins, have := []chain.Coin{}, make(map[common.Hash]bool)
	failed := make(map[common.Hash][][]int)
	for _, t := range traced {
		if t.BlockHash == nil || *t.BlockHash != common.Hash(b.Hash) {
			return nil, fmt.Errorf("%w: it is of another block", ErrInconsistent)
		}
		if t.TxHash == nil {
			continue // a reward
		}
		if _, listed := b.position[*t.TxHash]; !listed {
			continue
		}
		have[*t.TxHash] = true
		below := func(at []int) bool { return len(at) <= len(t.At) && slices.Equal(at, t.At[:len(at)]) }
		if t.Error != "" {
			failed[*t.TxHash] = append(failed[*t.TxHash], t.At)
		}
		if slices.ContainsFunc(failed[*t.TxHash], below) {
			continue
		}
		coins = t.add(coins)
	}
	if len(have) != len(b.position) {
		return nil, fmt.Errorf("%w: %d of %d transactions were traced", ErrInconsistent, len(have), len(b.position))
	}
	return coins, nil
}

// parityTrace is an entry of trace_block.
type parityTrace struct {
	Type      string       `json:"type"`
	BlockHash *common.Hash `json:"blockHash"`
	TxHash    *common.Hash `json:"transactionHash"`
	At        []int        `json:"traceAddress"`
	Error     string       `json:"error"`
	Action    struct {
		CallType string          `json:"callType"`
		From     optionalAddress `json:"from"`
		To       optionalAddress `json:"to"`
		Value    *bigQuantity    `json:"value"`
		Address  optionalAddress `json:"address"` // of a contract that destroys itself
		Refund   optionalAddress `json:"refundAddress"`
		Balance  *bigQuantity    `json:"balance"`
	} `json:"action"`
	Result *struct {
		Address optionalAddress `json:"address"`
	} `json:"result"`
}

func (t parityTrace) add(coins []chain.Coin) []chain.Coin {
	from, to, value := t.Action.From.Address, t.Action.To.Address, t.Action.Value
	switch {
	case t.Type == "suicide" || t.Type == "selfdestruct":
		from, to, value = t.Action.Address.Address, t.Action.Refund.Address, t.Action.Balance
	case t.Type == "create" && t.Result != nil:
		to = t.Result.Address.Address
	case t.Type != "call" || t.Action.CallType != "call":
		return coins
	}
	if from == nil || to == nil || value == nil {
		return coins
	}
	return appendCoin(coins, chain.Hash(*t.TxHash), *from, *to, value.big())
}
