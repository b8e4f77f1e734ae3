package evm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// probeBlocks is how many blocks with transactions are looked at to tell which proofs work on a chain, among the
	// probeDepth last final ones.
	probeBlocks = 3
	probeDepth  = 12
	// probeAgain is how long a proof that did not work is believed not to.
	probeAgain = time.Hour
	// probeStill spaces the questions whether proofs still work.
	probeStill = time.Minute
)

// ProofPart says whether one of the proofs of a block works on a chain.
type ProofPart struct {
	Works bool
	Why   string // why it does not, or that nothing was seen yet
}

// ProofParts are the proofs of a block: the header hashes to the block's hash, and transactions and receipts to the
// roots in the header.
type ProofParts struct{ Header, Transactions, Receipts ProofPart }

// proofState is what was found out about the proofs of a chain. What worked once is expected from then on.
type proofState struct {
	mu      sync.Mutex
	now     ProofParts
	looked  time.Time // when the last final blocks were last looked at
	doubted time.Time // when they were last looked at because a proof had failed
}

func (s *proofState) parts() ProofParts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// learnFrom notes which proofs a block shows to work, or why not.
func (p *Pool) learnFrom(c *content) {
	p.proofs.mu.Lock()
	defer p.proofs.mu.Unlock()
	note := func(part *ProofPart, err error, counts bool) {
		switch {
		case err == nil && counts:
			*part = ProofPart{Works: true}
		case err != nil && !part.Works:
			part.Why = err.Error()
		}
	}
	note(&p.proofs.now.Header, c.headerErr, true)
	note(&p.proofs.now.Transactions, c.txsErr, len(c.txs) > 0)
	note(&p.proofs.now.Receipts, c.receiptsErr, len(c.txs) > 0)
}

// Proofs says which proofs work on the chain. It looks at the last final blocks when it is first asked, and an hour
// later again while one of them does not.
func (p *Pool) Proofs(ctx context.Context) ProofParts {
	if p.opts.Proofs == ProofsOff {
		off := ProofPart{Why: "proofs are off in the chains file"}
		return ProofParts{off, off, off}
	}
	now := p.opts.Now()
	p.proofs.mu.Lock()
	state := p.proofs.now
	all := state.Header.Works && state.Transactions.Works && state.Receipts.Works
	due := !all && (p.proofs.looked.IsZero() || now.Sub(p.proofs.looked) >= probeAgain)
	if due {
		p.proofs.looked = now
	}
	p.proofs.mu.Unlock()
	if !due {
		return state
	}
	looked := 0
	for _, pr := range p.ranked() {
		for _, c := range p.probe(ctx, pr) {
			looked++
			p.learnFrom(c)
		}
	}
	p.proofs.mu.Lock()
	defer p.proofs.mu.Unlock()
	if looked == 0 { // nobody answered, or nothing has happened on the chain yet
		p.proofs.looked = now.Add(probeStill - probeAgain)
	}
	for _, part := range []*ProofPart{&p.proofs.now.Header, &p.proofs.now.Transactions, &p.proofs.now.Receipts} {
		if !part.Works && part.Why == "" {
			part.Why = "no block with transactions was seen yet"
		}
	}
	return p.proofs.now
}

// probe reads the last final blocks with transactions from one provider. What it does not give is left out.
func (p *Pool) probe(ctx context.Context, pr *provider) (found []*content) {
	err := p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
		newest, err := p.probeFrom(ctx, n)
		if err != nil {
			return err
		}
		for back := uint64(0); back < probeDepth && back <= newest && len(found) < probeBlocks; back++ {
			var text *wireHeader
			at := hexutil.EncodeUint64(newest - back)
			if err := n.call(ctx, &text, "eth_getBlockByNumber", at, false); err != nil {
				return err
			}
			h, err := text.header()
			if err != nil {
				return err
			}
			all, err := p.contents(ctx, n, []chain.Ref{h.Ref()})
			if err != nil {
				return err
			}
			if len(all[0].txs) > 0 {
				found = append(found, all[0])
			}
		}
		return nil
	})
	if err != nil && len(found) == 0 {
		p.proofs.mu.Lock()
		defer p.proofs.mu.Unlock()
		for _, part := range []*ProofPart{&p.proofs.now.Header, &p.proofs.now.Receipts, &p.proofs.now.Transactions} {
			if !part.Works {
				part.Why = err.Error()
			}
		}
	}
	return found
}

// probeFrom is the newest block of one node that cannot go away any more.
func (p *Pool) probeFrom(ctx context.Context, n *conn) (uint64, error) {
	if p.opts.Tag != "" {
		if h, err := headerAt(ctx, n, p.opts.Tag); err == nil && h.Number > 0 {
			return h.Number, nil
		}
	}
	head, err := headerAt(ctx, n, "latest")
	return chain.FinalPoint(head.Number, nil, p.opts.Depth), err
}

// stillWork looks at the last final blocks once more, after a proof has failed at every provider: where none of those
// can be proven either, at no provider, the chain has changed its encoding, and proofs are no longer expected.
func (p *Pool) stillWork(ctx context.Context) bool {
	now := p.opts.Now()
	p.proofs.mu.Lock()
	recently := now.Sub(p.proofs.doubted) < probeStill
	if !recently {
		p.proofs.doubted = now
	}
	p.proofs.mu.Unlock()
	if recently {
		return true
	}
	var failed error
	looked := 0
	for _, pr := range p.ranked() {
		blocks := p.probe(ctx, pr)
		if len(blocks) == 0 {
			return true // one that is away may be the one that can prove it
		}
		for _, c := range blocks {
			looked++
			err := errors.Join(c.headerErr, c.receiptsErr)
			if err == nil {
				return true
			}
			failed = err
		}
	}
	if looked < 2*len(p.providers) {
		return true
	}
	p.proofs.mu.Lock()
	p.proofs.now.Receipts, p.proofs.now.Transactions = ProofPart{Why: failed.Error()}, ProofPart{Why: failed.Error()}
	p.proofs.looked = now
	p.proofs.mu.Unlock()
	p.opts.Logger.ErrorContext(ctx, "chain.proofs_lost", "chain", p.opts.Name, "error", failed,
		"do", fmt.Sprintf("an upgrade of %s changed what its hashes cover: take a newer release. "+
			"Until then the word of two providers counts", p.opts.Name))
	return false
}
