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
	// maxWait bounds how far ahead a place in the queue is given out; who comes back then is given another.
	maxWait = 5 * time.Minute
	// patience is how long a wait may be expected to be for a task to wait here, where it holds one of its lane's places.
	patience = 50 * time.Millisecond
	// maxLimits bounds what a shard remembers of idle keys.
	maxLimits = 1024
)

// limits bounds how many requests are in flight per key (an endpoint, a host) in this process. Those who find no place
// wait for one, if one is about to become free. All others are turned away, with a time of their own to come
// back that is computed from how long requests take, so that a long backlog is turned away about once and not again and
// again, and costs no worker.
type limits struct {
	seed   maphash.Seed
	shards [limitShards]struct {
		sync.Mutex
		keys map[string]*limit
	}
}

type limit struct {
	inFlight int
	waiting  []chan struct{} // each gets the place of one who leaves
	next     time.Time       // the first time that was not given out yet
	took     time.Duration   // moving average of a request
	left     time.Time       // when the last place was given back, or the first was taken
}

func newLimits() *limits {
	l := &limits{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].keys = make(map[string]*limit)
	}
	return l
}

// acquire takes a place for key, of which there are most, waiting for it up to a second. It returns the zero time, or
// when to come back.
func (l *limits) acquire(ctx context.Context, key string, most int, now time.Time) time.Time {
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
	if k.inFlight < most {
		if k.inFlight == 0 {
			k.left = now
		}
		k.inFlight++
		s.Unlock()
		return time.Time{}
	}
	if k.crowded(most, now) {
		defer s.Unlock()
		return k.slot(most, now)
	}
	place := make(chan struct{})
	k.waiting = append(k.waiting, place)
	s.Unlock()

	timer := time.NewTimer(minWait)
	defer timer.Stop()
	select {
	case <-place:
		return time.Time{}
	case <-timer.C:
	case <-ctx.Done():
	}
	s.Lock()
	defer s.Unlock()
	if i := slices.Index(k.waiting, place); i >= 0 {
		k.waiting = slices.Delete(k.waiting, i, i+1)
		return k.slot(most, now.Add(minWait))
	}
	return time.Time{} // the place came at the last moment
}

// pace is how long a request takes: on average, or already, when nobody came back for longer than that.
func (k *limit) pace(now time.Time) time.Duration { return max(k.took, now.Sub(k.left)) }

// crowded reports whether a place would take too long to become free.
func (k *limit) crowded(most int, now time.Time) bool {
	return k.pace(now)*time.Duration(len(k.waiting)+1)/time.Duration(most) > patience
}

// full is acquire without taking a place: the time to come back, if there is no place and waiting makes no sense.
func (l *limits) full(key string, most int, now time.Time) time.Time {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	if k := s.keys[key]; k != nil && k.inFlight >= most && k.crowded(most, now) {
		return k.slot(most, now)
	}
	return time.Time{}
}

// slot gives out the next time at which a place should be free.
func (k *limit) slot(most int, now time.Time) time.Time {
	if k.next.Before(now) {
		k.next = now
	}
	k.next = k.next.Add(max(k.pace(now), time.Millisecond) / time.Duration(most))
	if latest := now.Add(maxWait); k.next.After(latest) {
		k.next = latest
	}
	if soonest := now.Add(minWait); k.next.Before(soonest) {
		return soonest
	}
	return k.next
}

// release gives a place back at now, after a request that took as long as told, 0 if none was made.
func (l *limits) release(key string, took time.Duration, now time.Time) {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	s.Lock()
	defer s.Unlock()
	k := s.keys[key]
	k.left = now
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
