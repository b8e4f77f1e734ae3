package scanner

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
)

// grossDepth is how far below the head the balance of a token is held against its log. Nodes keep the state of their
// newest blocks only.
const grossDepth = 32

// doubtGross holds the transfers of tokens in blocks against balances: a token that takes a fee on the way may log what
// was sent and not what arrived, and one may log and move nothing. What arrived short is doubted, which holds up
// nothing else. Where nothing arrived, and providers contradict each other about the log or none confirms it, the log
// may be invented, which proofs and the second provider judge. Where no node gives the state before and after the
// block, the log counts.
func (s *Scanner) doubtGross(ctx context.Context, step *payments.Step, head uint64, blocks []chain.Block,
	found [][]chain.Transfer) {
	var arrivals []arrival
	for i, b := range blocks {
		if b.Number > 0 && head <= b.Number+grossDepth {
			arrivals = append(arrivals, arrivalsIn(b, found[i])...)
		}
	}
	doubts, _ := inOrder(len(arrivals), func(i int) ([]payments.Doubt, error) {
		return s.doubtArrival(ctx, arrivals[i]), nil
	})
	for _, ds := range doubts {
		step.Doubts = append(step.Doubts, ds...)
	}
}

// arrival is what the logs of a token say that an address gained in a block.
type arrival struct {
	block chain.Header
	found []chain.Transfer // of the block
	asset string
	to    chain.Address
	sum   *big.Int
}

func arrivalsIn(b chain.Block, found []chain.Transfer) (all []arrival) {
	for _, t := range found {
		if t.Asset == chain.Native {
			continue
		}
		i := slices.IndexFunc(all, func(a arrival) bool { return a.asset == t.Asset && a.to == t.To })
		if i < 0 {
			i = len(all)
			all = append(all, arrival{b.Header, found, t.Asset, t.To, new(big.Int)})
		}
		all[i].sum.Add(all[i].sum, t.Value)
	}
	for i, a := range all {
		for _, l := range b.Logs {
			if l.From == a.to && l.Contract.Hex() == a.asset {
				all[i].sum.Sub(a.sum, l.Value)
			}
		}
	}
	return all
}

func (s *Scanner) doubtArrival(ctx context.Context, a arrival) (doubts []payments.Doubt) {
	grown, err := s.grown(ctx, a.block, a.asset, a.to)
	if err != nil {
		s.log.DebugContext(ctx, "transfer.balance_unknown", "block", a.block.Number, "error", err)
		return nil
	}
	if grown.Cmp(a.sum) >= 0 {
		return nil
	}
	text := fmt.Sprintf("the token's logs say that %s arrived in the block, and the balance of the address grew by %s",
		a.sum, grown)
	s.log.ErrorContext(ctx, "transfer.gross", "block", a.block.Number, "asset", a.asset, "address", a.to.Hex(),
		"says", text)
	for _, c := range chain.Claims(a.found) {
		if c.Asset != a.asset || c.To != a.to {
			continue
		}
		answers := []models.ProviderAnswer{{Provider: "balanceOf", Known: true, Text: text}}
		if grown.Sign() <= 0 {
			told := s.source.Ask(ctx, a.block.Ref(), c)
			if yes, no := chain.Weigh(told); yes == 0 || no > 0 && (yes < 2 || yes <= no) {
				continue
			}
			answers = append(answers, providerAnswers(told)...)
		}
		doubts = append(doubts, payments.Doubt{
			Observed: payments.Observed{Block: a.block, Transfer: c.Transfer}, Kind: models.DoubtGross, Answers: answers,
		})
	}
	return doubts
}

// grown is by how much the balance of an account grew in a block.
func (s *Scanner) grown(ctx context.Context, b chain.Header, asset string, a chain.Address) (*big.Int, error) {
	at := []chain.Ref{b.Ref(), {Number: b.Number - 1, Hash: b.Parent}}
	held, err := inOrder(len(at), func(i int) ([]*big.Int, error) {
		return s.source.Balances(ctx, at[i], asset, []chain.Address{a})
	})
	if err != nil {
		return nil, err
	}
	return new(big.Int).Sub(held[0][0], held[1][0]), nil
}
