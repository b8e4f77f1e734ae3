package delivery

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	limitShards = 64
	// minWait is the resolution of Asynq's retry set; a shorter wait is none.
	minWait = time.Second
	// maxWait bounds how far ahead a place in the queue is given out; who comes back then is given another.
	maxWait = 5 * time.Minute
	// maxLimits bounds what a shard remembers of idle keys.
	maxLimits = 1024
)

// limits bounds how many requests are in flight per key (an endpoint, a host) in this process. Whoever is turned away
// gets a time of their own to come back, computed from how long requests take, so that a long backlog is turned away
// about once and not again and again.
type limits struct {
	seed   maphash.Seed
	shards [limitShards]struct {
		sync.Mutex
		keys map[string]*limit
	}
}

type limit struct {
	inFlight int
	next     time.Time     // the first time that was not given out yet
	took     time.Duration // moving average of a request
}

func newLimits() *limits {
	l := &limits{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].keys = make(map[string]*limit)
	}
	return l
}

// acquire takes a place for key, of which there are most. It returns the zero time, or when to come back.
func (l *limits) acquire(key string, most int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
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
	if k.inFlight < most {
		k.inFlight++
		return time.Time{}
	}
	if k.next.Before(now) {
		k.next = now
	}
	k.next = k.next.Add(max(k.took, time.Millisecond) / time.Duration(most))
	if latest := now.Add(maxWait); k.next.After(latest) {
		k.next = latest
	}
	if soonest := now.Add(minWait); k.next.Before(soonest) {
		return soonest
	}
	return k.next
}

// release gives a place back after a request that took as long as told, 0 if none was made.
func (l *limits) release(key string, took time.Duration) {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	k := s.keys[key]
	k.inFlight--
	if took > 0 {
		k.took += (took - k.took) / 8
	}
}
