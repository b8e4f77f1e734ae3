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
	// maxLimits bounds what a shard remembers of idle keys.
	maxLimits = 1024
)

// limits bounds how many requests are in flight per key (an endpoint, a host) in this process. A task that finds no
// slot waits for one, if one is about to become free. All others are turned away, each with a time of its own to come
// again that is computed from how long requests take, so that a long backlog is turned away about once and costs no
// worker.
type limits struct {
	seed   maphash.Seed
	shards [limitShards]struct {
		sync.Mutex
		keys map[string]*limit
	}
}

type limit struct {
	inFlight int
	waiting  []chan struct{} // each gets the slot of a request that ends
	next     time.Time       // the first time that was not given out yet
	took     time.Duration   // moving average of a request
	freed    time.Time       // when the last slot was given back, or the first was taken
}

func newLimits() *limits {
	l := &limits{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].keys = make(map[string]*limit)
	}
	return l
}

// acquire takes one of the slots of key, waiting for it up to a second. It returns the zero time, or when to come
// again.
func (l *limits) acquire(ctx context.Context, key string, slots int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	k := s.keys[key]
	if k == nil {
		if len(s.keys) >= maxLimits {
			for name, idle := range s.keys {
				if idle.inFlight == 0 && idle.next.Before(now) {
					delete(s.keys, name)
				}
			}
		}
		k = &limit{}
		s.keys[key] = k
	}
	if k.inFlight < slots {
		if k.inFlight == 0 {
			k.freed = now
		}
		k.inFlight++
		s.Unlock()
		return time.Time{}
	}
	if k.crowded(slots, now) {
		defer s.Unlock()
		return k.nextSlot(slots, now)
	}
	slot := make(chan struct{})
	k.waiting = append(k.waiting, slot)
	s.Unlock()

	timer := time.NewTimer(minWait)
	defer timer.Stop()
	select {
	case <-slot:
		return time.Time{}
	case <-timer.C:
	case <-ctx.Done():
	}
	s.Lock()
	defer s.Unlock()
	if i := slices.Index(k.waiting, slot); i >= 0 {
		k.waiting = slices.Delete(k.waiting, i, i+1)
		return k.nextSlot(slots, now.Add(minWait))
	}
	return time.Time{} // the slot came at the last moment
}

// pace is how long a request takes: on average, or already, when none has ended for longer than that.
func (k *limit) pace(now time.Time) time.Duration { return max(k.took, now.Sub(k.freed)) }

// crowded reports whether a slot would take too long to become free.
func (k *limit) crowded(slots int, now time.Time) bool {
	return k.pace(now)*time.Duration(len(k.waiting)+1)/time.Duration(slots) > patience
}

// full is acquire without taking a slot: the time to come again, if there is no slot and waiting makes no sense.
func (l *limits) full(key string, slots int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	if k := s.keys[key]; k != nil && k.inFlight >= slots && k.crowded(slots, now) {
		return k.nextSlot(slots, now)
	}
	return time.Time{}
}

// nextSlot gives out the next time at which a slot should be free.
func (k *limit) nextSlot(slots int, now time.Time) time.Time {
	if k.next.Before(now) {
		k.next = now
	}
	k.next = k.next.Add(max(k.pace(now), time.Millisecond) / time.Duration(slots))
	if latest := now.Add(maxWait); k.next.After(latest) {
		k.next = latest
	}
	if soonest := now.Add(minWait); k.next.Before(soonest) {
		return soonest
	}
	return k.next
}

// release gives a slot back at now, after a request that took as long as told, 0 if none was made.
func (l *limits) release(key string, took time.Duration, now time.Time) {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	k := s.keys[key]
	k.freed = now
	if took > 0 {
		k.took += (took - k.took) / 8
	}
	if len(k.waiting) > 0 {
		close(k.waiting[0])
		k.waiting = slices.Delete(k.waiting, 0, 1)
		return
	}
	k.inFlight--
}
