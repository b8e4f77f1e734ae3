package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLimitsBound(t *testing.T) {
	l := newLimits(0, patience)
	var inFlight, most, served atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				if at := l.acquire(context.Background(), "k", "", 3, time.Now()); !at.IsZero() {
					time.Sleep(time.Millisecond) // comes again, sooner than told
					continue
				}
				n := inFlight.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				inFlight.Add(-1)
				served.Add(1)
				l.release("k", "", time.Millisecond, time.Now())
				return
			}
		})
	}
	wg.Wait()
	if served.Load() != 50 || most.Load() != 3 {
		t.Errorf("%d served, %d in flight", served.Load(), most.Load())
	}
	if at := l.acquire(context.Background(), "k", "", 1, time.Now()); !at.IsZero() {
		t.Error("a free place was not given")
	}
}

// TestLimitsSpreadABacklog turns a long backlog of a slow key away: everybody gets a time of their own, at the pace of
// the key, and nobody waits here.
func TestLimitsSpreadABacklog(t *testing.T) {
	l := newLimits(0, patience)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ctx := context.Background()
	for range 64 { // the key learns that it is slow
		if at := l.acquire(ctx, "slow", "", 4, now); !at.IsZero() {
			t.Fatal("a free place was not given")
		}
		l.release("slow", "", 10*time.Second, now)
	}
	for range 4 {
		l.acquire(ctx, "slow", "", 4, now)
	}
	last := now
	for i := range 100 { // 4 places of 10 s: one every 2.5 s
		at := l.acquire(ctx, "slow", "", 4, now)
		want := time.Duration(i+1) * 2500 * time.Millisecond
		if at.Before(last) || at.Sub(now) < want-want/20-time.Second || at.Sub(now) > want+time.Second {
			t.Fatalf("number %d comes after %v, want about %v", i, at.Sub(now), want)
		}
		last = at
	}
	for range 100 {
		if at := l.acquire(ctx, "slow", "", 4, now); at.Sub(now) > maxWait {
			t.Fatalf("sent away for %v", at.Sub(now))
		}
	}
}

// sharing is a host at which merchants want more requests than there are slots, all the time. Its clock moves from the
// end of one request to that of the next.
type sharing struct {
	t        *rapid.T
	l        *limits
	k        *limit
	now      time.Time
	took     []time.Duration // what a request of each merchant takes
	inFlight []request
	since    time.Time // when the last merchant came
}

type request struct {
	merchant   int
	began, end time.Time
}

const shared = "hooks.example"

func (h *sharing) name(merchant int) string { return fmt.Sprint("mer_", merchant) }

// come has one more merchant, with a request that waits; start says how many go out at once.
func (h *sharing) come(merchant int) (started int) {
	before := len(h.inFlight)
	h.since = h.now
	for {
		p := h.k.tenant(h.name(merchant), h.now)
		if !h.k.allows(p, h.now) {
			break
		}
		h.k.take(p, h.now)
		h.begin(merchant)
	}
	h.want(merchant)
	return len(h.inFlight) - before
}

// want puts one waiter in line.
func (h *sharing) want(merchant int) {
	h.k.came++
	p := h.k.tenant(h.name(merchant), h.now)
	p.waiting = append(p.waiting, waiter{make(chan struct{}), h.k.came})
}

func (h *sharing) begin(merchant int) {
	h.inFlight = append(h.inFlight, request{merchant, h.now, h.now.Add(h.took[merchant])})
}

// step ends the request that ends next. Whoever gets its slot wants another one.
func (h *sharing) step() {
	first := 0
	for i, r := range h.inFlight {
		if r.end.Before(h.inFlight[first].end) {
			first = i
		}
	}
	over := h.inFlight[first]
	h.inFlight = append(h.inFlight[:first:first], h.inFlight[first+1:]...)
	h.now = over.end
	h.l.release(shared, h.name(over.merchant), over.end.Sub(over.began), h.now)
	for m := range h.took {
		if p := h.k.tenants[h.name(m)]; p != nil && len(p.waiting) == 0 {
			h.begin(m)
			h.want(m)
			for got := h.k.tenants[h.name(m)].inFlight - h.counts()[m]; got > 0; got-- {
				h.begin(m)
			}
		}
	}
}

