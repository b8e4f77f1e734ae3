package evm

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// checkRoot holds the transactions of a block against the root in its header. A block that does not fit is an error, so
// that another provider is asked. When nobody gives another one for three rounds it is read as it is, and the operator
// is told: what is missing in it, balances may still find, and a chain that stands still helps nobody.
func (p *Pool) checkRoot(ctx context.Context, n *conn, raw json.RawMessage, at chain.Ref) error {
	err := checkTransactions(raw, at.Number)
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
// block's hash in Ethereum's own encoding, or a transaction is of a type that go-ethereum does not know or does not
// hash to the hash that the block gives it, as the pseudo-transactions of some chains do not.
func checkTransactions(raw json.RawMessage, number uint64) error {
	var header types.Header
	var body struct {
		Hash         common.Hash       `json:"hash"`
		Transactions []json.RawMessage `json:"transactions"`
	}
	if json.Unmarshal(raw, &header) != nil || json.Unmarshal(raw, &body) != nil || header.Hash() != body.Hash {
		return nil
	}
	txs := make(types.Transactions, len(body.Transactions))
	for i, text := range body.Transactions {
		var hash struct {
			Hash common.Hash `json:"hash"`
		}
		txs[i] = new(types.Transaction)
		if json.Unmarshal(text, &hash) != nil || txs[i].UnmarshalJSON(text) != nil || txs[i].Hash() != hash.Hash {
			return nil
		}
	}
	if root := types.DeriveSha(txs, trie.NewStackTrie(nil)); root != header.TxHash {
		return fmt.Errorf("%w: the %d transactions of block %d have the root %s, and its header has %s",
			ErrInconsistent, len(txs), number, root, header.TxHash)
	}
	return nil
}
