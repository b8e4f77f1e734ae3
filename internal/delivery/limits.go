package delivery

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	limitShards = 64
	// minWait is the resolution of Asynq's retry set; a shorter wait is spent here.
	minWait = time.Second
	// maxWait bounds how far ahead a time is given out; a task that comes then without finding a slot is given another
	// time.
	maxWait = 5 * time.Minute
	// patience is how long a wait may be expected to be for a task to wait here, where it takes up a worker of its lane.
	patience = 50 * time.Millisecond
	// lanePatience is the same for the workers of a lane, where the tasks of one merchant wait for others of theirs.
	lanePatience = 250 * time.Millisecond
	// comingAgain is how much later than told a task may come again: Asynq keeps whole seconds, and looks twice in one.
	comingAgain = 2 * time.Second
	// maxLimits bounds what a shard remembers of idle keys, maxTenants what a key remembers of idle merchants.
	maxLimits  = 1024
	maxTenants = 64
	// hostReserve and laneReserve say what is left for others: one merchant takes no more slots than so many times those
	// that are free. Alone they have three quarters of a host, and seven eighths of a lane's workers.
	hostReserve = 3
	laneReserve = 7
)

// limits bounds how many requests are in flight per key (an endpoint, a host, a lane) in this process. A task that
// finds no slot waits for one, if one is about to become free. All others are turned away, each with a time of its own
// to come again that is computed from how long requests take, so that a long backlog is turned away about once and
// costs no worker.
//
// Merchants share the slots of a key. One that has none gets the next that is free. Of the others nobody takes the last
// one, nor more than reserve times what is free, so that whoever comes first does not have it all. While another one
// wants slots, here or at a time that was given out, nobody takes more than their part.
type limits struct {
	reserve  int // 0 where all the requests of a key are of one merchant
	patience time.Duration
	seed     maphash.Seed
	shards   [limitShards]struct {
		sync.Mutex
		keys map[string]*limit
	}
}

// limit is one key.
type limit struct {
	reserve  int
	slots    int
	inFlight int
	came     uint64 // waiters so far
	usage           // of all merchants together
	tenants  map[string]*tenant
}

// tenant is one merchant at a key.
type tenant struct {
	inFlight int
	waiting  []waiter
	next     time.Time // the first time that was not given out yet
	until    time.Time // until when somebody who was turned away comes again
	usage
}

// waiter gets the slot of a request that ends.
type waiter struct {
	slot   chan struct{}
	number uint64
}

// usage is how long slots are used.
type usage struct {
	took  time.Duration // moving average of a request
	freed time.Time     // when the last slot was given back, or the first was taken
}

// pace is how long a request takes: on average, or already, when none has ended for longer than that.
func (u *usage) pace(now time.Time) time.Duration { return max(u.took, now.Sub(u.freed)) }

func (u *usage) ended(took time.Duration, now time.Time) {
	u.freed = now
	if took > 0 {
		u.took += (took - u.took) / 8
	}
}

func newLimits(reserve int, patience time.Duration) *limits {
	l := &limits{reserve: reserve, patience: patience, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].keys = make(map[string]*limit)
	}
	return l
}

// acquire takes one of the slots of key for a merchant, waiting for it up to a second. It returns the zero time, or
// when to come again.
func (l *limits) acquire(ctx context.Context, key, merchant string, slots int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	k := s.keys[key]
	if k == nil {
		if len(s.keys) >= maxLimits {
			for name, idle := range s.keys {
				if idle.inFlight == 0 && !idle.wanted(now) {
					delete(s.keys, name)
				}
			}
		}
		k = &limit{reserve: l.reserve, tenants: make(map[string]*tenant)}
		s.keys[key] = k
	}
	k.slots = slots
	p := k.tenant(merchant, now)
	if len(p.waiting) == 0 && k.allows(p, now) {
		k.take(p, now)
		s.Unlock()
		return time.Time{}
	}
	if k.crowded(p, l.patience, now) {
		defer s.Unlock()
		return k.nextSlot(p, now)
	}
	k.came++
	w := waiter{slot: make(chan struct{}), number: k.came}
	p.waiting = append(p.waiting, w)
	s.Unlock()

	timer := time.NewTimer(minWait)
	defer timer.Stop()
	select {
	case <-w.slot:
		return time.Time{}
	case <-timer.C:
	case <-ctx.Done():
	}
	s.Lock()
	defer s.Unlock()
	if i := slices.IndexFunc(p.waiting, func(o waiter) bool { return o.number == w.number }); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return k.nextSlot(p, now.Add(minWait))
	}
	return time.Time{} // the slot came at the last moment
}