func (h *sharing) counts() []int {
	n := make([]int, len(h.took))
	for _, r := range h.inFlight {
		n[r.merchant]++
	}
	return n
}

// TestSharesOfAHost: however long the requests of each merchant take, and whoever came first, nobody holds up who comes
// second, and once the requests of before are over all have the same number of slots. Never are more than all in use.
func TestSharesOfAHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(2, 64).Draw(t, "slots")
		merchants := rapid.IntRange(2, min(slots, 8)).Draw(t, "merchants")
		h := &sharing{t: t, l: newLimits(hostReserve, patience), now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
		for m := range merchants {
			ms := rapid.IntRange(500, 30_000).Draw(t, fmt.Sprint("ms", m))
			h.took = append(h.took, time.Duration(ms)*time.Millisecond)
		}
		if at := h.l.acquire(t.Context(), shared, h.name(0), slots, h.now); !at.IsZero() {
			t.Fatal("nobody is here, and there is no slot")
		}
		for i := range h.l.shards {
			if k := h.l.shards[i].keys[shared]; k != nil {
				h.k = k
			}
		}
		h.begin(0)
		h.come(0)
		if got := h.counts()[0]; got == slots || got < slots/2 {
			t.Fatalf("alone, %d of %d slots", got, slots)
		}
		for m := 1; m < merchants; m++ {
			if started := h.come(m); m == 1 && started == 0 {
				t.Fatal("the second merchant has to wait")
			}
			for range rapid.IntRange(0, 20).Draw(t, fmt.Sprint("steps", m)) {
				h.step()
				h.check(slots)
			}
		}
		for h.now.Before(h.since.Add(70 * time.Second)) {
			h.step()
			h.check(slots)
		}
		counts := h.counts()
		least, most := slots, 0
		for _, n := range counts {
			least, most = min(least, n), max(most, n)
		}
		if least < 1 || most-least > 1 {
			t.Fatalf("%v of %d slots", counts, slots)
		}
	})
}

func (h *sharing) check(slots int) {
	if len(h.inFlight) > slots || len(h.inFlight) != h.k.inFlight {
		h.t.Fatalf("%d in flight, %d counted, %d slots", len(h.inFlight), h.k.inFlight, slots)
	}
	for m, n := range h.counts() {
		if p := h.k.tenants[h.name(m)]; p != nil && p.inFlight != n {
			h.t.Fatalf("merchant %d: %d in flight, %d counted", m, n, p.inFlight)
		}
	}
}

// TestTurnedAwayComesFirst: a merchant who was turned away finds a slot at the time that they were told, though another
// one takes whatever becomes free.
func TestTurnedAwayComesFirst(t *testing.T) {
	l := newLimits(hostReserve, patience)
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const slots = 8
	take := func(merchant string, at time.Time) bool {
		return l.acquire(t.Context(), shared, merchant, slots, at).IsZero()
	}
	for _, m := range []string{"slow", "slow", "slow", "slow", "slow", "slow", "second", "third"} {
		if !take(m, now) {
			t.Fatalf("%s: no slot", m)
		}
	}
	now = now.Add(8 * time.Second)
	at := l.acquire(t.Context(), shared, "fourth", slots, now)
	if at.IsZero() {
		t.Fatal("nine of eight slots")
	}
	for range 3 { // the slow one wants every slot that it gives back
		now = now.Add(300 * time.Millisecond)
		l.release(shared, "slow", 8*time.Second, now)
		take("slow", now)
	}
	if !take("fourth", at) {
		t.Error("no slot at the time that was given out")
	}
}
