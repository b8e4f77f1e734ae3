package scanner

import (
	"context"
	"errors"
	"math/big"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// alone is short for Alone.
type alone = Alone

// Alone is a source with one provider, on which no address holds coin. Sources of tests embed it.
type Alone struct{}

func (Alone) Providers() int { return 1 }

func (Alone) Announce(ctx context.Context, _ func()) { <-ctx.Done() }

func (Alone) Testify(context.Context, uint64, uint64, string) ([]chain.Block, error) {
	return nil, errors.New("there is one provider")
}

func (Alone) Ask(context.Context, chain.Ref, chain.Claim) []chain.Answer { return nil }

func (Alone) Prove(_ context.Context, blocks []chain.Claimed) []chain.Verdict {
	return make([]chain.Verdict, len(blocks))
}

func (Alone) CoinBalances(_ context.Context, _ chain.Ref, as []chain.Address) ([]*big.Int, string, error) {
	balances := make([]*big.Int, len(as))
	for i := range balances {
		balances[i] = new(big.Int)
	}
	return balances, "alone", nil
}

func (Alone) Balances(context.Context, chain.Ref, string, []chain.Address) ([]*big.Int, error) {
	return nil, errors.New("it knows no token")
}

func (Alone) Accounts(context.Context, chain.Ref, chain.Address) []chain.AccountAnswer { return nil }

func (Alone) Known() chain.Known { return chain.Known{} }

func (Alone) Recall(chain.Known) {}
