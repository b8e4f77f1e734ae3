package scanner

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// maxBalances is how many balances one pass reads. A chain with no more open payments in its coin is read whole at
	// every block, one with more in turns, the youngest first.
	maxBalances = 2000
	// maxClosed is how many of them may be of payments that expired and are still watched.
	maxClosed = 500
	// coinWait is how long after its end a payment in coin waits for a balance, in block time.
	coinWait = 10 * time.Minute
)

// coinPass is how far the balances of a chain have been read. Balances tell of coin that no transaction and no log
// tells of; where blocks tell of all coin, they are not read.
type coinPass struct {
	inexact bool // a block since the last whole turn does not tell of all coin
	known   bool // a block was read since we lead
	failed  bool // the last pass did not work out

	below  string    // where the turn through the open payments is
	began  time.Time // when the turn began, in block time
	closed string    // where the turn through those is that expired and are still watched
}

// note looks at blocks that are about to be recorded.
func (c *coinPass) note(blocks []chain.Block) {
	for _, b := range blocks {
		c.known = true
		c.inexact = c.inexact || b.CoinsFrom == ""
	}
}

// due reports whether a pass is to be made although there is no new block.
func (c *coinPass) due() bool { return c.failed || c.inexact }

// readBalances reads the balances of open payments in the chain's own coin after the last block of a step, and adds
// what the record does not explain. What goes wrong holds up no block: payments in coin wait for it.
func (s *Scanner) readBalances(ctx context.Context, step *payments.Step, cursor *models.ChainCursor) {
	if !s.balancesCount() {
		s.coins.inexact = false
		return
	}
	if s.coins.known && !s.coins.inexact {
		cursor.BalancesTime = nil // blocks tell of all coin
		return
	}
	start := time.Now()
	asked, err := s.balancePass(ctx, step, cursor)
	s.metrics.BalancePass(s.chain.Name, asked, time.Since(start), err == nil)
	s.coins.failed = err != nil
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "chain.balances_unread", "block", cursor.Number, "error", err)
	}
}

// balancesCount reports whether balances may tell of coin on this chain.
func (s *Scanner) balancesCount() bool {
	return s.chain.Internal != "off" && s.chain.Internal != "trace"
}

// coinTime says how far coin has been looked for, for payments that are about to expire.
func (s *Scanner) coinTime(step *payments.Step, cursor models.ChainCursor) {
	if !s.balancesCount() || s.coins.known && !s.coins.inexact && cursor.BalancesTime == nil {
		return
	}
	at := cursor.BlockTime.Add(-coinWait)
	if b := cursor.BalancesTime; b != nil && b.After(at) {
		at = *b
	}
	if at.After(cursor.BlockTime) {
		at = cursor.BlockTime
	}
	step.CoinTime = &at
}

// balancePass reads one page of balances and moves on through the open payments.
func (s *Scanner) balancePass(ctx context.Context, step *payments.Step, cursor *models.ChainCursor) (int, error) {
	tip, err := s.tip(ctx, step, *cursor)
	if err != nil {
		return 0, err
	}
	if s.coins.below == "" {
		s.coins.began = tip.Time
	}
	page, last, err := s.nextPage(ctx, tip.Time)
	if err != nil {
		return 0, err
	}
	since := time.Time{}
	if cursor.BalancesTime != nil {
		since = *cursor.BalancesTime
	}
	if err := s.compareBalances(ctx, step, tip, page, since); err != nil {
		return len(page), err
	}
	if !last {
		return len(page), nil
	}
	began := s.coins.began
	cursor.BalancesNumber, cursor.BalancesTime = tip.Number, &began
	s.coins.inexact = began.Before(tip.Time) // blocks came while the turn lasted
	return len(page), nil
}

// tip is the header of the last block of the record.
func (s *Scanner) tip(ctx context.Context, step *payments.Step, cursor models.ChainCursor) (chain.Header, error) {
	if n := len(step.Blocks); n > 0 {
		return step.Blocks[n-1].Header, nil
	}
	hash, err := chain.ParseHash(cursor.Hash)
	return chain.Header{Number: cursor.Number, Hash: hash, Time: cursor.BlockTime}, err
}

