package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// Values of Options.Proofs.
const (
	ProofsAll  = "all"  // every block is proven when it is read
	ProofsHits = "hits" // [Pool.Prove] proves those that it is asked about
	ProofsOff  = "off"
)

// Prove holds what the providers say of some blocks against the hashes of those blocks, and says of each claim whether
// the content that was proven holds it. A provider whose content does not hash is asked last for a while, when another
// one's does. What nobody can prove on a chain whose blocks can be proven is looked at once more on other blocks: where
// those cannot be proven any longer either, an upgrade has changed the encoding, and with two providers their word
// counts again.
func (p *Pool) Prove(ctx context.Context, blocks []chain.Claimed) []chain.Verdict {
	verdicts := make([]chain.Verdict, len(blocks))
	p.Proofs(ctx)
	open := make([]int, len(blocks))
	for i := range blocks {
		open[i] = i
	}
	for _, pr := range p.ranked() {
		if len(open) == 0 {
			break
		}
		open = p.proveWith(ctx, pr, blocks, verdicts, open)
	}
	parts := p.proofs.parts()
	expected := parts.Header.Works && parts.Receipts.Works
	if len(open) > 0 && expected && len(p.providers) > 1 {
		expected = p.stillWork(ctx)
	}
	for _, i := range open {
		v := &verdicts[i]
		v.Expected = expected && provable(blocks[i].Claims, parts)
		v.Unreachable = v.Unreachable || len(v.Answers) == 0
	}
	for i, v := range verdicts {
		if v.Proven {
			p.blame(ctx, blocks[i], v)
		}
	}
	return verdicts
}

// proveWith asks one provider about the blocks that nobody has proven yet, and returns those that are left.
func (p *Pool) proveWith(
	ctx context.Context, pr *provider, blocks []chain.Claimed, verdicts []chain.Verdict, open []int,
) (left []int) {
	for some := range slices.Chunk(open, MaxBlocks) {
		refs := make([]chain.Ref, len(some))
		for i, at := range some {
			refs[i] = blocks[at].Block
		}
		var contents []*content
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
			contents, err = p.contents(ctx, n, refs)
			return err
		})
		for i, at := range some {
			v := &verdicts[at]
			if err != nil {
				v.Unreachable = v.Unreachable || !refusal(err) && !errors.Is(err, errNoReceipts) && !refuted(err)
				v.Answers = append(v.Answers, chain.Answer{Provider: pr.name, Text: err.Error()})
				left = append(left, at)
				continue
			}
			p.learnFrom(contents[i])
			if findings, bad := p.findings(contents[i], blocks[at].Claims); bad == nil {
				*v = chain.Verdict{Proven: true, Findings: findings, ProvenBy: pr.name, Expected: true, Answers: v.Answers}
				continue
			} else {
				v.Answers = append(v.Answers, chain.Answer{Provider: pr.name, Text: bad.Error()})
			}
			left = append(left, at)
		}
	}
	return left
}

// blame names the providers that a proof has refuted.
func (p *Pool) blame(ctx context.Context, b chain.Claimed, v chain.Verdict) {
	parts := p.proofs.parts()
	for _, pr := range p.providers {
		lied := pr.name == b.Provider && pr.name != v.ProvenBy && slices.Contains(v.Findings, chain.HoldsNot)
		for _, a := range v.Answers {
			lied = lied || a.Provider == pr.name && parts.Header.Works && parts.Receipts.Works && a.Text != ""
		}
		if lied {
			p.failed(ctx, pr, fmt.Errorf("block %d %s: what it says of the block does not hash to that, and what %s says does",
				b.Block.Number, b.Block.Hash, v.ProvenBy))
		}
	}
}

// findings say of each claim whether a proven block holds it. An error says why the block is not proven as far as the
// claims need it: the transactions are needed for coin that a transaction carries.
func (p *Pool) findings(c *content, claims []chain.Claim) ([]chain.Finding, error) {
	if err := errors.Join(c.headerErr, c.receiptsErr); err != nil {
		return nil, err
	}
	found := make([]chain.Finding, len(claims))
	for i, claim := range claims {
		switch {
		case claim.Source == chain.FromWithdrawal:
			if refuted(c.withdrawalsErr) {
				return nil, c.withdrawalsErr
			}
			found[i] = c.holdsWithdrawal(claim)
		case claim.Asset == chain.Native && claim.Source == chain.FromTransaction:
			if c.txsErr != nil {
				return nil, c.txsErr
			}
			found[i] = c.holdsTx(claim)
		case claim.Asset != chain.Native || claim.Source == chain.FromLog:
			if c.txsErr != nil && !errors.Is(c.txsErr, errNoEncoding) {
				return nil, c.txsErr
			}
			found[i] = p.holdsLog(c, claim)
		}
	}
	return found, nil
}

