package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLimitsBound(t *testing.T) {
	l := newLimits()
	var inFlight, most, served atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				if at := l.acquire(context.Background(), "k", 3, time.Now()); !at.IsZero() {
					time.Sleep(time.Millisecond) // comes again, sooner than told
					continue
				}
				n := inFlight.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Millisecond)
				inFlight.Add(-1)
				served.Add(1)
				l.release("k", time.Millisecond, time.Now())
				return
			}
		})
	}
	wg.Wait()
	if served.Load() != 50 || most.Load() != 3 {
		t.Errorf("%d served, %d in flight", served.Load(), most.Load())
	}
	if at := l.acquire(context.Background(), "k", 1, time.Now()); !at.IsZero() {
		t.Error("a free place was not given")
	}
}

// TestLimitsSpreadABacklog turns a long backlog of a slow key away: everybody gets a time of their own, at the pace of
// the key, and nobody waits here.
func TestLimitsSpreadABacklog(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ctx := context.Background()
	for range 64 { // the key learns that it is slow
		if at := l.acquire(ctx, "slow", 4, now); !at.IsZero() {
			t.Fatal("a free place was not given")
		}
		l.release("slow", 10*time.Second, now)
	}
	for range 4 {
		l.acquire(ctx, "slow", 4, now)
	}
	last := now
	for i := range 100 { // 4 places of 10 s: one every 2.5 s
		at := l.acquire(ctx, "slow", 4, now)
		want := time.Duration(i+1) * 2500 * time.Millisecond
		if at.Before(last) || at.Sub(now) < want-want/20-time.Second || at.Sub(now) > want+time.Second {
			t.Fatalf("number %d comes after %v, want about %v", i, at.Sub(now), want)
		}
		last = at
	}
	for range 100 {
		if at := l.acquire(ctx, "slow", 4, now); at.Sub(now) > maxWait {
			t.Fatalf("sent away for %v", at.Sub(now))
		}
	}
}
