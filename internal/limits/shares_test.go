package limits

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// TestShares: one merchant has a quarter at most, however many of theirs wait; whoever has the fewest gets the next
// slot; who stops waiting, or waits for something else, holds nothing.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShares(8)
		if s.Part() != 2 {
			t.Fatalf("a part of 8 is %d", s.Part())
		}
		var flood []*Share
		for range s.Part() {
			x, err := s.Take(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			flood = append(flood, x)
		}
		got := make(chan *Share, 10)
		waiting, stop := context.WithCancel(t.Context())
		for range 3 {
			go func() {
				x, err := s.Take(waiting, "b")
				if err == nil {
					got <- x
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		a, err := s.Take(t.Context(), "a")
		if err != nil || len(got) != 0 {
			t.Fatalf("%v, and %d more for who has their part", err, len(got))
		}
		a.Leave()
		a.Leave()
		flood[0].Leave()
		synctest.Wait()
		if len(got) != 1 {
			t.Fatalf("%d got the one slot that was given back", len(got))
		}
		stop()
		synctest.Wait()
		(<-got).Leave()
		if err := flood[0].Reacquire(t.Context()); err != nil || !flood[0].held {
			t.Fatalf("again: %v", err)
		}
		for _, x := range flood {
			x.Leave()
		}
		if s.used != 0 || len(s.holders) != 0 {
			t.Errorf("%d in use, %d remembered", s.used, len(s.holders))
		}
	})
}

// TestSharesAreFair: whatever merchants do, never more is held than there is nor than a part, and nobody waits who
// could have a slot.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewShares(rapid.IntRange(1, 24).Draw(rt, "slots"))
			type user struct {
				merchant string
				done     chan struct{}
			}
			var users []user
			for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
				if len(users) > 0 && rapid.Bool().Draw(rt, fmt.Sprint("leave", i)) {
					j := rapid.IntRange(0, len(users)-1).Draw(rt, fmt.Sprint("who", i))
					close(users[j].done) // who holds leaves, who waits gives up
					users = append(users[:j], users[j+1:]...)
				} else {
					u := user{fmt.Sprint(rapid.IntRange(0, 5).Draw(rt, fmt.Sprint("merchant", i))), make(chan struct{})}
					users = append(users, u)
					go func() {
						ctx, cancel := context.WithCancel(context.Background())
						go func() { <-u.done; cancel() }()
						x, err := s.Take(ctx, u.merchant)
						<-u.done
						if err == nil {
							x.Leave()
						}
					}()
				}
				synctest.Wait()
				used := 0
				for m, h := range s.holders {
					used += h.used
					if h.used > s.part || len(h.waiting) > 0 && s.allows(h) {
						t.Fatalf("%s holds %d of %d, %d wait", m, h.used, s.part, len(h.waiting))
					}
				}
				if used != s.used || used > s.slots {
					t.Fatalf("%d held, %d counted, %d slots", used, s.used, s.slots)
				}
			}
			for _, u := range users {
				close(u.done)
			}
			synctest.Wait()
			if s.used != 0 || len(s.holders) != 0 {
				t.Fatalf("%d held at the end", s.used)
			}
		})
	})
}
