package evm

import (
	"context"
	"encoding/json"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// checkRoot holds the transactions of a block against the root in its header. A block that does not fit is an error, so
// that another provider is asked. When nobody gives another one for three rounds it is read as it is, and the operator
// is told: what is missing in it, balances may still find, and a chain that stands still helps nobody.
func (p *Pool) checkRoot(ctx context.Context, n *conn, raw json.RawMessage, at chain.Ref) error {
	err := checkTransactions(raw)
	if err == nil {
		return nil
	}
	key := at.Hash
	key[0] ^= 0xff // counted apart from blocks without a transfer
	if !p.readOften(key) {
		return err
	}
	p.opts.Metrics.RPCError(p.opts.Name, n.pr.host)
	p.opts.Logger.ErrorContext(ctx, "provider.block_incomplete", "chain", p.opts.Name, "host", n.pr.host, "error", err,
		"do", "add a provider of another owner: this one leaves transactions out")
	return nil
}

// checkTransactions holds the transactions of a block against the root in its header, so that a node which leaves one
// out is found out, also by itself. It says nothing where that cannot be computed: when the header does not hash to the
// block's hash, or a transaction is of a type whose encoding is not known.
func checkTransactions(raw json.RawMessage) error {
	c, err := contentOf(raw)
	if err != nil {
		return nil
	}
	if c.checkTxs(); refuted(c.txsErr) {
		return c.txsErr
	}
	if refuted(c.withdrawalsErr) {
		return c.withdrawalsErr
	}
	return nil
}
