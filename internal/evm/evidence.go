package evm

import (
	"context"
	"errors"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Evidence collects what proves claims about a block, from the first provider whose content hashes to it. A claim that
// nothing proves has the reason in its place. An error says that no provider could be asked.
func (p *Pool) Evidence(ctx context.Context, block chain.Ref, claims []chain.Claim) ([]chain.Evidence, error) {
	out := make([]chain.Evidence, len(claims))
	missing := 0
	for i, c := range claims {
		if out[i].Reason = whyNever(c); out[i].Reason == "" {
			missing++
		}
	}
	var errs []error
	var unproven error
	for _, pr := range p.ranked() {
		if missing == 0 {
			break
		}
		var contents []*content
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
			contents, err = p.contents(ctx, n, []chain.Ref{block})
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", pr.host, err))
			continue
		}
		c := contents[0]
		p.learnFrom(c)
		if unproven = c.proven(); unproven != nil {
			continue
		}
		return out, p.collect(c, claims, out)
	}
	switch {
	case missing == 0:
		return out, nil
	case unproven == nil:
		return nil, fmt.Errorf("evm: %s proof of block %d: %w", p.opts.Name, block.Number, errors.Join(errs...))
	}
	for i := range out {
		if out[i].Reason == "" {
			out[i].Reason = "what the providers give of the block does not hash to it: " + unproven.Error()
		}
	}
	return out, nil
}

// whyNever says why a claim has no proof, whatever the block holds; "" when it may have one.
func whyNever(c chain.Claim) string {
	switch c.Source {
	case chain.FromTrace:
		return "a contract sent it: the transaction and its receipt do not show that"
	case chain.FromBalance:
		return "it was found by the balance of the address: no transaction is known"
	case chain.FromWithdrawal:
		return "it is a withdrawal of the consensus layer: no transaction carries it"
	}
	return ""
}

// collect fills in the evidence of the claims that a proven block holds.
func (p *Pool) collect(c *content, claims []chain.Claim, out []chain.Evidence) (err error) {
	for i, claim := range claims {
		e := &out[i]
		if e.Reason != "" {
			continue
		}
		at, log := p.locate(c, claim)
		if at < 0 {
			e.Reason = "the roots of its block do not cover it"
			continue
		}
		e.Header, e.Index, e.Log = c.header, at, log
		if e.Transaction, err = pathTo(c.rawTxs, at); err != nil {
			return err
		}
		if e.Receipt, err = pathTo(c.rawReceipts, at); err != nil {
			return err
		}
	}
	return nil
}

// locate says where a block holds a claim: the index of the transaction and of the log in its receipt, -1 for none.
func (p *Pool) locate(c *content, claim chain.Claim) (tx, log int) {
	rank := 0
	for i, t := range c.txs {
		if chain.Hash(*t.Hash) != claim.TxHash {
			continue
		}
		if claim.Asset == chain.Native && claim.Source == chain.FromTransaction {
			if c.holdsTx(claim) == chain.Holds {
				return i, -1
			}
			return -1, -1
		}
		for j, l := range c.receipts[i].Logs {
			if !l.tells(p.emitter, claim) {
				continue
			}
			if rank == claim.Rank {
				return i, j
			}
			rank++
		}
	}
	return -1, -1
}
