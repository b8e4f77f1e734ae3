package evm

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

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

// logs reads the transfers of the listed tokens in a block. The header's bloom filter says for certain when there are
// none; when it says that there may be some and the node has none, a second look decides (research: a node that lags or
// has pruned answers with an empty list).
func (p *Pool) logs(ctx context.Context, c *rpc.Client, h chain.Header, bloom types.Bloom, txs map[common.Hash]bool) ([]chain.Log, error) {
	if !p.mayHold(bloom) {
		return nil, nil
	}
	var wire []wireLog
	query := map[string]any{"blockHash": common.Hash(h.Hash), "address": p.tokens, "topics": []any{transferTopic}}
	if err := c.CallContext(ctx, &wire, "eth_getLogs", query); err != nil {
		return nil, err
	}
	if len(wire) == 0 {
		var err error
		if wire, err = p.secondLook(ctx, c, h, query); err != nil {
			return nil, err
		}
	}
	return p.transfers(h, wire, txs)
}

// mayHold reports whether a block with this bloom filter may hold a transfer of a listed token.
func (p *Pool) mayHold(bloom types.Bloom) bool {
	if !bloom.Test(transferTopic.Bytes()) {
		return false
	}
	for _, t := range p.tokens {
		if bloom.Test(t.Bytes()) {
			return true
		}
	}
	return false
}

// secondLook asks for the receipts of the block, which are complete or missing, never in part. A node without that method
// is asked for the logs again, together with every other provider that has the block.
func (p *Pool) secondLook(ctx context.Context, c *rpc.Client, h chain.Header, query map[string]any) ([]wireLog, error) {
	var receipts []struct {
		BlockHash *common.Hash `json:"blockHash"`
		Logs      []wireLog    `json:"logs"`
	}
	err := c.CallContext(ctx, &receipts, "eth_getBlockReceipts", common.Hash(h.Hash))
	if err == nil && receipts == nil {
		return nil, fmt.Errorf("%w: no receipts for block %d", ErrMissing, h.Number)
	}
	if err == nil {
		var found []wireLog
		for _, r := range receipts {
			if r.BlockHash == nil || chain.Hash(*r.BlockHash) != h.Hash {
				return nil, fmt.Errorf("%w: receipts of another block", ErrInconsistent)
			}
			for _, l := range r.Logs {
				if l.Address != nil && p.listed(*l.Address) && len(l.Topics) > 0 && l.Topics[0] == transferTopic {
					found = append(found, l)
				}
			}
		}
		return found, nil
	}
	if !unsupported(err) {
		return nil, err
	}
	for _, pr := range p.providers {
		var wire []wireLog
		err := p.ask(ctx, pr, func(ctx context.Context, c *rpc.Client) error {
			return c.CallContext(ctx, &wire, "eth_getLogs", query)
		})
		if err == nil && len(wire) > 0 {
			return wire, nil
		}
	}
	return nil, nil
}

func (p *Pool) listed(a common.Address) bool {
	for _, t := range p.tokens {
		if t == a {
			return true
		}
	}
	return false
}

// transfers checks that the logs are the block's and decodes them. An event of the same topic with another shape (an NFT's
// has four topics) is no ERC-20 transfer and is left out.
func (p *Pool) transfers(h chain.Header, wire []wireLog, txs map[common.Hash]bool) ([]chain.Log, error) {
	var logs []chain.Log
	seen := make(map[uint64]bool, len(wire))
	for _, l := range wire {
		switch {
		case l.Address == nil || l.BlockHash == nil || l.TxHash == nil || l.Index == nil:
			return nil, fmt.Errorf("%w: a log without address, block, transaction or index", ErrInconsistent)
		case l.Removed || chain.Hash(*l.BlockHash) != h.Hash:
			return nil, fmt.Errorf("%w: a log of block %s among those of %s", ErrInconsistent, l.BlockHash.Hex(), h.Hash.Hex())
		case !txs[*l.TxHash]:
			return nil, fmt.Errorf("%w: a log of transaction %s, which is not in the block", ErrInconsistent, l.TxHash.Hex())
		case seen[uint64(*l.Index)]:
			return nil, fmt.Errorf("%w: log index %d twice", ErrInconsistent, uint64(*l.Index))
		case !p.listed(*l.Address) || len(l.Topics) == 0 || l.Topics[0] != transferTopic:
			return nil, fmt.Errorf("%w: a log that was not asked for", ErrInconsistent)
		}
		seen[uint64(*l.Index)] = true
		if len(l.Topics) != 3 || len(l.Data) != 32 {
			continue
		}
		logs = append(logs, chain.Log{
			TxHash: chain.Hash(*l.TxHash), LogIndex: int(*l.Index), Contract: chain.Address(*l.Address),
			From: chain.Address(common.BytesToAddress(l.Topics[1].Bytes())), To: chain.Address(common.BytesToAddress(l.Topics[2].Bytes())),
			Value: new(big.Int).SetBytes(l.Data),
		})
	}
	return logs, nil
}
