package evm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// checkRoot holds the transactions of a block against the root in its header. A block that does not fit is an error, so
// that another provider is asked. When nobody gives another one for three rounds it is read as it is, and the operator
// is told: what is missing in it, balances may still find, and a chain that stands still helps nobody.
//
// Where the block can be proven whole, its content is returned for that.
func (p *Pool) checkRoot(ctx context.Context, n *conn, raw json.RawMessage, at chain.Ref) (*content, error) {
	if p.opts.Proofs == ProofsOff {
		return nil, nil
	}
	c, err := checkTransactions(raw)
	if err == nil {
		return c, nil
	}
	key := at.Hash
	key[0] ^= 0xff // counted apart from blocks without a transfer
	if !p.readOften(key) {
		return nil, err
	}
	p.opts.Metrics.RPCError(p.opts.Name, n.pr.host)
	p.opts.Logger.ErrorContext(ctx, "provider.block_incomplete", "chain", p.opts.Name, "host", n.pr.host, "error", err,
		"do", "add a provider of another owner: this one leaves transactions out")
	return nil, nil
}

// checkTransactions holds the transactions of a block against the root in its header, so that a node which leaves one
// out is found out, also by itself. It says nothing where that cannot be computed: when the header does not hash to the
// block's hash, or a transaction is of a type whose encoding is not known.
func checkTransactions(raw json.RawMessage) (*content, error) {
	c, err := contentOf(raw)
	if err != nil {
		return nil, nil
	}
	if c.checkTxs(); refuted(c.txsErr) {
		return nil, c.txsErr
	}
	if refuted(c.withdrawalsErr) {
		return nil, c.withdrawalsErr
	}
	return c, nil
}

// proveRead holds blocks that were read against their hashes, with all their receipts, and takes their logs from those.
// It returns the blocks of which it could not, because the chain or this block has no proof. Content that contradicts
// the hash is an error; when it is read so for the third time, the operator is told and the block is read as it is:
// what it pays is doubted before it is final.
func (p *Pool) proveRead(ctx context.Context, n *conn, blocks []*readBlock) (rest []*readBlock, err error) {
	if p.opts.Proofs != ProofsAll {
		return blocks, nil
	}
	if parts := p.Proofs(ctx); !parts.Header.Works || !parts.Receipts.Works {
		return blocks, nil
	}
	var provable []*readBlock
	var contents []*content
	for _, b := range blocks {
		if b.content == nil {
			rest = append(rest, b)
			continue
		}
		provable, contents = append(provable, b), append(contents, b.content)
	}
	if err := p.completeContents(ctx, n, contents); err != nil {
		if ctx.Err() == nil && (refusal(err) || errors.Is(err, errNoReceipts)) {
			return blocks, nil
		}
		return nil, err
	}
	var unproven error
	for i, b := range provable {
		c := contents[i]
		if bad := errors.Join(c.headerErr, c.receiptsErr); bad != nil {
			key := b.Hash
			key[1] ^= 0xff // counted apart from blocks without a transfer
			if !p.readOften(key) {
				unproven = cmp.Or(unproven,
					fmt.Errorf("%w: block %d %s cannot be proven: %w", ErrInconsistent, b.Number, b.Hash, bad))
				continue
			}
			p.opts.Metrics.RPCError(p.opts.Name, n.pr.host)
			p.opts.Logger.ErrorContext(ctx, "provider.block_unproven", "chain", p.opts.Name, "host", n.pr.host,
				"block", b.Number, "hash", b.Hash.Hex(), "error", bad,
				"do", "add a provider of another owner: what this one says of the block does not hash to its hash")
			rest = append(rest, b)
			continue
		}
		logs := c.logs(p)
		if p.hasPseudo() { // some nodes have those logs in their index only
			b.more, rest = logs, append(rest, b)
			continue
		}
		b.take(p, logs)
	}
	return rest, unproven
}

// logs are the logs about money in the receipts; where a chain has entries that no root covers, theirs too.
func (c *content) logs(p *Pool) (found []wireLog) {
	take := func(r fullReceipt, tx *common.Hash) {
		for _, l := range r.Logs {
			block := common.Hash(c.ref.Hash)
			if l.TxHash.v, l.BlockHash.v = tx, &block; p.isListed(l) || p.emitter.wrote(l) {
				found = append(found, l)
			}
		}
	}
	for i, r := range c.receipts {
		take(r, c.txs[i].Hash)
	}
	if p.hasPseudo() {
		for _, r := range c.others {
			take(r, r.TxHash)
		}
	}
	return found
}
