package evm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// emptyReads is how often a block is read, each time without a transfer, before that is believed without a witness.
	emptyReads = 3
	// maxUnwitnessed bounds how many such blocks are remembered.
	maxUnwitnessed = 10_000
	// receiptsAtOnce is how many receipts are asked for in one request where the node does not give a block's together.
	receiptsAtOnce = 50
)

// errNoReceipts: the node gives no receipts at all.
var errNoReceipts = errors.New("the node gives no receipts")

// confirmEmpty holds the answer that blocks hold no transfer of a listed token against something else: a node that
// lags, that has pruned, or whose index follows a wrong bloom filter, answers with an empty list too.
//
// Where the bloom filter agrees with the answer, a second provider's list is enough, which is the cheapest to ask for.
// The receipts decide where there is no second provider, where it differs, or where the filter does not agree, and on a
// chain whose filters were once found wrong, because the lists of logs of all its nodes may follow them. Where
// neither is to be had, the block is read two more times, in later rounds of the caller.
func (p *Pool) confirmEmpty(ctx context.Context, n *conn, all, empty []*readBlock) error {
	var excluded, rest []*readBlock
	for _, b := range empty {
		if p.bloomExcludes(b) && !p.bloomsLie() {
			excluded = append(excluded, b)
		} else {
			rest = append(rest, b)
		}
	}
	disputed := make(map[*readBlock]*provider)
	if len(excluded) > 0 {
		answers, other := p.secondLists(ctx, n.pr, all)
		for _, b := range excluded {
			answer, known := answers[b]
			if known && len(answer) == 0 {
				continue
			}
			if known {
				disputed[b] = other
			}
			rest = append(rest, b)
		}
	}
	var unwitnessed error // every block of the range has to be counted as read, or a long range is never believed
	for _, b := range rest {
		err := p.confirmByReceipts(ctx, n, b, disputed[b])
		if err != nil && !errors.Is(err, ErrUnwitnessed) {
			return err
		}
		unwitnessed = cmp.Or(unwitnessed, err)
	}
	return unwitnessed
}

// confirmByReceipts takes the logs of an empty block from its receipts. Other is a provider that has logs of the block.
func (p *Pool) confirmByReceipts(ctx context.Context, n *conn, b *readBlock, other *provider) error {
	logs, err := p.logsOfReceipts(ctx, n, b)
	switch {
	case err == nil:
		b.take(p, logs)
		if len(b.Logs) == 0 && other != nil {
			return fmt.Errorf("%w: %s has transfers in block %d %s, and its logs and receipts here hold none",
				ErrDisagree, other.host, b.Number, b.Hash)
		}
		return nil
	case !errors.Is(err, errNoReceipts):
		return err
	}
	if other == nil {
		answers, _ := p.secondLists(ctx, n.pr, []*readBlock{b})
		answer, known := answers[b]
		if known && len(answer) == 0 || !known && p.readOften(b.Hash) {
			return nil
		}
	}
	return fmt.Errorf("%w: block %d %s", ErrUnwitnessed, b.Number, b.Hash)
}

// secondLists asks another healthy provider for the logs of consecutive blocks. A block of which it is unsure is
// missing from the answer.
func (p *Pool) secondLists(
	ctx context.Context, first *provider, blocks []*readBlock,
) (answers map[*readBlock][]wireLog, from *provider) {
	up, _ := p.split()
	for _, pr := range up {
		if pr == first {
			continue
		}
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
			lists, err := p.logsOf(ctx, n, blocks)
			answers = make(map[*readBlock][]wireLog, len(lists))
			for i, l := range lists {
				if !l.doubtful {
					answers[blocks[i]] = l.logs
				}
			}
			return err
		})
		if err == nil {
			return answers, pr
		}
	}
	return nil, nil
}

// readOften reports whether a block was read often enough, always without a transfer. That stays so: beside a block
// that was not, it is read again.
func (p *Pool) readOften(block chain.Hash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.unwitnessed[block]; !known && len(p.unwitnessed) >= maxUnwitnessed {
		clear(p.unwitnessed)
	}
	p.unwitnessed[block]++
	return p.unwitnessed[block] >= emptyReads
}

// logsOfReceipts reads the transfers of the listed tokens out of the receipts of every transaction of a block. Those
// that the node does not give together it is asked for one by one; none may be missing.
func (p *Pool) logsOfReceipts(ctx context.Context, n *conn, b *readBlock) ([]wireLog, error) {
	receipts, err := blockReceipts(ctx, n, b.Hash)
	if err != nil {
		return nil, err
	}
	found := []wireLog{}
	have := make(map[common.Hash]bool, len(receipts))
	take := func(r *wireReceipt, tx common.Hash) error {
		if err := r.belongs(tx, b.Hash); err != nil {
			return err
		}
		if have[tx] {
			return fmt.Errorf("%w: two receipts of transaction %s", ErrInconsistent, tx.Hex())
		}
		have[tx] = true
		for _, l := range r.Logs {
			if p.isListed(l) || p.emitter.wrote(l) {
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
	missing := slices.DeleteFunc(slices.Collect(maps.Keys(b.position)), func(tx common.Hash) bool { return have[tx] })
	for some := range slices.Chunk(missing, receiptsAtOnce) {
		single, err := singleReceipts(ctx, n, some)
		if err != nil {
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

// blockReceipts asks for the receipts of a block together; nil when the node does not give them so.
func blockReceipts(ctx context.Context, n *conn, block chain.Hash) (receipts []*wireReceipt, err error) {
	if n.pr.lacks(noBlockReceipts) {
		return nil, nil
	}
	err = n.call(ctx, &receipts, "eth_getBlockReceipts", common.Hash(block))
	switch {
	case err == nil:
		return receipts, nil
	case ctx.Err() != nil || errors.As(err, new(*throttledError)):
		return nil, err
	case unknownMethod(err):
		n.pr.learn(noBlockReceipts, 1)
	}
	return nil, nil
}

func singleReceipts(ctx context.Context, n *conn, txs []common.Hash) ([]*wireReceipt, error) {
	receipts := make([]*wireReceipt, len(txs))
	calls := make([]rpc.BatchElem, len(txs))
	for i, tx := range txs {
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{tx}, Result: &receipts[i]}
	}
	err := n.callAll(ctx, calls)
	if err != nil && unknownMethod(err) {
		return nil, fmt.Errorf("%w: %w", errNoReceipts, err)
	}
	return receipts, err
}