// holdsTx reports whether a transaction of the block carries coin and succeeded. Of one whose hash was not held against
// recipient and value nothing can be told.
func (c *content) holdsTx(claim chain.Claim) chain.Finding {
	for i, tx := range c.txs {
		if chain.Hash(*tx.Hash) != claim.TxHash {
			continue
		}
		if !tx.bound() {
			return chain.CannotTell
		}
		r := c.receipts[i]
		if tx.To.Address != nil && chain.Address(*tx.To.Address) == claim.To && tx.Value != nil &&
			tx.Value.big().Cmp(claim.Value) == 0 && r.Status != nil && *r.Status == 1 {
			return chain.Holds
		}
	}
	return chain.HoldsNot
}

// holdsLog reports whether the receipts of the block hold a log, behind as many equal ones as its rank says. Of a
// transaction that no root covers, as Polygon's deposits before it had them in the block, nothing can be told; on other
// chains there is no such thing, and whoever tells of one invents it.
func (p *Pool) holdsLog(c *content, claim chain.Claim) chain.Finding {
	if p.hasPseudo() && c.pseudo[common.Hash(claim.TxHash)] {
		return chain.CannotTell
	}
	rank, listed := 0, false
	for i, tx := range c.txs {
		if chain.Hash(*tx.Hash) != claim.TxHash {
			continue
		}
		listed = true
		for _, l := range c.receipts[i].Logs {
			if !l.tells(p.emitter, claim) {
				continue
			}
			if rank == claim.Rank {
				return chain.Holds
			}
			rank++
		}
	}
	if !listed && p.hasPseudo() {
		return chain.CannotTell
	}
	return chain.HoldsNot
}

// holdsWithdrawal reports whether the body of the block holds a withdrawal.
func (c *content) holdsWithdrawal(claim chain.Claim) chain.Finding {
	if c.withdrawalsErr != nil {
		return chain.CannotTell
	}
	for _, w := range c.withdrawals {
		value := new(big.Int).Mul(new(big.Int).SetUint64(w.Amount), big.NewInt(1e9))
		if w.Index == uint64(claim.Ordinal) && chain.Address(w.Address) == claim.To && value.Cmp(claim.Value) == 0 {
			return chain.Holds
		}
	}
	return chain.HoldsNot
}

// hasPseudo reports whether blocks of the chain have logs of something that is no transaction.
func (p *Pool) hasPseudo() bool { return p.emitter.topic == polygonTopic }

// provable reports whether the proofs that work on a chain can tell of one of the claims at least.
func provable(claims []chain.Claim, parts ProofParts) bool {
	return slices.ContainsFunc(claims, func(c chain.Claim) bool {
		switch {
		case c.Source == chain.FromTrace || c.Source == chain.FromBalance:
			return false
		case c.Asset == chain.Native && c.Source == chain.FromTransaction:
			return parts.Transactions.Works
		}
		return true
	})
}

// tells reports whether a log moves what a claim says.
func (l wireLog) tells(e coinEmitter, claim chain.Claim) bool {
	if claim.Asset == chain.Native {
		if !e.wrote(l) {
			return false
		}
		hash, index := claim.TxHash, quantity(0)
		l.TxHash.v, l.Index.v = (*common.Hash)(&hash), &index
		coin, ok := e.coin(l)
		return ok && coin.From == claim.From && coin.To == claim.To && coin.Value.Cmp(claim.Value) == 0
	}
	t, ok := l.transfer()
	return ok && t.Contract.Hex() == claim.Asset && t.From == claim.From && t.To == claim.To &&
		t.Value.Cmp(claim.Value) == 0
}

