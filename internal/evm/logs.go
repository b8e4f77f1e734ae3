package evm

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// transferTopic is keccak256("Transfer(address,address,uint256)").
var transferTopic = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

// wireLog is what we read of a log.
type wireLog struct {
	Address   *common.Address `json:"address"`
	Topics    []common.Hash   `json:"topics"`
	Data      hexutil.Bytes   `json:"data"`
	BlockHash *common.Hash    `json:"blockHash"`
	TxHash    *common.Hash    `json:"transactionHash"`
	Index     *hexutil.Uint64 `json:"logIndex"`
	Removed   bool            `json:"removed"`
}

// transfer decodes a log that has address, transaction and index, if it is an ERC-20 transfer.
func (l wireLog) transfer() (chain.Log, bool) {
	if len(l.Topics) != 3 || l.Topics[0] != transferTopic || len(l.Data) != 32 || *l.Index > math.MaxInt32 {
		return chain.Log{}, false
	}
	return chain.Log{
		TxHash: chain.Hash(*l.TxHash), LogIndex: int(*l.Index), Contract: chain.Address(*l.Address),
		From:  chain.Address(common.BytesToAddress(l.Topics[1].Bytes())),
		To:    chain.Address(common.BytesToAddress(l.Topics[2].Bytes())),
		Value: new(big.Int).SetBytes(l.Data),
	}, true
}

// addLogs reads the transfers of the listed tokens in some blocks, in one request. A header's bloom filter says for
// certain when there are none; when it says that there may be some and the node has none, the receipts decide: a node
// that lags or has pruned answers with an empty list.
func (p *Pool) addLogs(ctx context.Context, c *rpc.Client, blocks []readBlock) error {
	var asked []*readBlock
	var calls []rpc.BatchElem
	wire := make([][]wireLog, len(blocks))
	for i := range blocks {
		b := &blocks[i]
		if !p.mayHold(b) {
			continue
		}
		query := map[string]any{"blockHash": common.Hash(b.Hash), "address": p.tokens, "topics": []any{transferTopic}}
		calls = append(calls, rpc.BatchElem{Method: "eth_getLogs", Args: []any{query}, Result: &wire[len(asked)]})
		asked = append(asked, b)
	}
	if err := callAll(ctx, c, calls); err != nil {
		return err
	}
	for i, b := range asked {
		logs := wire[i]
		if logs == nil {
			return fmt.Errorf("%w: no list of logs for block %d", ErrMissing, b.Number)
		}
		if len(logs) == 0 && !b.blind() {
			var err error
			if logs, err = p.logsOfReceipts(ctx, c, b); err != nil {
				return err
			}
		}
		var err error
		if b.Logs, err = p.transfers(b, logs); err != nil {
			return err
		}
	}
	return nil
}

// blind reports whether the bloom filter says nothing: some chains leave it zero, whatever their blocks hold.
func (b *readBlock) blind() bool { return b.bloom == types.Bloom{} }

// mayHold reports whether a block may hold a transfer of a listed token.
func (p *Pool) mayHold(b *readBlock) bool {
	if len(p.tokens) == 0 {
		return false
	}
	if b.blind() {
		return len(b.txs) > 0
	}
	listed := func(t common.Address) bool { return b.bloom.Test(t.Bytes()) }
	return b.bloom.Test(transferTopic.Bytes()) && slices.ContainsFunc(p.tokens, listed)
}

// logsOfReceipts reads the transfers of the listed tokens out of the receipts of every transaction of a block. Those
// that the node does not give together it is asked for one by one; none may be missing.
func (p *Pool) logsOfReceipts(ctx context.Context, c *rpc.Client, b *readBlock) ([]wireLog, error) {
	var receipts []*wireReceipt
	if err := c.CallContext(ctx, &receipts, "eth_getBlockReceipts", common.Hash(b.Hash)); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		receipts = nil // not every node knows the method
	}
	have := make(map[common.Hash]bool, len(receipts))
	found := []wireLog{}
	take := func(r *wireReceipt, tx common.Hash) error {
		if err := r.belongs(tx, b.Hash); err != nil {
			return err
		}
		if have[tx] {
			return fmt.Errorf("%w: two receipts of transaction %s", ErrInconsistent, tx.Hex())
		}
		have[tx] = true
		for _, l := range r.Logs {
			if l.Address != nil && p.listed[*l.Address] && len(l.Topics) > 0 && l.Topics[0] == transferTopic {
				found = append(found, l)
			}
		}
		return nil
	}
	for _, r := range receipts {
		var tx common.Hash
		if r != nil && r.TxHash != nil {
			tx = *r.TxHash
		}
		if err := take(r, tx); err != nil {
			return nil, err
		}
	}
	var missing []common.Hash
	for tx := range b.txs {
		if !have[tx] {
			missing = append(missing, tx)
		}
	}
	for some := range slices.Chunk(missing, MaxBlocks) {
		single := make([]*wireReceipt, len(some))
		calls := make([]rpc.BatchElem, len(some))
		for i, tx := range some {
			calls[i] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{tx}, Result: &single[i]}
		}
		if err := callAll(ctx, c, calls); err != nil {
			return nil, err
		}
		for i, tx := range some {
			if err := take(single[i], tx); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// transfers checks that the logs are the block's and decodes them, in the order of the block. An event of the same
// topic with another shape (an NFT's has four topics) is no ERC-20 transfer and is left out.
func (p *Pool) transfers(b *readBlock, wire []wireLog) ([]chain.Log, error) {
	var logs []chain.Log
	seen := make(map[uint64]bool, len(wire))
	for _, l := range wire {
		switch {
		case l.Address == nil || l.BlockHash == nil || l.TxHash == nil || l.Index == nil || *l.Index > math.MaxInt32:
			return nil, fmt.Errorf("%w: a log without address, block, transaction or a sane index", ErrInconsistent)
		case l.Removed || chain.Hash(*l.BlockHash) != b.Hash:
			return nil, fmt.Errorf("%w: a log of block %s, or a removed one, among those of %s",
				ErrInconsistent, l.BlockHash.Hex(), b.Hash)
		case !b.txs[*l.TxHash]:
			return nil, fmt.Errorf("%w: a log of transaction %s, which is not in the block", ErrInconsistent, l.TxHash.Hex())
		case seen[uint64(*l.Index)]:
			return nil, fmt.Errorf("%w: log index %d twice", ErrInconsistent, uint64(*l.Index))
		case !p.listed[*l.Address] || len(l.Topics) == 0 || l.Topics[0] != transferTopic:
			return nil, fmt.Errorf("%w: a log that was not asked for", ErrInconsistent)
		case !b.blind() && !b.bloom.Test(l.Address.Bytes()):
			return nil, fmt.Errorf("%w: a log of %s, which the block's bloom filter excludes", ErrInconsistent, l.Address.Hex())
		}
		seen[uint64(*l.Index)] = true
		if transfer, ok := l.transfer(); ok {
			logs = append(logs, transfer)
		}
	}
	slices.SortFunc(logs, func(a, b chain.Log) int { return cmp.Compare(a.LogIndex, b.LogIndex) })
	return logs, nil
}
