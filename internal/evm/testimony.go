package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Names are what the providers are called, in the order of their URLs.
func (p *Pool) Names() []string {
	names := make([]string, len(p.providers))
	for i, pr := range p.providers {
		names[i] = pr.name
	}
	return names
}

// Providers is how many providers the chain has. With one, nothing that it says has a witness.
func (p *Pool) Providers() int { return len(p.providers) }

// Testify reads the canonical blocks of a range, at most [MaxBlocks], from a provider that is not the one named. They
// are what that provider says and nobody else: an empty answer is not held against anything.
func (p *Pool) Testify(ctx context.Context, from, to uint64, not string) (bs []chain.Block, err error) {
	if from > to || to-from >= MaxBlocks {
		return nil, fmt.Errorf("evm: blocks %d to %d: want 1 to %d at once", from, to, MaxBlocks)
	}
	asked := p.ranked()
	if not == "" { // nobody remembers who gave the blocks; it was most likely the first
		slices.Reverse(asked)
		asked = asked[:len(asked)-1]
	}
	errs := []error{errors.New("no other provider")}
	for _, pr := range asked {
		if pr.name == not {
			continue
		}
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
			read, err := p.statement(ctx, n, from, to, false)
			bs = make([]chain.Block, len(read))
			for i, r := range read {
				bs[i] = r.Block
			}
			return err
		})
		if err == nil {
			return bs, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", pr.name, err))
	}
	return nil, fmt.Errorf("evm: %s second reading of blocks %d to %d: %w", p.opts.Name, from, to, errors.Join(errs...))
}

// statement reads blocks from one node alone. With receipts, what they hold is added to what the list of logs holds.
func (p *Pool) statement(ctx context.Context, n *conn, from, to uint64, receipts bool) ([]readBlock, error) {
	read, err := p.readBlocks(ctx, n, from, to)
	if err != nil {
		return nil, err
	}
	pointers := make([]*readBlock, len(read))
	for i := range read {
		pointers[i] = &read[i]
	}
	lists, err := p.logsOf(ctx, n, pointers)
	if err != nil {
		return nil, err
	}
	for i, b := range pointers {
		b.Provider = n.pr.name
		logs := append(lists[i].logs, lists[i].coins...)
		if receipts || lists[i].doubtful {
			more, err := p.logsOfReceipts(ctx, n, b)
			if err != nil && !errors.Is(err, errNoReceipts) {
				return nil, err
			}
			logs = append(logs, more...)
		}
		b.take(p, logs)
		p.heedBloom(ctx, n, b)
	}
	if p.tracing() {
		p.traceAll(ctx, n, slices.DeleteFunc(pointers, func(b *readBlock) bool {
			return b.CoinsFrom != "" || len(b.position) == 0
		}))
	}
	return read, ctx.Err()
}

// Ask asks every provider, by itself, whether a block holds a transfer. Where one proves what it says, those that
// contradict the proof are named and asked last for a while; without a proof, the one of three or more that all others
// contradict is.
func (p *Pool) Ask(ctx context.Context, block chain.Ref, c chain.Claim) []chain.Answer {
	answers := make([]chain.Answer, len(p.providers))
	if p.opts.Proofs == ProofsAll || p.opts.Proofs == ProofsHits {
		p.Proofs(ctx)
	}
	for i, pr := range p.providers {
		a := &answers[i]
		a.Provider = pr.name
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
			a.Holds, a.Proven, err = p.holds(ctx, n, block, c)
			return err
		})
		switch a.Known = err == nil; {
		case err != nil:
			a.Text = err.Error()
		case a.Holds:
			a.Text = "the block holds the transfer"
		default:
			a.Text = "the block does not hold the transfer"
		}
		if a.Proven {
			a.Text += ", as its receipts prove"
		}
	}
	p.nameLiars(ctx, block, answers)
	return answers
}

// nameLiars notes a failure of the providers whose answers a proof contradicts, or all others.
func (p *Pool) nameLiars(ctx context.Context, block chain.Ref, answers []chain.Answer) {
	yes, no := chain.Weigh(answers)
	proven := slices.ContainsFunc(answers, func(a chain.Answer) bool { return a.Proven })
	if yes == no || !proven && (min(yes, no) != 1 || max(yes, no) < 2) {
		return
	}
	for i, pr := range p.providers {
		a := answers[i]
		if !a.Known || a.Holds == (yes > no) {
			continue
		}
		others := fmt.Sprintf("%d others contradict it", max(yes, no))
		if proven {
			others = "another one proves the contrary"
		}
		p.failed(ctx, pr, fmt.Errorf("block %d %s: it says that %s, and %s", block.Number, block.Hash, a.Text, others))
	}
}

// holds asks one node whether its block holds a transfer. An error says that the node cannot tell.
//
// Where blocks of the chain can be proven, the node has to give content that hashes to the block, and what that says is
// proven.
func (p *Pool) holds(ctx context.Context, n *conn, block chain.Ref, t chain.Claim) (holds, proven bool, err error) {
	if finding, err := p.proves(ctx, n, block, t); err != nil || finding != chain.CannotTell {
		return finding == chain.Holds, err == nil, err
	}
	holds, err = p.says(ctx, n, block, t)
	return holds, false, err
}