// contents reads blocks by their hashes, with all their receipts.
func (p *Pool) contents(ctx context.Context, n *conn, refs []chain.Ref) ([]*content, error) {
	texts := make([]json.RawMessage, len(refs))
	calls := make([]rpc.BatchElem, len(refs))
	for i, ref := range refs {
		args := []any{common.Hash(ref.Hash), true}
		calls[i] = rpc.BatchElem{Method: "eth_getBlockByHash", Args: args, Result: &texts[i]}
	}
	if err := n.callAll(ctx, calls); err != nil {
		return nil, err
	}
	all := make([]*content, len(refs))
	for i, text := range texts {
		if len(text) == 0 || string(text) == "null" {
			return nil, fmt.Errorf("%w: block %d %s", ErrMissing, refs[i].Number, refs[i].Hash)
		}
		var err error
		if all[i], err = contentOf(text); err != nil {
			return nil, err
		}
		if all[i].ref != refs[i] {
			return nil, fmt.Errorf("%w: asked for block %d %s, got %d %s",
				ErrMissing, refs[i].Number, refs[i].Hash, all[i].ref.Number, all[i].ref.Hash)
		}
	}
	return all, p.completeContents(ctx, n, all)
}

// completeContents asks for the bytes of transactions that nothing encodes and for the receipts, and holds everything
// against the roots.
func (p *Pool) completeContents(ctx context.Context, n *conn, all []*content) error {
	for _, c := range all {
		if c.headerErr == nil {
			if raws, err := rawTransactions(ctx, n, c.unknown()); err != nil {
				return err
			} else {
				c.know(raws)
			}
		}
		c.checkTxs()
	}
	receipts, err := fullReceipts(ctx, n, all)
	if err != nil {
		return err
	}
	for i, c := range all {
		c.checkReceipts(receipts[i])
	}
	return nil
}

// rawTransactions asks for the bytes of transactions; nil where the node does not give them.
func rawTransactions(ctx context.Context, n *conn, hashes []common.Hash) ([][]byte, error) {
	if len(hashes) == 0 || n.pr.lacks(noRawTransaction) {
		return nil, nil
	}
	raws := make([]hexutil.Bytes, len(hashes))
	calls := make([]rpc.BatchElem, len(hashes))
	for i, h := range hashes {
		calls[i] = rpc.BatchElem{Method: "eth_getRawTransactionByHash", Args: []any{h}, Result: &raws[i]}
	}
	err := n.callAll(ctx, calls)
	switch {
	case err != nil && (ctx.Err() != nil || !refusal(err)):
		return nil, err
	case err != nil:
		n.pr.learn(noRawTransaction, 1)
		return nil, nil
	}
	out := make([][]byte, len(raws))
	for i, raw := range raws {
		out[i] = raw
	}
	return out, nil
}

// fullReceipts asks for all receipts of blocks, those of a block together where the node gives them so.
func fullReceipts(ctx context.Context, n *conn, all []*content) ([][]fullReceipt, error) {
	receipts := make([][]fullReceipt, len(all))
	if !n.pr.lacks(noBlockReceipts) {
		calls := make([]rpc.BatchElem, 0, len(all))
		for i, c := range all {
			if len(c.txs) > 0 {
				args := []any{common.Hash(c.ref.Hash)}
				calls = append(calls, rpc.BatchElem{Method: "eth_getBlockReceipts", Args: args, Result: &receipts[i]})
			}
		}
		err := n.callAll(ctx, calls)
		switch {
		case err == nil:
			return receipts, nil
		case ctx.Err() != nil || errors.As(err, new(*throttledError)) || !refusal(err):
			return nil, err
		case unknownMethod(err):
			n.pr.learn(noBlockReceipts, 1)
		}
	}
	for i, c := range all {
		receipts[i] = make([]fullReceipt, len(c.txs))
		calls := make([]rpc.BatchElem, len(c.txs))
		for j, tx := range c.txs {
			calls[j] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{*tx.Hash}, Result: &receipts[i][j]}
		}
		for some := range slices.Chunk(calls, receiptsAtOnce) {
			if err := n.callAll(ctx, some); err != nil && unknownMethod(err) {
				return nil, fmt.Errorf("%w: %w", errNoReceipts, err)
			} else if err != nil {
				return nil, err
			}
		}
	}
	return receipts, nil
}
