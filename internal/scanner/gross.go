package scanner

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
)

// grossDepth is how far below the head the balance of a token is held against its log. Nodes keep the state of their
// newest blocks only.
const grossDepth = 32

// doubtGross holds the transfers of tokens in a block against balances: a token that takes a fee on the way may log
// what was sent and not what arrived, and one may log and move nothing. What arrived short is doubted, which holds up
// nothing else. Where nothing arrived, and providers contradict each other about the log itself or none confirms it, the
// log may be invented, which proofs and the second provider judge. Where no node gives the state before and after the
// block, the log counts.
func (s *Scanner) doubtGross(ctx context.Context, step *payments.Step, head uint64, b chain.Block,
	found []chain.Transfer) {
	if b.Number == 0 || head > b.Number+grossDepth {
		return
	}
	type account struct {
		asset string
		to    chain.Address
	}
	sums := make(map[account]*big.Int)
	for _, t := range found {
		if t.Asset == chain.Native {
			continue
		}
		of := account{t.Asset, t.To}
		if sums[of] == nil {
			sums[of] = new(big.Int)
		}
		sums[of].Add(sums[of], t.Value)
	}
	for of, sum := range sums {
		for _, l := range b.Logs {
			if l.From == of.to && l.Contract.Hex() == of.asset {
				sum.Sub(sum, l.Value)
			}
		}
		grown, err := s.grown(ctx, b.Header, of.asset, of.to)
		if err != nil {
			s.log.DebugContext(ctx, "transfer.balance_unknown", "block", b.Number, "error", err)
			continue
		}
		if grown.Cmp(sum) >= 0 {
			continue
		}
		text := fmt.Sprintf("the token's logs say that %s arrived in the block, and the balance of the address grew by %s",
			sum, grown)
		s.log.ErrorContext(ctx, "transfer.gross", "block", b.Number, "asset", of.asset, "address", of.to.Hex(), "says", text)
		for _, c := range chain.Claims(found) {
			if c.Asset != of.asset || c.To != of.to {
				continue
			}
			answers := []models.ProviderAnswer{{Provider: "balanceOf", Known: true, Text: text}}
			if grown.Sign() <= 0 {
				told := s.source.Ask(ctx, b.Ref(), c)
				if yes, no := chain.Weigh(told); yes == 0 || no > 0 && (yes < 2 || yes <= no) {
					continue
				}
				answers = append(answers, providerAnswers(told)...)
			}
			step.Doubts = append(step.Doubts, payments.Doubt{
				Observed: payments.Observed{Block: b.Header, Transfer: c.Transfer}, Kind: models.DoubtGross, Answers: answers,
			})
		}
	}
}

// grown is by how much the balance of an account grew in a block.
func (s *Scanner) grown(ctx context.Context, b chain.Header, asset string, a chain.Address) (*big.Int, error) {
	after, err := s.source.Balances(ctx, b.Ref(), asset, []chain.Address{a})
	if err != nil {
		return nil, err
	}
	before, err := s.source.Balances(ctx, chain.Ref{Number: b.Number - 1, Hash: b.Parent}, asset, []chain.Address{a})
	if err != nil {
		return nil, err
	}
	return new(big.Int).Sub(after[0], before[0]), nil
}
