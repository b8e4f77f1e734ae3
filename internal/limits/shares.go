package limits

import (
	"context"
	"slices"
	"sync"
)

// Shares are slots that several merchants have in common, such as connections to the database. Nobody has more than
// a part of them, however much they ask for; of those who wait, whoever has the fewest slots gets the next.
type Shares struct {
	slots, part int

	mu      sync.Mutex
	used    int
	came    uint64 // who waited so far
	holders map[string]*holder
}

// holder is one merchant.
type holder struct {
	used    int
	waiting []shareWaiter
}

type shareWaiter struct {
	number uint64
	slot   chan struct{} // closed when the slot is theirs
}

const (
	// leastSlots is how many there are at least: fewer would make merchants wait whose requests wait for something else.
	leastSlots = 8
	// leastPart is how many one merchant has at least, partOf which part of all they have at most.
	leastPart = 2
	partOf    = 4
)

// NewShares returns slots of which each merchant may have a quarter.
func NewShares(slots int) *Shares {
	slots = max(slots, leastSlots)
	return &Shares{slots: slots, part: max(slots/partOf, leastPart), holders: make(map[string]*holder)}
}

// Part is how many slots one merchant may have.
func (s *Shares) Part() int { return s.part }

// Take takes a slot for a merchant, and waits for one until ctx ends.
func (s *Shares) Take(ctx context.Context, merchant string) (*Share, error) {
	x := &Share{of: s, merchant: merchant}
	return x, x.Reacquire(ctx)
}

// Share is a slot that a merchant has. One goroutine uses it.
type Share struct {
	of       *Shares
	merchant string
	held     bool
}

// Leave gives the slot back, if it is held: at the end, or while its holder waits for something else.
func (x *Share) Leave() {
	if x == nil || !x.held {
		return
	}
	x.held = false
	s := x.of
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(x.merchant)
}

// Reacquire takes a slot after Leave, and waits for one until ctx ends.
func (x *Share) Reacquire(ctx context.Context) error {
	if x == nil || x.held {
		return nil
	}
	s := x.of
	s.mu.Lock()
	h := s.holders[x.merchant]
	if h == nil {
		h = &holder{}
		s.holders[x.merchant] = h
	}
	if len(h.waiting) == 0 && s.allows(h) {
		s.take(h)
		s.mu.Unlock()
		x.held = true
		return nil
	}
	s.came++
	w := shareWaiter{s.came, make(chan struct{})}
	h.waiting = append(h.waiting, w)
	s.mu.Unlock()
	select {
	case <-w.slot:
		x.held = true
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(h.waiting, func(o shareWaiter) bool { return o.number == w.number })
	if i < 0 { // the slot came at the last moment
		s.leave(x.merchant)
		return ctx.Err()
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	s.forget(x.merchant)
	return ctx.Err()
}

func (s *Shares) allows(h *holder) bool { return s.used < s.slots && h.used < s.part }

func (s *Shares) take(h *holder) {
	s.used++
	h.used++
}

// leave gives a slot back, and hands out what is free.
func (s *Shares) leave(merchant string) {
	s.used--
	s.holders[merchant].used--
	for {
		var next *holder
		for _, h := range s.holders {
			if len(h.waiting) > 0 && s.allows(h) && (next == nil || h.before(next)) {
				next = h
			}
		}
		if next == nil {
			break
		}
		close(next.waiting[0].slot)
		next.waiting = slices.Delete(next.waiting, 0, 1)
		s.take(next)
	}
	s.forget(merchant)
}

func (h *holder) before(o *holder) bool {
	if h.used != o.used {
		return h.used < o.used
	}
	return h.waiting[0].number < o.waiting[0].number
}

// forget drops a merchant who has nothing and wants nothing.
func (s *Shares) forget(merchant string) {
	if h := s.holders[merchant]; h.used == 0 && len(h.waiting) == 0 {
		delete(s.holders, merchant)
	}
}
