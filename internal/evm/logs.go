package evm

import (
	"cmp"
	"context"
	"errors"
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

// logList is what a node answered to the question for the logs of a block.
type logList struct {
	logs  []wireLog // transfers of listed tokens, of whatever shape
	coins []wireLog // logs about the chain's own coin
	// doubtful says that the answer held something else than was asked for, or that there was none: the receipts decide.
	doubtful bool
}

// addLogs reads the transfers of the listed tokens and the movements of coin in some blocks. Told is what the node has
// listed of them already; nil when it was not asked.
func (p *Pool) addLogs(ctx context.Context, n *conn, blocks []readBlock, told []logList) error {
	pointers := make([]*readBlock, len(blocks))
	for i := range blocks {
		pointers[i] = &blocks[i]
	}
	rest, err := p.proveRead(ctx, n, pointers)
	if err != nil {
		return err
	}
	if err := p.listLogs(ctx, n, rest, told); err != nil {
		return err
	}
	for _, b := range pointers {
		p.heedBloom(ctx, n, b)
	}
	return p.completeCoins(ctx, n, pointers)
}

// listLogs reads what the node lists as the logs of some blocks.
func (p *Pool) listLogs(ctx context.Context, n *conn, pointers []*readBlock, lists []logList) error {
	if lists == nil {
		var err error
		if lists, err = p.logsOf(ctx, n, pointers); err != nil {
			return err
		}
	}
	var empty []*readBlock
	for i, b := range pointers {
		switch {
		case b.more != nil:
			b.take(p, slices.Concat(b.more, lists[i].logs, lists[i].coins))
		case lists[i].doubtful:
			logs, err := p.logsOfReceipts(ctx, n, b)
			if err != nil && (len(p.tokens) > 0 || !errors.Is(err, errNoReceipts)) {
				return err
			}
			b.take(p, logs)
		case len(lists[i].logs) == 0 && len(p.tokens) > 0:
			b.addCoins(p.emitter, lists[i].coins)
			empty = append(empty, b)
		default:
			b.addCoins(p.emitter, lists[i].coins)
			b.Logs = b.transfers(lists[i].logs)
		}
	}
	return p.confirmEmpty(ctx, n, pointers, empty)
}

// take gives a block the transfers and the coin of logs from its receipts.
func (b *readBlock) take(p *Pool, logs []wireLog) {
	var tokens []wireLog
	for _, l := range logs {
		if p.isListed(l) {
			tokens = append(tokens, l)
		}
	}
	b.Logs = b.transfers(tokens)
	if b.CoinsFrom == "" {
		b.addCoins(p.emitter, logs)
	}
}

// logsOf asks a node for the logs of consecutive blocks: of one by its hash, of several by their range, in halves where
// the node refuses a range. Providers word that refusal in too many ways to know them all, so every error of JSON-RPC
// counts as one.
func (p *Pool) logsOf(ctx context.Context, n *conn, blocks []*readBlock) ([]logList, error) {
	var lists []logList
	for len(blocks) > 0 {
		size := min(len(blocks), n.pr.limit(logRange))
		if size == 1 {
			list, err := p.logsOfOne(ctx, n, blocks[0])
			if err != nil {
				return nil, err
			}
			lists, blocks = append(lists, list), blocks[1:]
			continue
		}
		found, err := p.logsInRange(ctx, n, blocks[:size])
		switch {
		case err == nil:
			lists, blocks = append(lists, found...), blocks[size:]
		case ctx.Err() != nil || !refusal(err):
			return nil, err
		default:
			n.pr.learn(logRange, size/2)
		}
	}
	return lists, nil
}

// logsOfOne asks for the logs of a block by its hash, so that a node which does not have the block has to say so. Where
// that is refused or ignored it asks by the block's number.
func (p *Pool) logsOfOne(ctx context.Context, n *conn, b *readBlock) (logList, error) {
	if !n.pr.lacks(noLogsByHash) {
		list, err := p.getLogs(ctx, n, []*readBlock{b}, map[string]any{"blockHash": common.Hash(b.Hash)})
		switch {
		case err == nil && !list[0].doubtful:
			return list[0], nil
		case err != nil && !refusal(err):
			return logList{}, err
		case err != nil && !unsupported(err): // it does not have the block, or the answer would be too large
			return logList{doubtful: true}, nil
		}
		n.pr.learn(noLogsByHash, 1)
	}
	list, err := p.logsInRange(ctx, n, []*readBlock{b})
	if err == nil {
		return list[0], nil
	}
	if refusal(err) {
		return logList{doubtful: true}, nil
	}
	return logList{}, err
}

func (p *Pool) logsInRange(ctx context.Context, n *conn, blocks []*readBlock) ([]logList, error) {
	return p.getLogs(ctx, n, blocks, map[string]any{
		"fromBlock": hexutil.EncodeUint64(blocks[0].Number), "toBlock": hexutil.EncodeUint64(blocks[len(blocks)-1].Number),
	})
}

// getLogs makes one call and sorts the answer by block.
func (p *Pool) getLogs(ctx context.Context, n *conn, blocks []*readBlock, query map[string]any) ([]logList, error) {
	var answer []wireLog
	if err := n.call(ctx, &answer, "eth_getLogs", p.logQuery(query)); err != nil {
		return nil, err
	}
	return p.sortLogs(blocks, answer), nil
}

// logQuery adds to a question for logs which are wanted.
func (p *Pool) logQuery(query map[string]any) map[string]any {
	query["address"] = append(slices.Clone(p.tokens), p.emitter.address)
	query["topics"] = []any{transferTopic}
	if p.emitter.topic != transferTopic {
		query["topics"] = []any{[]common.Hash{transferTopic, p.emitter.topic}}
	}
	return query
}

// sortLogs sorts an answer by block. Each log is held against the hash of its block. What is none of the blocks' is
// left out, and makes the answer unsure: the node has another branch there, or does not obey the query.
func (p *Pool) sortLogs(blocks []*readBlock, answer []wireLog) []logList {
	lists := make([]logList, len(blocks))
	index := make(map[common.Hash]int, len(blocks))
	for i, b := range blocks {
		index[common.Hash(b.Hash)] = i
	}
	strange := false
	for _, l := range answer {
		coin := p.emitter.wrote(l)
		if !coin && !p.isListed(l) {
			continue
		}
		i, known := 0, l.BlockHash.v != nil
		if known {
			i, known = index[*l.BlockHash.v]
		}
		if !known || l.removed() {
			strange = true
			continue
		}
		if coin {
			lists[i].coins = append(lists[i].coins, l)
		} else {
			lists[i].logs = append(lists[i].logs, l)
		}
	}
	if strange {
		for i := range lists {
			lists[i].doubtful = true
		}
	}
	return lists
}

// isListed reports whether a log is a transfer of a listed token, of whatever shape.
func (p *Pool) isListed(l wireLog) bool { return l.isTransfer() && p.listed[*l.Address.v] }

// refusal reports whether the node answered, and what it answered is that it will not or cannot. A node that does not
// answer at all, or asks for a pause, is asked again later instead.
func refusal(err error) bool {
	var e rpc.Error
	var status rpc.HTTPError
	if errors.As(err, new(*throttledError)) {
		return false
	}
	return errors.As(err, &e) || errors.As(err, &status) && status.StatusCode/100 == 4
}

// transfers decodes logs of the block, in the block's order. An event of the same name with another shape (an NFT's has
// four topics) is not an ERC-20 transfer and is left out. A log that does not fit the block is doubtful: whether it
// counts is asked only when it pays somebody.
func (b *readBlock) transfers(wire []wireLog) []chain.Log {
	var logs []chain.Log
	at := make(map[chain.Hash]map[int]int) // transaction and log index → index in logs
	for _, l := range wire {
		t, ok := l.transfer()
		if !ok {
			continue
		}
		if _, listed := b.position[common.Hash(t.TxHash)]; !listed {
			t.Doubtful = true
		}
		of := at[t.TxHash]
		if of == nil {
			of = make(map[int]int)
			at[t.TxHash] = of
		}
		if i, twice := of[t.LogIndex]; twice && t.LogIndex >= 0 {
			if sameLog(logs[i], t) {
				continue
			}
			logs[i].Doubtful, t.Doubtful = true, true
		}
		of[t.LogIndex] = len(logs)
		logs = append(logs, t)
	}
	slices.SortStableFunc(logs, func(x, y chain.Log) int {
		return cmp.Or(cmp.Compare(b.order(x.TxHash), b.order(y.TxHash)), bytes32(x.TxHash, y.TxHash),
			cmp.Compare(x.LogIndex, y.LogIndex))
	})
	return logs
}

// order is the position of a transaction in the block; those that the block does not list come last.
func (b *readBlock) order(tx chain.Hash) int {
	if i, ok := b.position[common.Hash(tx)]; ok {
		return i
	}
	return math.MaxInt
}

func bytes32(a, b chain.Hash) int { return slices.Compare(a[:], b[:]) }

func sameLog(a, b chain.Log) bool {
	return a.Contract == b.Contract && a.From == b.From && a.To == b.To && a.Value.Cmp(b.Value) == 0
}

// transfer decodes a log if it is an ERC-20 transfer. One without a transaction or a sane index is doubtful.
func (l wireLog) transfer() (chain.Log, bool) {
	if !l.isTransfer() || len(*l.Topics.v) != 3 || l.Data.v == nil || len(*l.Data.v) != 32 {
		return chain.Log{}, false
	}
	topics := *l.Topics.v
	t := chain.Log{
		Contract: chain.Address(*l.Address.v), LogIndex: -1,
		From:  chain.Address(common.BytesToAddress(topics[1].Bytes())),
		To:    chain.Address(common.BytesToAddress(topics[2].Bytes())),
		Value: new(big.Int).SetBytes(*l.Data.v),
	}
	if l.TxHash.v != nil {
		t.TxHash = chain.Hash(*l.TxHash.v)
	}
	if l.Index.v != nil && *l.Index.v <= math.MaxInt32 {
		t.LogIndex = int(*l.Index.v)
	}
	t.Doubtful = l.TxHash.v == nil || t.LogIndex < 0
	return t, true
}

// bloomExcludes reports whether the block's bloom filter says that it holds no transfer of a listed token. A filter
// that is missing or zero says nothing: some chains leave it so, whatever their blocks hold.
func (p *Pool) bloomExcludes(b *readBlock) bool {
	if b.blind() {
		return false
	}
	listed := func(t common.Address) bool { return b.bloom.Test(t.Bytes()) }
	return !b.bloom.Test(transferTopic.Bytes()) || !slices.ContainsFunc(p.tokens, listed)
}

// blind reports whether the block's bloom filter says nothing: it is missing or zero.
func (b *readBlock) blind() bool { return b.bloom == nil || *b.bloom == (types.Bloom{}) }
