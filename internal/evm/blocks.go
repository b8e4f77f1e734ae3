package evm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// MaxBlocks is the most blocks that [Pool.Blocks] reads at once.
const MaxBlocks = 50

// readBlock is a block without its logs, and what they are held against.
type readBlock struct {
	chain.Block
	bloom    *types.Bloom        // nil when the node gives none
	position map[common.Hash]int // of every transaction, also those that carry no money
	content  *content            // what the block's hash covers; nil when that is not to be proven
	more     []wireLog           // logs that its receipts hold, beside those of the list of logs
}

// read checks a block and keeps the transactions that carry money.
func (w *wireBlock) read(chainID, number uint64) (readBlock, error) {
	if w == nil {
		return readBlock{}, ErrMissing
	}
	h, err := w.header()
	if err != nil {
		return readBlock{}, err
	}
	if h.Number != number {
		return readBlock{}, fmt.Errorf("%w: asked for block %d, got %d", ErrInconsistent, number, h.Number)
	}
	if w.Transactions == nil && !w.empty() {
		return readBlock{}, fmt.Errorf("%w: block %d comes without its transactions", ErrInconsistent, number)
	}
	r := readBlock{
		Block: chain.Block{Header: h, Withdrawals: w.withdrawals(chainID)}, bloom: w.Bloom.Bloom,
		position: make(map[common.Hash]int, len(w.Transactions)),
	}
	for i, t := range w.Transactions {
		if t.Hash == nil {
			return readBlock{}, fmt.Errorf("%w: transaction %d of block %d has no hash", ErrInconsistent, i, number)
		}
		if _, twice := r.position[*t.Hash]; twice {
			return readBlock{}, fmt.Errorf("%w: block %d lists transaction %s twice", ErrInconsistent, number, t.Hash.Hex())
		}
		r.position[*t.Hash] = i
		if t.Value == nil || t.Value.big().Sign() == 0 {
			continue // some second-layer types have none
		}
		tx := chain.Tx{Hash: chain.Hash(*t.Hash), To: (*chain.Address)(t.To.Address), Value: t.Value.big()}
		if t.From.Address != nil { // system transactions of some chains have no sender
			tx.From = chain.Address(*t.From.Address)
		}
		r.Txs = append(r.Txs, tx)
	}
	return r, nil
}

// Block is the canonical block at a height with its transactions and the transfers of the listed tokens, all from one
// provider. That a block holds none is confirmed by its receipts or by a second provider, see [Pool.Blocks].
func (p *Pool) Block(ctx context.Context, number uint64) (b chain.Block, err error) {
	err = p.try(ctx, fmt.Sprintf("block %d", number), func(ctx context.Context, n *conn) error {
		blocks, err := p.blocks(ctx, n, number, number)
		if err == nil {
			b = blocks[0]
		}
		return err
	})
	return b, err
}

// Blocks are the canonical blocks of a range, both ends included and at most [MaxBlocks], from one provider. They are
// complete, and each is the parent of the next.
//
// A block that holds no transfer of a listed token is believed only when its receipts hold none either, or when a
// second provider says so too. A bloom filter that excludes the tokens is not enough: some chains leave bits out.
func (p *Pool) Blocks(ctx context.Context, from, to uint64) (bs []chain.Block, err error) {
	if from > to || to-from >= MaxBlocks {
		return nil, fmt.Errorf("evm: blocks %d to %d: want 1 to %d at once", from, to, MaxBlocks)
	}
	err = p.try(ctx, fmt.Sprintf("blocks %d to %d", from, to), func(ctx context.Context, n *conn) (err error) {
		bs, err = p.blocks(ctx, n, from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return bs, nil
}

func (p *Pool) blocks(ctx context.Context, n *conn, from, to uint64) ([]chain.Block, error) {
	read, told, err := p.readTip(ctx, n, from, to)
	if err == nil && read == nil {
		read, err = p.readBlocks(ctx, n, from, to)
	}
	if err != nil {
		return nil, err
	}
	if err := p.addLogs(ctx, n, read, told); err != nil {
		return nil, err
	}
	blocks := make([]chain.Block, len(read))
	for i, r := range read {
		blocks[i] = r.Block
		blocks[i].Provider = n.pr.name
	}
	return blocks, nil
}

// readTip reads one block and its logs in one request, which is all that a block at the tip of a chain waits for.
// It reads nothing where the receipts are read anyway, or where the node does not answer so: then the block and its
// logs are asked for one after the other.
func (p *Pool) readTip(
	ctx context.Context, n *conn, from, to uint64,
) (read []readBlock, told []logList, err error) {
	if from != to || p.opts.Proofs == ProofsAll || n.pr.limit(batchSize) < 2 || n.pr.lacks(noTipRead) {
		return nil, nil, nil
	}
	var text json.RawMessage
	var logs []wireLog
	number := hexutil.EncodeUint64(from)
	query := p.logQuery(map[string]any{"fromBlock": number, "toBlock": number})
	err = n.callAll(ctx, []rpc.BatchElem{
		{Method: "eth_getBlockByNumber", Args: []any{number, true}, Result: &text},
		{Method: "eth_getLogs", Args: []any{query}, Result: &logs},
	})
	switch {
	case err != nil && refusal(err):
		n.pr.learn(noTipRead, 1)
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	if read, err = p.parseBlocks(ctx, n, []json.RawMessage{text}, from); err != nil {
		return nil, nil, err
	}
	if told = p.sortLogs([]*readBlock{&read[0]}, logs); told[0].doubtful {
		told = nil // the list by the block's hash may be better
	}
	return read, told, nil
}

// readBlocks reads consecutive blocks with their transactions and without their logs.
func (p *Pool) readBlocks(ctx context.Context, n *conn, from, to uint64) ([]readBlock, error) {
	raw := make([]json.RawMessage, to-from+1)
	calls := make([]rpc.BatchElem, len(raw))
	for i := range raw {
		args := []any{hexutil.EncodeUint64(from + uint64(i)), true}
		calls[i] = rpc.BatchElem{Method: "eth_getBlockByNumber", Args: args, Result: &raw[i]}
	}
	if err := n.callAll(ctx, calls); err != nil {
		return nil, err
	}
	return p.parseBlocks(ctx, n, raw, from)
}

// parseBlocks checks consecutive blocks that a node gave.
func (p *Pool) parseBlocks(ctx context.Context, n *conn, raw []json.RawMessage, from uint64) ([]readBlock, error) {
	read := make([]readBlock, len(raw))
	var bad error // every block of the range is looked at, so that each is counted as read
	for i, text := range raw {
		var w *wireBlock
		err := json.Unmarshal(text, &w)
		if err != nil {
			return nil, fmt.Errorf("%w: block %d: %w", ErrInconsistent, from+uint64(i), err)
		}
		if read[i], err = w.read(p.opts.ChainID, from+uint64(i)); err != nil {
			return nil, err
		}
		read[i].content, err = p.checkRoot(ctx, n, text, read[i].Ref())
		bad = cmp.Or(bad, err)
		if i > 0 {
			if err := chain.Linked(read[i-1].Ref(), read[i].Header); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
			}
		}
	}
	if bad != nil {
		return nil, bad
	}
	return read, nil
}
