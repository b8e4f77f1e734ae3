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
	lookahead = 50
	// mostAhead is how many of them are remembered: those that other processes take are never asked for here.
	mostAhead = 20 * lookahead
	// refillTimeout bounds one move of the counter, which serves many requests and so belongs to none.
	refillTimeout = 10 * time.Second
)

// place is one address of an account key.
type place struct {
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
	free    []place // given back, lowest index first
	waiting []chan taken
	moving  bool

	aheadMu sync.Mutex
	ahead   map[uint32]place // derived for a look ahead and not taken yet

	checkMu sync.Mutex
	checked map[uint64]map[string]bool // chain id → address → was used before
}

type taken struct {
	place place
	err   error
}

func newAllocator(o Options) *allocator {
	return &allocator{store: o.Store, used: o.Used, now: o.Now, keys: make(map[string]*accountKey)}
}

// take returns the next address of an account key that nobody has used before on the chain; one that was is written
// into the book of addresses with the reason.
func (a *allocator) take(ctx context.Context, keyID, merchantID string, chainID uint64) (place, error) {
	k, err := a.key(ctx, keyID)
	if err != nil {
		return place{}, err
	}
	for {
		p, err := k.next(ctx, a.store)
		if err != nil {
			return place{}, err
		}
		if a.used == nil {
			return p, nil
		}
		used, err := k.usedBefore(ctx, a.used, chainID, p)
		if err != nil {
			a.giveBack(keyID, p)
			return place{}, fmt.Errorf("%w (checking a new address: %w)", ErrChainUnavailable, err)
		}
		if !used {
			return p, nil
		}
		if err := a.store.InsertAddress(ctx, store.Address{
			Address: p.address, AccountKeyID: keyID, AddressIndex: p.index, DerivationPath: p.path, MerchantID: merchantID,
			SkippedReason: fmt.Sprintf("has a nonce or a balance on chain %d", chainID), CreatedAt: a.now().UTC(),
		}); err != nil {
			return place{}, err
		}
	}
}

// giveBack returns an address that certainly no payment uses.
func (a *allocator) giveBack(keyID string, p place) {
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
		k = &accountKey{id: id, account: account, branch: row.Branch, ahead: make(map[uint32]place), checked: make(map[uint64]map[string]bool)}
		a.keys[id] = k
	}
	return k, nil
}

// next returns a free address, or waits for the counter.
func (k *accountKey) next(ctx context.Context, s *store.Store) (place, error) {
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
		return t.place, t.err
	case <-ctx.Done():
		go func() { // the counter has moved for us; what we no longer want is the next one's
			if t := <-answer; t.err == nil {
				k.put(t.place)
			}
		}()
		return place{}, ctx.Err()
	}
}

// put adds a place to those that are free, in the order of the index.
func (k *accountKey) put(p place) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, _ := slices.BinarySearchFunc(k.free, p, func(a, b place) int { return cmp.Compare(a.index, b.index) })
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
				t.place, t.err = k.place(first + uint32(i))
			}
			answer <- t
		}
	}
}

// place is the address at an index. Deriving one costs more than a statement, so what a look ahead derived is used.
func (k *accountKey) place(index uint32) (place, error) {
	k.aheadMu.Lock()
	p, ok := k.ahead[index]
	delete(k.ahead, index)
	k.aheadMu.Unlock()
	if ok {
		return p, nil
	}
	return k.derive(index)
}

func (k *accountKey) derive(index uint32) (place, error) {
	address, err := k.account.Address(k.branch, index)
	if err != nil {
		return place{}, fmt.Errorf("payments: address %d/%d: %w", k.branch, index, err)
	}
	lower, err := wallet.ParseAddress(address)
	if err != nil {
		return place{}, fmt.Errorf("payments: address %d/%d: %w", k.branch, index, err)
	}
	return place{index: index, address: lower, path: k.account.Path(k.branch, index)}, nil
}

// look is place for an index that is not taken yet.
func (k *accountKey) look(index uint32) (place, error) {
	p, err := k.place(index)
	if err != nil {
		return place{}, err
	}
	k.aheadMu.Lock()
	defer k.aheadMu.Unlock()
	if len(k.ahead) >= mostAhead {
		clear(k.ahead)
	}
	k.ahead[index] = p
	return p, nil
}

// usedBefore asks the chain about p and the addresses after it, and remembers the answers.
func (k *accountKey) usedBefore(ctx context.Context, ask func(context.Context, uint64, []string) (map[string]bool, error), chainID uint64, p place) (bool, error) {
	k.checkMu.Lock()
	defer k.checkMu.Unlock()
	known := k.checked[chainID]
	if known == nil || len(known) >= mostAhead {
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
