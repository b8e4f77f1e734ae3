package scanner

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

// BalanceSource is a [Source] that also tells what accounts hold of a token, and how much they have sent.
type BalanceSource interface {
	Source
	Balances(ctx context.Context, at chain.Ref, asset string, accounts []chain.Address) ([]*big.Int, error)
	Nonces(ctx context.Context, at chain.Ref, accounts []chain.Address) ([]uint64, error)
}

// BalanceDifference is an open payment whose address holds something other than what is recorded of it.
type BalanceDifference struct {
	PaymentID string `json:"payment_id"`
	Address   string `json:"address"`
	Asset     string `json:"asset"`
	Held      string `json:"held"`
	Recorded  string `json:"recorded"`
	Text      string `json:"text"`
}

// Reconciled is what the balances of open payments came to.
type Reconciled struct {
	Block       uint64 // the balances are those after it
	Payments    int
	Credited    int // transfers that were found
	Doubts      int
	Differences []BalanceDifference // what is left then
	// SearchFrom is the block from which a search for logs is still to be made; 0 when it was made, or none was needed.
	SearchFrom uint64
}

// Reconcile reads what the addresses of open payments hold after the last recorded block. Coin that nothing explains is
// credited, or doubted, by the rules of the scanner. A token is never credited by a balance: its logs are searched for.
// Less than is recorded, on an account that never sent anything, is told.
func Reconcile(
	ctx context.Context, c config.Chain, source BalanceSource, st *store.Store, p *payments.Service,
) (Reconciled, error) {
	r := reconciliation{&Scanner{chain: c, source: source, store: st, payments: p}, source, Reconciled{}}
	cursor, err := st.Cursor(ctx, c.ChainID)
	if err != nil {
		return r.done, err
	}
	tip, err := r.tip(ctx, &payments.Step{}, cursor)
	if err != nil {
		return r.done, err
	}
	r.done.Block = tip.Number
	if err := r.coin(ctx, tip); err != nil {
		return r.done, err
	}
	more, err := r.tokens(ctx, tip)
	if err != nil || more.IsZero() {
		return r.done, err
	}
	return r.done, r.search(ctx, tip, more)
}

type reconciliation struct {
	*Scanner
	source BalanceSource
	done   Reconciled
}

// coin reads the balances of payments in the chain's own coin, those that are open and those that are still watched.
func (r *reconciliation) coin(ctx context.Context, tip chain.Header) error {
	for _, closed := range []*time.Time{nil, &tip.Time} {
		for below := ""; ; {
			page, err := r.store.CoinPayments(ctx, r.chain.ChainID, below, closed, maxBalances)
			if err != nil {
				return err
			}
			if err := r.coinPage(ctx, tip, page); err != nil {
				return err
			}
			if len(page) < maxBalances {
				break
			}
			below = page[len(page)-1].ID
		}
	}
	return nil
}

func (r *reconciliation) coinPage(ctx context.Context, tip chain.Header, page []store.CoinPayment) error {
	if len(page) == 0 {
		return nil
	}
	r.done.Payments += len(page)
	step := payments.Step{ChainID: r.chain.ChainID}
	if err := r.compareBalances(ctx, &step, tip, page, time.Time{}); err != nil {
		return err
	}
	if len(step.Balances)+len(step.Doubts) > 0 {
		err := r.store.InTx(ctx, func(tx *store.Tx) error {
			cursor, err := tx.Cursor(ctx, r.chain.ChainID)
			if err != nil {
				return err
			}
			if b, err := tx.BlockAt(ctx, r.chain.ChainID, tip.Number); err != nil || b.Hash != tip.Hash.Hex() {
				return fmt.Errorf("scanner: block %d left the chain while balances were read: try again (%w)", tip.Number, err)
			}
			step.Head, step.Final = cursor.HeadNumber, cursor.FinalNumber
			_, err = r.payments.Observe(ctx, tx, step)
			return err
		})
		if err != nil {
			return err
		}
		r.done.Credited += len(step.Balances)
		r.done.Doubts += len(step.Doubts)
	}
	ids := make([]string, len(page))
	owed := make([]holding, len(page))
	for i, p := range page {
		ids[i], owed[i] = p.ID, holding{id: p.ID, address: p.Address, recorded: new(big.Int)}
	}
	coin, err := r.store.CoinOf(ctx, r.chain.ChainID, tip.Number, ids)
	if err != nil {
		return err
	}
	accounts := make([]chain.Address, len(page))
	for i := range owed {
		for _, t := range coin[owed[i].id] {
			owed[i].recorded.Add(owed[i].recorded, t.Amount.Big())
		}
		if accounts[i], err = chain.ParseAddress(owed[i].address); err != nil {
			return err
		}
	}
	balances, _, err := r.source.CoinBalances(ctx, tip.Ref(), accounts)
	if err != nil {
		return err
	}
	return r.less(ctx, tip, chain.Native, owed, accounts, balances)
}

