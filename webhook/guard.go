package webhook

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Guard remembers which events were handled, so that one that comes again is not handled again. The key is the id of
// the event, the same whether it came alone or in a batch. A claim is taken before the handler runs, committed after it
// succeeded and released after it failed. Implementations must be safe for concurrent use, also by several processes
// where several receive. A guard over the receiver's own database is a table with the id as its primary key.
type Guard interface {
	// Claim takes the id, or says who has it. The error is the store's; the event must then not be handled.
	Claim(ctx context.Context, id string) (Claim, error)
	// Commit records for good that the event was handled, even when the claim has meanwhile run out.
	Commit(ctx context.Context, c Claim) error
	// Release gives the id back. It does nothing when the claim has run out and the id is another's.
	Release(ctx context.Context, c Claim) error
}

// Claim is the answer to [Guard].Claim.
type Claim struct {
	ID    string
	State ClaimState
	// Token tells this claim from a later one of the same id; only the guard reads it.
	Token uint64
}

// ClaimState says whose an id is.
type ClaimState int

// States of a claim.
const (
	ClaimWon  ClaimState = iota + 1 // the caller's: handle the event, then commit or release
	ClaimBusy                       // another's, who has not finished
	ClaimDone                       // handled before
)

// ErrGuardFull is returned by [MemoryGuard.Claim] while as many events are being handled as it may hold.
var ErrGuardFull = errors.New("webhook: replay guard is full of unfinished claims")

// Defaults of [GuardOptions].
const (
	// DefaultGuardTTL is how long the gateway keeps events. Its retries end within days, but what is held for a paused
	// endpoint goes out up to 30 days later, and a replay sends any event again under the id that it had.
	DefaultGuardTTL = 90 * 24 * time.Hour
	DefaultClaimTTL = 10 * time.Minute
	DefaultGuardMax = 100_000
)

// GuardOptions configure a [MemoryGuard]; zero values mean the defaults.
type GuardOptions struct {
	TTL      time.Duration // how long a handled id is remembered
	ClaimTTL time.Duration // after which an unfinished claim is taken for dead; longer than any handler runs
	Max      int           // ids held; beyond it the oldest handled ones are forgotten
	Now      func() time.Time
}

// MemoryGuard is a [Guard] in the memory of one process: it forgets everything at a restart and knows nothing of other
// processes. A receiver that must not handle an event twice keeps the ids in its database instead.
type MemoryGuard struct {
	ttl, claimTTL time.Duration
	max           int
	now           func() time.Time

	mu     sync.Mutex
	ids    map[string]*list.Element
	claims *list.List // of *guardEntry, oldest first, which is also the order in which they end
	done   *list.List // likewise
	token  uint64
}

type guardEntry struct {
	id    string
	token uint64 // 0 once done
	ends  time.Time
}

// NewMemoryGuard returns an empty guard; a negative option is an error.
func NewMemoryGuard(o GuardOptions) (*MemoryGuard, error) {
	if o.TTL < 0 || o.ClaimTTL < 0 || o.Max < 0 {
		return nil, errors.New("webhook: guard: TTL, ClaimTTL and Max must not be negative")
	}
	g := &MemoryGuard{
		ttl: o.TTL, claimTTL: o.ClaimTTL, max: o.Max, now: o.Now,
		ids: map[string]*list.Element{}, claims: list.New(), done: list.New(),
	}
	if g.ttl == 0 {
		g.ttl = DefaultGuardTTL
	}
	if g.claimTTL == 0 {
		g.claimTTL = DefaultClaimTTL
	}
	if g.max == 0 {
		g.max = DefaultGuardMax
	}
	if g.now == nil {
		g.now = time.Now
	}
	return g, nil
}

// Claim takes id unless it is taken or done. The only error is [ErrGuardFull].
func (g *MemoryGuard) Claim(_ context.Context, id string) (Claim, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.expire(now)
	if e, ok := g.ids[id]; ok {
		if entryOf(e).token == 0 {
			return Claim{ID: id, State: ClaimDone}, nil
		}
		return Claim{ID: id, State: ClaimBusy}, nil
	}
	if len(g.ids) >= g.max && !g.forgetOldest() {
		return Claim{}, ErrGuardFull
	}
	g.token++
	g.ids[id] = g.claims.PushBack(&guardEntry{id: id, token: g.token, ends: now.Add(g.claimTTL)})
	return Claim{ID: id, State: ClaimWon, Token: g.token}, nil
}

// Commit remembers the id as handled.
func (g *MemoryGuard) Commit(_ context.Context, c Claim) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(c.ID)
	if len(g.ids) >= g.max {
		g.forgetOldest()
	}
	g.ids[c.ID] = g.done.PushBack(&guardEntry{id: c.ID, ends: g.now().Add(g.ttl)})
	return nil
}

// Release forgets the claim.
func (g *MemoryGuard) Release(_ context.Context, c Claim) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.ids[c.ID]; ok && c.Token != 0 && entryOf(e).token == c.Token {
		g.drop(c.ID)
	}
	return nil
}

// Len is the number of ids held, claimed and done.
func (g *MemoryGuard) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ids)
}

func (g *MemoryGuard) expire(now time.Time) {
	for _, l := range []*list.List{g.claims, g.done} {
		for e := l.Front(); e != nil && !now.Before(entryOf(e).ends); e = l.Front() {
			g.drop(entryOf(e).id)
		}
	}
}

func (g *MemoryGuard) forgetOldest() bool {
	e := g.done.Front()
	if e == nil {
		return false
	}
	g.drop(entryOf(e).id)
	return true
}

func (g *MemoryGuard) drop(id string) {
	e, ok := g.ids[id]
	if !ok {
		return
	}
	delete(g.ids, id)
	if entryOf(e).token == 0 {
		g.done.Remove(e)
	} else {
		g.claims.Remove(e)
	}
}

func entryOf(e *list.Element) *guardEntry { return e.Value.(*guardEntry) }
