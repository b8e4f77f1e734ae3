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
	used  askFunc
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*accountKey
}

// accountKey is what the allocator knows of one account key.
type accountKey struct {
	id      string
	account *wallet.Account

	mu      sync.Mutex
	branch  uint32
	next    uint32 // behind the highest index that this process was given
	free    []slot // released, lowest index first
	waiting []chan taken
	moving  bool

	aheadMu sync.Mutex
	ahead   map[uint32]slot // derived for a look ahead and not taken yet

	checkMu sync.Mutex
	checked map[uint64]*check // by chain id
}

// check is what a chain has said about addresses before they are handed out.
type check struct {
	used   map[string]bool // by address: was it used before
	upTo   uint32          // the first index that the chain was not asked about
	asking chan struct{}   // closed when the look ahead that is under way ends; nil for none
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
		p, err := k.wait(ctx, a.store)
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
			checked: make(map[uint64]*check)}
		a.keys[id] = k
	}
	return k, nil
}

// wait returns a free address, or waits for the counter.
func (k *accountKey) wait(ctx context.Context, s *store.Store) (slot, error) {
	k.mu.Lock()
	if len(k.free) > 0 && !s.RestoreUnfinished() {
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
		given, err := k.takeIndexes(ctx, s, uint32(len(waiting)))
		cancel()
		for i, answer := range waiting {
			t := taken{err: err}
			if err == nil {
				t.slot, t.err = k.slot(given.First + uint32(i))
			}
			answer <- t
		}
	}
}

// takeIndexes moves the counter in the database. One that gives out what this process was given before has lost what it
// knew: it moves on, and so do all others. A branch that an operator changed is heeded from here on.
func (k *accountKey) takeIndexes(ctx context.Context, s *store.Store, n uint32) (store.Indexes, error) {
	given, err := s.TakeIndexes(ctx, k.id, n)
	if err != nil {
		return given, err
	}
	k.mu.Lock()
	next, branch := k.next, k.branch
	k.mu.Unlock()
	if given.First < next {
		if err := s.CounterBehind(ctx, k.id, next, time.Now().UTC().Truncate(time.Microsecond)); err != nil {
			return given, err
		}
		if given, err = s.TakeIndexes(ctx, k.id, n); err != nil {
			return given, err
		}
	}
	k.mu.Lock()
	k.next = max(k.next, given.First+given.N)
	k.branch = given.Branch
	if given.Branch != branch {
		k.free = nil // they are of the branch before
	}
	k.mu.Unlock()
	if given.Branch != branch {
		k.aheadMu.Lock()
		clear(k.ahead)
		k.aheadMu.Unlock()
	}
	return given, nil
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
	k.mu.Lock()
	branch := k.branch
	k.mu.Unlock()
	lower, err := k.account.LowerAddress(branch, index)
	if err != nil {
		return slot{}, fmt.Errorf("payments: address %d/%d: %w", branch, index, err)
	}
	return slot{index: index, address: lower, path: k.account.Path(branch, index)}, nil
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

// askFunc asks a chain which of some addresses were used before.
type askFunc func(ctx context.Context, chainID uint64, addresses []string) (map[string]bool, error)

// usedBefore says whether an address was used before on a chain. The chain is asked ahead of demand: about the next
// addresses as soon as few are left that it has spoken of, so that a payment waits for it only when many come at once.
func (k *accountKey) usedBefore(ctx context.Context, ask askFunc, chainID uint64, p slot) (bool, error) {
	k.checkMu.Lock()
	defer k.checkMu.Unlock()
	c := k.checked[chainID]
	if c == nil {
		c = &check{used: make(map[string]bool)}
		k.checked[chainID] = c
	}
	used, known := c.used[p.address]
	for !known && c.asking != nil {
		asked := c.asking
		k.checkMu.Unlock()
		select {
		case <-asked:
		case <-ctx.Done():
		}
		k.checkMu.Lock()
		if used, known = c.used[p.address]; !known && ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	if !known {
		// From the beginning of its group, so that requests which come out of order ask about each group once.
		if err := k.askAbout(ctx, ask, chainID, p.index-p.index%lookahead, c); err != nil {
			return false, err
		}
		used = c.used[p.address]
	}
	delete(c.used, p.address)
	if c.asking == nil && c.upTo > p.index && c.upTo-p.index <= lookahead/2 {
		c.asking = make(chan struct{})
		go k.askAhead(ask, chainID, c.upTo, c)
	}
	return used, nil
}

// askAhead asks about the addresses from an index on. What goes wrong is told to whoever asks about one of them.
func (k *accountKey) askAhead(ask askFunc, chainID uint64, from uint32, c *check) {
	ctx, cancel := context.WithTimeout(context.Background(), refillTimeout)
	defer cancel()
	fresh := &check{used: make(map[string]bool)}
	err := k.askAbout(ctx, ask, chainID, from, fresh)
	k.checkMu.Lock()
	defer k.checkMu.Unlock()
	if err == nil {
		c.add(fresh.used, fresh.upTo)
	}
	close(c.asking)
	c.asking = nil
}

// askAbout asks about the addresses from an index on, and notes the answers.
func (k *accountKey) askAbout(ctx context.Context, ask askFunc, chainID uint64, from uint32, c *check) error {
	var addresses []string
	for i := range uint32(lookahead) {
		p, err := k.look(from + i)
		if err != nil {
			return err
		}
		addresses = append(addresses, p.address)
	}
	answers, err := ask(ctx, chainID, addresses)
	if err == nil {
		c.add(answers, from+lookahead)
	}
	return err
}

// add takes answers in, and forgets older ones when there are many: those that other processes took.
func (c *check) add(answers map[string]bool, upTo uint32) {
	if len(c.used) >= maxPrefetch {
		c.used = make(map[string]bool)
	}
	maps.Copy(c.used, answers)
	c.upTo = max(c.upTo, upTo)
}