// holding is what a payment's address should hold.
type holding struct {
	id, address string
	recorded    *big.Int
}

// tokens reads the balances of open payments in tokens. It returns when the oldest payment was made that holds more
// than is recorded; the zero time when none does.
func (r *reconciliation) tokens(ctx context.Context, tip chain.Header) (oldest time.Time, err error) {
	r.done.Differences = slices.DeleteFunc(r.done.Differences, func(d BalanceDifference) bool {
		return d.Asset != chain.Native // from before the search
	})
	for below := ""; ; {
		page, err := r.store.TokenPayments(ctx, r.chain.ChainID, below, maxBalances)
		if err != nil || len(page) == 0 {
			return oldest, err
		}
		byAsset := make(map[string][]store.TokenPayment)
		for _, p := range page {
			byAsset[p.Asset] = append(byAsset[p.Asset], p)
		}
		for _, asset := range slices.Sorted(maps.Keys(byAsset)) {
			since, err := r.tokenPage(ctx, tip, asset, byAsset[asset])
			if err != nil {
				return oldest, err
			}
			if !since.IsZero() && (oldest.IsZero() || since.Before(oldest)) {
				oldest = since
			}
		}
		if len(page) < maxBalances {
			return oldest, nil
		}
		below = page[len(page)-1].ID
	}
}

func (r *reconciliation) tokenPage(
	ctx context.Context, tip chain.Header, asset string, page []store.TokenPayment,
) (oldest time.Time, err error) {
	ids := make([]string, len(page))
	accounts := make([]chain.Address, len(page))
	for i, p := range page {
		ids[i] = p.ID
		if accounts[i], err = chain.ParseAddress(p.Address); err != nil {
			return oldest, err
		}
	}
	transfers, err := r.store.TransfersOf(ctx, ids)
	if err != nil {
		return oldest, err
	}
	balances, err := r.source.Balances(ctx, tip.Ref(), asset, accounts)
	if err != nil {
		return oldest, err
	}
	owed := make([]holding, len(page))
	for i, p := range page {
		owed[i] = holding{p.ID, p.Address, new(big.Int)}
		for _, t := range transfers[p.ID] {
			if t.Canonical() && t.ChainID == r.chain.ChainID && t.Asset == asset && t.BlockNumber <= tip.Number {
				owed[i].recorded.Add(owed[i].recorded, t.Amount.Big())
			}
		}
		if balances[i].Cmp(owed[i].recorded) > 0 {
			r.tell(asset, owed[i], balances[i], "more than is recorded: its logs are to be searched for")
			if oldest.IsZero() || p.CreatedAt.Before(oldest) {
				oldest = p.CreatedAt
			}
		}
	}
	r.done.Payments += len(page)
	return oldest, r.less(ctx, tip, asset, owed, accounts, balances)
}

// less tells of accounts that hold less than is recorded although they have sent nothing.
func (r *reconciliation) less(
	ctx context.Context, tip chain.Header, asset string, owed []holding, accounts []chain.Address, balances []*big.Int,
) error {
	if len(balances) != len(accounts) {
		return fmt.Errorf("scanner: %d balances of %d accounts", len(balances), len(accounts))
	}
	var at []int
	var ask []chain.Address
	for i, b := range balances {
		if b.Cmp(owed[i].recorded) < 0 {
			at, ask = append(at, i), append(ask, accounts[i])
		}
	}
	if len(ask) == 0 {
		return nil
	}
	nonces, err := r.source.Nonces(ctx, tip.Ref(), ask)
	if err != nil {
		return err
	}
	for j, i := range at {
		if nonces[j] == 0 {
			r.tell(asset, owed[i], balances[i], "less than is recorded, and the account has sent nothing")
		}
	}
	return nil
}

func (r *reconciliation) tell(asset string, h holding, held *big.Int, text string) {
	r.done.Differences = append(r.done.Differences, BalanceDifference{PaymentID: h.id, Address: h.address, Asset: asset,
		Held: held.String(), Recorded: h.recorded.String(), Text: text})
}

// search reads the blocks since a payment was made once more, and then looks at the tokens again.
func (r *reconciliation) search(ctx context.Context, tip chain.Header, since time.Time) error {
	first, err := FirstSince(ctx, r.source, tip.Number, since)
	if err != nil {
		return err
	}
	found, err := Rescan(ctx, r.chain, r.source, r.store, r.payments, min(first, tip.Number), tip.Number)
	r.done.Credited += found.Credited
	r.done.Doubts += found.Doubts
	r.done.SearchFrom = found.Next
	if err != nil {
		return err
	}
	looked := r.done.Payments
	_, err = r.tokens(ctx, tip)
	r.done.Payments = looked
	return err
}
