package payments

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
)

const (
	// lookahead is how many addresses are asked about at once when they are checked for earlier use.
	lookahead = 20
	// maxPrefetch is how many of them are remembered: those that other processes take are never asked for here.
	maxPrefetch = 20 * lookahead
	// refillTimeout bounds one move of the counter, which serves many requests and so belongs to none.
	refillTimeout = 10 * time.Second
)

// slot is one address of an account key.
type slot struct {
	index   uint32
	address string // lower case
	path    string
}

// allocator hands out addresses. The counter lives in the database; requests that wait at the same time share one move
// of it, so that payments of one merchant do not queue behind one row. An address of which it is certain that no
// payment uses it is handed out again by this process; a crash and a COMMIT without an answer leave a hole.
type allocator struct {
	store *store.Store
	used  func(context.Context, uint64, []string) (map[string]bool, error)
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*accountKey
}

// accountKey is what the allocator knows of one account key.
type accountKey struct {
	id      string
	account *wallet.Account
	branch  uint32

	mu      sync.Mutex
	free    []slot // released, lowest index first
	waiting []chan taken
	moving  bool

	aheadMu sync.Mutex
	ahead   map[uint32]slot // derived for a look ahead and not taken yet

	checkMu sync.Mutex
	checked map[uint64]map[string]bool // chain id → address → was used before
}

type taken struct {
	slot slot
	err  error
}

func newAllocator(o Options) *allocator {
	return &allocator{store: o.Store, used: o.Used, now: o.Now, keys: make(map[string]*accountKey)}
}

// take returns the next address of an account key that nobody has used before on the chain; one that was is written
// into the table of addresses with the reason.
func (a *allocator) take(ctx context.Context, keyID, merchantID string, chainID uint64) (slot, error) {
	k, err := a.key(ctx, keyID)
	if err != nil {
		return slot{}, err
	}
	for {
		p, err := k.next(ctx, a.store)
		if err != nil {
			return slot{}, err
		}
		if a.used == nil {
			return p, nil
		}
		used, err := k.usedBefore(ctx, a.used, chainID, p)
		if err != nil {
			a.release(keyID, p)
			return slot{}, fmt.Errorf("%w (checking a new address: %w)", ErrChainUnavailable, err)
		}
		if !used {
			return p, nil
		}
		if err := a.store.InsertAddress(ctx, store.Address{
			Address: p.address, AccountKeyID: keyID, AddressIndex: p.index, DerivationPath: p.path, MerchantID: merchantID,
			SkippedReason: fmt.Sprintf("has a nonce, coin or a listed token on chain %d", chainID), CreatedAt: a.now().UTC(),
		}); err != nil {
			return slot{}, err
		}
	}
}

// release takes back an address that certainly no payment uses.
func (a *allocator) release(keyID string, p slot) {
	a.mu.Lock()
	k := a.keys[keyID]
	a.mu.Unlock()
	k.put(p)
}

func (a *allocator) key(ctx context.Context, id string) (*accountKey, error) {
	a.mu.Lock()
	k, ok := a.keys[id]
	a.mu.Unlock()
	if ok {
		return k, nil
	}
	row, err := a.store.AccountKey(ctx, id)
	if err != nil {
		return nil, err
	}
	account, err := wallet.Parse(row.XPub)
	if err != nil {
		return nil, fmt.Errorf("payments: account key %s: %w", id, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if k, ok = a.keys[id]; !ok {
		k = &accountKey{id: id, account: account, branch: row.Branch, ahead: make(map[uint32]slot),
			checked: make(map[uint64]map[string]bool)}
		a.keys[id] = k
	}
	return k, nil
}

// next returns a free address, or waits for the counter.
func (k *accountKey) next(ctx context.Context, s *store.Store) (slot, error) {
	k.mu.Lock()
	if len(k.free) > 0 {
		p := k.free[0]
		k.free = slices.Delete(k.free, 0, 1)
		k.mu.Unlock()
		return p, nil
	}
	answer := make(chan taken, 1)
	k.waiting = append(k.waiting, answer)
	if !k.moving {
		k.moving = true
		go k.serve(s)
	}
	k.mu.Unlock()
	select {
	case t := <-answer:
		return t.slot, t.err
	case <-ctx.Done():
		go func() { // the counter has moved for us; what we no longer want is the next one's
			if t := <-answer; t.err == nil {
				k.put(t.slot)
			}
		}()
		return slot{}, ctx.Err()
	}
}

// put adds a slot to the free ones, in the order of the index.
func (k *accountKey) put(p slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, _ := slices.BinarySearchFunc(k.free, p, func(a, b slot) int { return cmp.Compare(a.index, b.index) })
	k.free = slices.Insert(k.free, i, p)
}

// serve moves the counter for everybody who waits, until nobody does.
func (k *accountKey) serve(s *store.Store) {
	for {
		k.mu.Lock()
		waiting := k.waiting
		k.waiting = nil
		k.moving = len(waiting) > 0
		k.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), refillTimeout)
		first, err := s.TakeIndexes(ctx, k.id, uint32(len(waiting)))
		cancel()
		for i, answer := range waiting {
			t := taken{err: err}
			if err == nil {
				t.slot, t.err = k.slot(first + uint32(i))
			}
			answer <- t
		}
	}
}

// slot is the address at an index. Deriving one costs more than a statement, so what a look ahead derived is used.
func (k *accountKey) slot(index uint32) (slot, error) {
	k.aheadMu.Lock()
	p, ok := k.ahead[index]
	delete(k.ahead, index)
	k.aheadMu.Unlock()
	if ok {
		return p, nil
	}
	return k.derive(index)
}

func (k *accountKey) derive(index uint32) (slot, error) {
	lower, err := k.account.LowerAddress(k.branch, index)
	if err != nil {
		return slot{}, fmt.Errorf("payments: address %d/%d: %w", k.branch, index, err)
	}
	return slot{index: index, address: lower, path: k.account.Path(k.branch, index)}, nil
}

// look is slot for an index that is not taken yet.
func (k *accountKey) look(index uint32) (slot, error) {
	p, err := k.slot(index)
	if err != nil {
		return slot{}, err
	}
	k.aheadMu.Lock()
	defer k.aheadMu.Unlock()
	if len(k.ahead) >= maxPrefetch {
		clear(k.ahead)
	}
	k.ahead[index] = p
	return p, nil
}

// usedBefore asks the chain about p and the addresses after it, and remembers the answers.
func (k *accountKey) usedBefore(ctx context.Context,
	ask func(context.Context, uint64, []string) (map[string]bool, error), chainID uint64, p slot) (bool, error) {
	k.checkMu.Lock()
	defer k.checkMu.Unlock()
	known := k.checked[chainID]
	if known == nil || len(known) >= maxPrefetch {
		known = make(map[string]bool)
		k.checked[chainID] = known
	}
	if _, ok := known[p.address]; !ok {
		addresses := []string{p.address}
		for i := uint32(1); i < lookahead; i++ {
			ahead, err := k.look(p.index + i)
			if err != nil {
				return false, err
			}
			addresses = append(addresses, ahead.address)
		}
		answers, err := ask(ctx, chainID, addresses)
		if err != nil {
			return false, err
		}
		maps.Copy(known, answers)
	}
	used := known[p.address]
	delete(known, p.address)
	return used, nil
}