// tenant is what is known of a merchant. Merchants who have not been here for a while are forgotten.
func (k *limit) tenant(merchant string, now time.Time) *tenant {
	p := k.tenants[merchant]
	if p == nil {
		if len(k.tenants) >= maxTenants {
			for name, idle := range k.tenants {
				if idle.inFlight == 0 && !idle.wants(now) {
					delete(k.tenants, name)
				}
			}
		}
		p = &tenant{}
		k.tenants[merchant] = p
	}
	return p
}

// wants reports whether a merchant waits for a slot, here or until a time that was given out.
func (p *tenant) wants(now time.Time) bool { return len(p.waiting) > 0 || p.until.After(now) }

func (k *limit) wanted(now time.Time) bool {
	for _, p := range k.tenants {
		if p.wants(now) {
			return true
		}
	}
	return false
}

// allows reports whether a merchant may take another slot now.
func (k *limit) allows(p *tenant, now time.Time) bool {
	free := k.slots - k.inFlight
	if free <= 0 || k.reserve == 0 || p.inFlight == 0 {
		return free > 0
	}
	if free == 1 || p.inFlight >= k.reserve*free {
		return false
	}
	active, others := 0, false
	for _, o := range k.tenants {
		if o == p || o.inFlight > 0 || o.wants(now) {
			active++
		}
		others = others || o != p && o.wants(now)
	}
	return !others || p.inFlight < (k.slots+active-1)/active
}

func (k *limit) take(p *tenant, now time.Time) {
	if k.inFlight == 0 {
		k.freed = now
	}
	if p.inFlight == 0 {
		p.freed = now
	}
	k.inFlight++
	p.inFlight++
}

// each is the time between two slots that a merchant can expect: their own that end, or those of others.
func (k *limit) each(p *tenant, now time.Time) time.Duration {
	if p.inFlight > 0 {
		return p.pace(now) / time.Duration(p.inFlight)
	}
	return k.pace(now) / time.Duration(k.slots)
}

// crowded reports whether a slot would take too long to become free.
func (k *limit) crowded(p *tenant, patience time.Duration, now time.Time) bool {
	return k.each(p, now)*time.Duration(len(p.waiting)+1) > patience
}

// full is acquire without taking a slot: the time to come again, if there is no slot and waiting makes no sense.
func (l *limits) full(key, merchant string, slots int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	if k := s.keys[key]; k != nil && k.inFlight >= slots {
		if p := k.tenant(merchant, now); k.crowded(p, l.patience, now) {
			return k.nextSlot(p, now)
		}
	}
	return time.Time{}
}

// nextSlot gives out the next time at which a merchant should find a slot.
func (k *limit) nextSlot(p *tenant, now time.Time) time.Time {
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(max(k.each(p, now), time.Millisecond/time.Duration(k.slots)))
	if latest := now.Add(maxWait); p.next.After(latest) {
		p.next = latest
	}
	at := p.next
	if soonest := now.Add(minWait); at.Before(soonest) {
		at = soonest
	}
	if until := at.Add(comingAgain); until.After(p.until) {
		p.until = until
	}
	return at
}

// release gives a slot back at now, after a request that took as long as told, 0 if none was made. Of those who wait
// and may take it, whoever has the fewest gets it.
func (l *limits) release(key, merchant string, took time.Duration, now time.Time) {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	k := s.keys[key]
	p := k.tenants[merchant]
	k.ended(took, now)
	p.ended(took, now)
	k.inFlight--
	p.inFlight--
	for {
		var next *tenant
		for _, o := range k.tenants {
			if len(o.waiting) > 0 && k.allows(o, now) && (next == nil || o.before(next)) {
				next = o
			}
		}
		if next == nil {
			return
		}
		close(next.waiting[0].slot)
		next.waiting = slices.Delete(next.waiting, 0, 1)
		k.take(next, now)
	}
}

// before reports whether a merchant who waits gets a slot before another one: with fewer slots, or waiting for longer.
func (p *tenant) before(o *tenant) bool {
	if p.inFlight != o.inFlight {
		return p.inFlight < o.inFlight
	}
	return p.waiting[0].number < o.waiting[0].number
}