// proves holds what a node gives of a block against its hash. An error says that it does not fit; what the node does
// not give proves nothing.
func (p *Pool) proves(ctx context.Context, n *conn, block chain.Ref, t chain.Claim) (chain.Finding, error) {
	if p.opts.Proofs != ProofsAll && p.opts.Proofs != ProofsHits {
		return chain.CannotTell, nil
	}
	parts := p.proofs.parts()
	if !parts.Header.Works || !parts.Receipts.Works || !provable([]chain.Claim{t}, parts) {
		return chain.CannotTell, nil
	}
	contents, err := p.contents(ctx, n, []chain.Ref{block})
	if err != nil {
		return chain.CannotTell, ctx.Err()
	}
	findings, err := p.findings(contents[0], []chain.Claim{t})
	if err != nil {
		return chain.CannotTell, fmt.Errorf("what it says of the block does not hash to the block: %w", err)
	}
	return findings[0], nil
}

// says asks one node whether its block holds a transfer, and believes it.
func (p *Pool) says(ctx context.Context, n *conn, block chain.Ref, t chain.Claim) (bool, error) {
	read, err := p.statement(ctx, n, block.Number, block.Number, true)
	if err != nil {
		return false, err
	}
	b := read[0].Block
	if b.Hash != block.Hash {
		return false, fmt.Errorf("%w: its block %d is %s", ErrDisagree, block.Number, b.Hash)
	}
	rank := 0
	for _, own := range chain.Match(b, func(a chain.Address) bool { return a == t.To }) {
		if !own.Same(t.Transfer) {
			continue
		}
		if rank < t.Rank {
			rank++
			continue
		}
		return happened(ctx, n, b, own)
	}
	if t.Asset == chain.Native && t.Source != chain.FromWithdrawal && b.CoinsFrom == "" {
		return p.gained(ctx, n, b, t)
	}
	return false, nil
}

// happened reports whether a transfer that a node lists in a block happened, by the receipt that it gives.
func happened(ctx context.Context, n *conn, b chain.Block, t chain.Transfer) (bool, error) {
	if !t.NeedsReceipt {
		return true, nil
	}
	r, err := receiptIn(ctx, n, b.Hash, t.TxHash)
	switch {
	case t.Asset == chain.Native && err != nil:
		return false, err
	case t.Asset == chain.Native:
		return r.succeeded()
	case err != nil: // a log of a transaction that the block does not list, and no receipt either
		return false, nil
	}
	logs, err := r.transfers()
	return slices.ContainsFunc(logs, func(l chain.Log) bool {
		return l.Contract.Hex() == t.Asset && l.To == t.To && l.Value.Cmp(t.Value) == 0
	}), err
}

// gained reports whether an address holds so much more coin after a block than before it: what a node can say of a
// contract's call when it neither traces nor writes logs about coin.
func (p *Pool) gained(ctx context.Context, n *conn, b chain.Block, t chain.Claim) (bool, error) {
	if b.Number == 0 || t.Sum == nil {
		return false, nil
	}
	after, err := stateAt(ctx, n, b.Ref(), t.To)
	if err != nil {
		return false, err
	}
	before, err := stateAt(ctx, n, chain.Ref{Number: b.Number - 1, Hash: b.Parent}, t.To)
	if err != nil {
		return false, err
	}
	return new(big.Int).Sub(after, before).Cmp(t.Sum) >= 0, nil
}

// stateAt is the coin of an address after a block, pinned to its hash.
func stateAt(ctx context.Context, n *conn, at chain.Ref, a chain.Address) (*big.Int, error) {
	balances := make([]bigQuantity, 1)
	err := callPinned(ctx, n, at, 1, func(_ int, block any) rpc.BatchElem {
		return rpc.BatchElem{Method: "eth_getBalance", Args: []any{common.Address(a), block}, Result: &balances[0]}
	})
	return balances[0].big(), err
}

// callPinned puts some calls that read the state after a block into one request. The block is named by its hash
// (EIP-1898), or by its number where the node refuses that. The header at its number is asked for before and after
// them, so that a branch that changes meanwhile, and a node that does not heed the hash, is noticed.
func callPinned(
	ctx context.Context, n *conn, at chain.Ref, count int, call func(i int, block any) rpc.BatchElem,
) error {
	number := hexutil.EncodeUint64(at.Number)
	ask := func(block any) error {
		var before, after *wireHeader
		calls := []rpc.BatchElem{{Method: "eth_getBlockByNumber", Args: []any{number, false}, Result: &before}}
		for i := range count {
			calls = append(calls, call(i, block))
		}
		calls = append(calls, rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{number, false}, Result: &after})
		if err := n.callAll(ctx, calls); err != nil {
			return err
		}
		for _, w := range []*wireHeader{before, after} {
			h, err := w.header()
			if err != nil {
				return err
			}
			if h.Ref() != at {
				return fmt.Errorf("%w: block %d is %s there, not %s", ErrInconsistent, at.Number, h.Hash, at.Hash)
			}
		}
		return nil
	}
	if !n.pr.lacks(noHashState) {
		err := ask(map[string]any{"blockHash": common.Hash(at.Hash)})
		if err == nil || ctx.Err() != nil || !refusal(err) {
			return err
		}
		if byNumber := ask(number); errors.Is(byNumber, ErrInconsistent) {
			return byNumber
		} else if byNumber != nil {
			return err
		}
		n.pr.learn(noHashState, 1)
		return nil
	}
	return ask(number)
}
