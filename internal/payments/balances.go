package payments

import (
	"context"
	"math/big"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// firstBalance is the ordinal of the first transfer that a balance makes. Withdrawals have lower ones.
const firstBalance = 1 << 30

// Balance is what an address holds of a chain's own coin after a block, as two providers say where there are two.
type Balance struct {
	At      chain.Header
	Address chain.Address
	Coin    *big.Int
	// Since is the time of the last block at which the address was known to hold less; zero when nobody knows.
	Since   time.Time
	Witness string // the second provider
}

// recordBalances writes, for each address that holds more than the transfers to it, one more transfer over the
// difference. The sums are taken here, in the transaction, so that coin of the same step is not counted twice.
func (s *Service) recordBalances(
	ctx context.Context, tx *store.Tx, step Step, now time.Time, touched map[string]bool,
) error {
	for _, b := range step.Balances {
		ps, err := tx.PaymentsAt(ctx, []string{b.Address.Hex()})
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			continue
		}
		p := ps[0]
		if _, err := tx.LockPayments(ctx, []string{p.ID}); err != nil {
			return err
		}
		held, err := explained(ctx, &tx.Queries, step.ChainID, b.At.Number, p.ID)
		if err != nil {
			return err
		}
		rest := new(big.Int).Sub(b.Coin, held.sum)
		if rest.Sign() <= 0 {
			continue
		}
		row, err := transferRow(chain.Transfer{
			Asset: chain.Native, To: b.Address, Value: rest, Ordinal: held.next, LogIndex: -1, Source: chain.FromBalance,
		}, b.At, step.ChainID, p, now)
		if err != nil {
			return err
		}
		row.Witness = b.Witness
		row.FirstBlockTime = b.At.Time
		if since := later(b.Since, p.CreatedAt); since.Before(b.At.Time) {
			row.FirstBlockTime = since // it may have come right after
		}
		touched[p.ID] = true
		if _, err := tx.RecordTransfer(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// coinHeld is what explains the coin of an address.
type coinHeld struct {
	sum  *big.Int
	next int // the ordinal of the next transfer that a balance makes
}

// explained adds up what is known to have come to a payment's address: canonical transfers, and the doubts that are
// open or were rejected, since what they are about is not to come back as a balance.
func explained(ctx context.Context, tx *store.Queries, chainID, upTo uint64, paymentID string) (coinHeld, error) {
	held := coinHeld{new(big.Int), firstBalance}
	coin, err := tx.CoinOf(ctx, chainID, upTo, []string{paymentID})
	if err != nil {
		return held, err
	}
	for _, t := range coin[paymentID] {
		held.sum.Add(held.sum, t.Amount.Big())
	}
	all, err := tx.TransfersOf(ctx, []string{paymentID})
	if err != nil {
		return held, err
	}
	for _, t := range all[paymentID] {
		if t.Source == models.SourceBalance && t.ChainID == chainID {
			held.next = max(held.next, t.Ordinal+1)
		}
	}
	doubted, err := tx.DoubtedCoin(ctx, chainID, paymentID)
	if err != nil {
		return held, err
	}
	for _, a := range doubted {
		held.sum.Add(held.sum, a.Big())
	}
	return held, nil
}

// Unexplained tells which payments hold more of a chain's own coin after a block than the record explains. coin is what
// they hold, coming what the blocks bring them that are about to be recorded, both by payment.
func (s *Service) Unexplained(
	ctx context.Context, chainID, upTo uint64, coin, coming map[string]*big.Int,
) (map[string]*big.Int, error) {
	more := make(map[string]*big.Int)
	for id, has := range coin {
		held, err := explained(ctx, &s.store.Queries, chainID, upTo, id)
		if err != nil {
			return nil, err
		}
		if c := coming[id]; c != nil {
			held.sum.Add(held.sum, c)
		}
		if rest := new(big.Int).Sub(has, held.sum); rest.Sign() > 0 {
			more[id] = rest
		}
	}
	return more, nil
}

// lowerBalance takes a transfer that was found in a block off what balances had found at or after that block: it is the
// same coin. No event tells of that.
func (s *Service) lowerBalance(ctx context.Context, tx *store.Tx, found models.Transfer, now time.Time) error {
	all, err := tx.TransfersOf(ctx, []string{found.PaymentID})
	if err != nil {
		return err
	}
	left := found.Amount.Big()
	for _, t := range slices.Backward(all[found.PaymentID]) {
		if t.Source != models.SourceBalance || !t.Canonical() || t.ChainID != found.ChainID ||
			t.BlockNumber < found.BlockNumber || left.Sign() == 0 {
			continue
		}
		take := left
		if t.Amount.Big().Cmp(left) < 0 {
			take = t.Amount.Big()
		}
		rest, err := models.AmountFromBig(new(big.Int).Sub(t.Amount.Big(), take))
		if err != nil {
			return err
		}
		if err := tx.LowerTransfer(ctx, t.ID, rest, now); err != nil {
			return err
		}
		left = new(big.Int).Sub(left, take)
	}
	return nil
}
