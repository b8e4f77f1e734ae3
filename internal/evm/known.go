package evm

import (
	"context"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Known is what was found out about the chain, for [Pool.Recall] of another process.
func (p *Pool) Known() chain.Known {
	parts := p.proofs.parts()
	p.mu.Lock()
	defer p.mu.Unlock()
	return chain.Known{
		Headers: parts.Header.Works, Transactions: parts.Transactions.Works, Receipts: parts.Receipts.Works,
		WrongBloom: p.wrongBloom,
	}
}

// Recall adds what was found out before, so that a provider which no longer proves what it could prove is found out
// after a restart too.
func (p *Pool) Recall(k chain.Known) {
	p.mu.Lock()
	p.wrongBloom = p.wrongBloom || k.WrongBloom
	p.mu.Unlock()
	if p.opts.Proofs == ProofsOff {
		return
	}
	p.proofs.mu.Lock()
	defer p.proofs.mu.Unlock()
	for part, works := range map[*ProofPart]bool{
		&p.proofs.now.Header: k.Headers, &p.proofs.now.Transactions: k.Transactions, &p.proofs.now.Receipts: k.Receipts,
	} {
		if works {
			*part = ProofPart{Works: true}
		}
	}
}

// bloomsLie reports whether a bloom filter of the chain was found wrong.
func (p *Pool) bloomsLie() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrongBloom
}

// heedBloom holds the filter of a block that was read against the transfers of listed tokens that it holds. Where
// headers hash to the hashes of blocks, a filter that its block's hash does not cover is the node's, not the chain's.
func (p *Pool) heedBloom(ctx context.Context, n *conn, b *readBlock) {
	if p.proofs.parts().Header.Works && (b.content == nil || b.content.headerErr != nil) {
		return
	}
	excluded := func(l chain.Log) bool { return !l.Doubtful && p.bloomLacks(b, l) }
	if p.bloomsLie() || !slices.ContainsFunc(b.Logs, excluded) {
		return
	}
	p.mu.Lock()
	p.wrongBloom = true
	p.mu.Unlock()
	p.opts.Logger.WarnContext(ctx, "chain.bloom_wrong", "chain", p.opts.Name, "host", n.pr.host, "block", b.Number,
		"hash", b.Hash.Hex(), "do", "nothing: its filters say nothing from here on, and its last 24 hours are read again")
}

// bloomLacks reports whether the block's bloom filter excludes a transfer that the block holds.
func (p *Pool) bloomLacks(b *readBlock, l chain.Log) bool {
	return !b.blind() && (!b.bloom.Test(transferTopic.Bytes()) || !b.bloom.Test(l.Contract[:]))
}
