package main

import (
	"errors"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// pace calls f for 0…n-1, each in a goroutine of its own, so many a second whatever became of the earlier ones. It
// returns when all have returned, and says how many a second they were in fact.
func pace(t testkit.TB, n, perSecond int, f func(i int) error) float64 {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := time.Now()
	for i := range n {
		if wait := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))); wait > 0 {
			time.Sleep(wait)
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		all.Go(func() {
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	must(t, failed)
	return float64(n) / took.Seconds()
}

// count is how many events a rate makes in d.
func count(d time.Duration, perSecond int) int { return int(d.Seconds() * float64(perSecond)) }

// stamps are moments by id. It is safe for concurrent use.
type stamps struct {
	mu sync.Mutex
	at map[string]time.Time
}

func newStamps() *stamps { return &stamps{at: make(map[string]time.Time)} }

func (s *stamps) set(id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[id] = at
}

// millis are how many milliseconds it took from each moment to its counterpart in to. Every id must have one.
func (s *stamps) millis(t testkit.TB, to map[string]time.Time) []float64 {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []float64
	for id, from := range s.at {
		at, ok := to[id]
		if !ok {
			t.Fatalf("%s was never received", id)
		}
		all = append(all, float64(at.Sub(from).Microseconds())/1000)
	}
	return all
}
