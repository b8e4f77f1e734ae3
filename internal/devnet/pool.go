package devnet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

const (
	maxPooled          = 8192       // transactions
	maxTransactionSize = 128 * 1024 // bytes, geth's own limit
	replacementPercent = 110        // geth's own: a replacement pays a tenth more, in tip and in fee
)

// acceptedTypes leaves out blob transactions, which no wallet sends.
const acceptedTypes = 1<<types.LegacyTxType | 1<<types.AccessListTxType | 1<<types.DynamicFeeTxType |
	1<<types.SetCodeTxType

// pool holds the transactions that wait for a block. It checks them by geth's own rules; blocks take them in the order
// in which they came, whatever they pay. Methods that get a state want that of the chain's head.
type pool struct {
	config *params.ChainConfig
	signer types.Signer

	mu       sync.Mutex
	accounts map[common.Address]map[uint64]pooled // by sender and nonce
	byHash   map[common.Hash]*types.Transaction
	arrivals uint64
}

type pooled struct {
	tx      *types.Transaction
	arrived uint64
}

func newPool(config *params.ChainConfig) *pool {
	return &pool{
		config: config, signer: types.LatestSigner(config),
		accounts: make(map[common.Address]map[uint64]pooled), byHash: make(map[common.Hash]*types.Transaction),
	}
}

// add takes a transaction, or says why not.
func (p *pool) add(tx *types.Transaction, head *types.Header, statedb *state.StateDB) error {
	if !tx.Protected() {
		return errors.New("only replay-protected (EIP-155) transactions allowed over RPC")
	}
	if err := txpool.ValidateTransaction(tx, head, p.signer, &txpool.ValidationOptions{
		Config: p.config, Accept: acceptedTypes, MaxSize: maxTransactionSize, MinTip: common.Big1,
	}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.byHash[tx.Hash()]; known {
		return txpool.ErrAlreadyKnown
	}
	if err := txpool.ValidateTransactionWithState(tx, p.signer, &txpool.ValidationOptionsWithState{
		State: statedb, ExistingExpenditure: p.expenditure, ExistingCost: p.cost,
	}); err != nil {
		return err
	}
	sender, err := types.Sender(p.signer, tx)
	if err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	p.arrivals++
	entry := pooled{tx: tx, arrived: p.arrivals}
	if old, taken := p.accounts[sender][tx.Nonce()]; taken {
		if !outbids(tx, old.tx) {
			return txpool.ErrReplaceUnderpriced
		}
		entry.arrived = old.arrived
		delete(p.byHash, old.tx.Hash())
	} else if len(p.byHash) >= maxPooled {
		return errors.New("txpool is full")
	}
	if p.accounts[sender] == nil {
		p.accounts[sender] = make(map[uint64]pooled)
	}
	p.accounts[sender][tx.Nonce()] = entry
	p.byHash[tx.Hash()] = tx
	return nil
}

// outbids says whether tx pays enough to take the place of old.
func outbids(tx, old *types.Transaction) bool {
	enough := func(now, before *big.Int) bool {
		want := new(big.Int).Mul(before, big.NewInt(replacementPercent))
		return new(big.Int).Mul(now, big.NewInt(100)).Cmp(want) >= 0
	}
	return enough(tx.GasTipCap(), old.GasTipCap()) && enough(tx.GasFeeCap(), old.GasFeeCap())
}

// expenditure is what all waiting transactions of an account may cost. The lock is held.
func (p *pool) expenditure(account common.Address) *big.Int {
	sum := new(big.Int)
	for _, waiting := range p.accounts[account] {
		sum.Add(sum, waiting.tx.Cost())
	}
	return sum
}

// cost is what the waiting transaction with that nonce may cost, or nil. The lock is held.
func (p *pool) cost(account common.Address, nonce uint64) *big.Int {
	if waiting, ok := p.accounts[account][nonce]; ok {
		return waiting.tx.Cost()
	}
	return nil
}

// get is the waiting transaction with that hash, or nil.
func (p *pool) get(hash common.Hash) *types.Transaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byHash[hash]
}

// nonce is the first nonce of an account that is neither used nor waiting.
func (p *pool) nonce(account common.Address, statedb *state.StateDB) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := statedb.GetNonce(account)
	for {
		if _, waiting := p.accounts[account][next]; !waiting {
			return next
		}
		next++
	}
}

// ready lists the transactions that a block may hold next, in the order in which they came, but those of one account by
// rising nonce and only as far as no nonce is missing.
func (p *pool) ready(statedb *state.StateDB) []*types.Transaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []pooled
	for account, waiting := range p.accounts {
		var latest uint64 // nobody overtakes an earlier nonce of their own
		for nonce := statedb.GetNonce(account); ; nonce++ {
			next, ok := waiting[nonce]
			if !ok {
				break
			}
			latest = max(latest, next.arrived)
			list = append(list, pooled{next.tx, latest})
		}
	}
	slices.SortFunc(list, func(a, b pooled) int {
		return cmp.Or(cmp.Compare(a.arrived, b.arrived), cmp.Compare(a.tx.Nonce(), b.tx.Nonce()))
	})
	txs := make([]*types.Transaction, len(list))
	for i, one := range list {
		txs[i] = one.tx
	}
	return txs
}

// prune forgets what has been mined, and what its sender can no longer pay.
func (p *pool) prune(statedb *state.StateDB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for account, waiting := range p.accounts {
		next, balance := statedb.GetNonce(account), statedb.GetBalance(account).ToBig()
		maps.DeleteFunc(waiting, func(nonce uint64, one pooled) bool {
			gone := nonce < next || one.tx.Cost().Cmp(balance) > 0
			if gone {
				delete(p.byHash, one.tx.Hash())
			}
			return gone
		})
		if len(waiting) == 0 {
			delete(p.accounts, account)
		}
	}
}