// nextPage is the next page of payments to look at, and whether the turn ends with it. Payments that expired and are
// still watched are read a part at a time.
func (s *Scanner) nextPage(ctx context.Context, at time.Time) ([]store.CoinPayment, bool, error) {
	page, err := s.store.CoinPayments(ctx, s.chain.ChainID, s.coins.below, nil, maxBalances)
	if err != nil {
		return nil, false, err
	}
	s.coins.below = ""
	last := len(page) < maxBalances
	if !last {
		s.coins.below = page[len(page)-1].ID
	}
	closed, err := s.store.CoinPayments(ctx, s.chain.ChainID, s.coins.closed, &at, maxClosed)
	if err != nil {
		return nil, false, err
	}
	s.coins.closed = ""
	if n := len(closed); n == maxClosed {
		s.coins.closed = closed[n-1].ID
	}
	return append(page, closed...), last, nil
}

// compareBalances reads the balances of payments and adds to the step what nothing explains, once a second provider,
// where there is one, says the same and the account was never used.
func (s *Scanner) compareBalances(
	ctx context.Context, step *payments.Step, tip chain.Header, page []store.CoinPayment, since time.Time,
) error {
	if len(page) == 0 {
		return nil
	}
	accounts := make([]chain.Address, len(page))
	byAddress := make(map[chain.Address]string, len(page))
	for i, p := range page {
		a, err := chain.ParseAddress(p.Address)
		if err != nil {
			return err
		}
		accounts[i], byAddress[a] = a, p.ID
	}
	balances, _, err := s.source.CoinBalances(ctx, tip.Ref(), accounts)
	if err != nil {
		return err
	}
	if len(balances) != len(page) {
		return fmt.Errorf("scanner: %d balances of %d accounts", len(balances), len(page))
	}
	coin, coming := make(map[string]*big.Int), make(map[string]*big.Int)
	of := make(map[string]chain.Address)
	for i, b := range balances {
		if b.Sign() > 0 {
			coin[page[i].ID], of[page[i].ID] = b, accounts[i]
		}
	}
	for _, b := range append(step.Blocks, step.Late...) {
		for _, t := range b.Transfers {
			if id, ok := byAddress[t.To]; ok && t.Asset == chain.Native {
				if coming[id] == nil {
					coming[id] = new(big.Int)
				}
				coming[id].Add(coming[id], t.Value)
			}
		}
	}
	more, err := s.payments.Unexplained(ctx, s.chain.ChainID, tip.Number, coin, coming)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(more)) { // payments are locked in the order of their ids
		if err := s.believeBalance(ctx, step, tip, of[id], more[id], since); err != nil {
			return err
		}
	}
	return nil
}

// believeBalance adds coin that nothing explains to the step, or a doubt about it.
func (s *Scanner) believeBalance(
	ctx context.Context, step *payments.Step, tip chain.Header, a chain.Address, rest *big.Int, since time.Time,
) error {
	answers := s.source.Accounts(ctx, tip.Ref(), a)
	var coin *big.Int
	known, same, used, witness := 0, true, false, ""
	told := make([]models.ProviderAnswer, len(answers))
	for i, answer := range answers {
		told[i] = models.ProviderAnswer{Provider: answer.Provider, Known: answer.Err == nil}
		if answer.Err != nil {
			told[i].Text = answer.Err.Error()
			continue
		}
		told[i].Text = fmt.Sprintf("balance %s, nonce %d, code %t", answer.Coin, answer.Nonce, answer.HasCode)
		if coin == nil {
			coin = answer.Coin
		}
		known++
		same = same && coin.Cmp(answer.Coin) == 0
		used = used || answer.Nonce != 0 || answer.HasCode
		if known == 2 {
			witness = answer.Provider
		}
	}
	if known < min(s.source.Providers(), 2) {
		return fmt.Errorf("scanner: %d of %d providers tell the balance of %s at block %d", known, len(answers), a,
			tip.Number)
	}
	if !same || used {
		step.Doubts = append(step.Doubts, payments.Doubt{
			Observed: payments.Observed{Block: tip, Transfer: chain.Transfer{
				Asset: chain.Native, To: a, Value: rest, Ordinal: 1 << 29, LogIndex: -1, Source: chain.FromBalance,
			}},
			Kind: models.DoubtBalance, Answers: told,
		})
		return nil
	}
	step.Balances = append(step.Balances, payments.Balance{At: tip, Address: a, Coin: coin, Since: since,
		Witness: witness})
	return nil
}
