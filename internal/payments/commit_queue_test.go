package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestPickIsFair: a transaction takes from all merchants in turn, from none more than its part while others wait, none
// of what is claimed, and leaves the rest in order.
func TestPickIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &groupCommit{claimed: map[string]bool{}, merchants: map[string]*underWay{}}
		merchants := rapid.IntRange(1, 6).Draw(t, "merchants")
		for i := range rapid.IntRange(1, 300).Draw(t, "waiting") {
			n := &creation{payment: models.Payment{ID: fmt.Sprint(i), MerchantID: fmt.Sprint("mer_", i%merchants)}}
			if rapid.Bool().Draw(t, "order") {
				n.payment.OrderID = new(fmt.Sprint(i % 10))
			}
			n.claims = claimsOf(n)
			g.waiting = append(g.waiting, n)
		}
		wanted := map[string]bool{}
		for _, n := range g.waiting {
			wanted[n.payment.MerchantID] = true
		}
		before := len(g.waiting)
		batch, of := g.pick(false)
		counts, claims := map[string]int{}, map[string]bool{}
		for _, n := range batch {
			counts[n.payment.MerchantID]++
			for _, c := range n.claims {
				if claims[c] {
					t.Fatalf("%s is claimed twice", c)
				}
				claims[c] = true
			}
		}
		if len(batch)+len(g.waiting) != before || len(batch) > maxBatch || len(of) != len(counts) ||
			len(counts) != len(wanted) {
			t.Fatalf("%d and %d of %d, of %v", len(batch), len(g.waiting), before, of)
		}
		for m, n := range counts {
			if len(counts) > 1 && n > mixedBatch {
				t.Fatalf("%s has %d of a transaction of %d merchants", m, n, len(counts))
			}
		}
		for m := range wanted {
			g.of(m).batches++
		}
		if more, _ := g.pick(true); len(more) > 0 {
			t.Fatalf("%d are written beside what is under way of their merchant", len(more))
		}
		for _, n := range g.waiting {
			for _, c := range n.claims {
				delete(g.claimed, c)
			}
		}
		last := -1
		for _, n := range g.waiting {
			var i int
			if _, err := fmt.Sscan(n.payment.ID, &i); err != nil || i < last {
				t.Fatal("what waits is not in order")
			}
			last = i
		}
	})
}

// TestWhoWaitsForAKeyHoldsNoConnection: while a key is in another transaction's hands, of all requests with it one
// waits at the database, and another merchant's payments are made meanwhile. All of them learn what became of it.
func TestWhoWaitsForAKeyHoldsNoConnection(t *testing.T) {
	s := storetest.Postgres(t)
	h := newHarness(t, s, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	held, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.InTx(ctx, func(tx *store.Tx) error {
			err := tx.SaveAnswers(ctx, []models.IdempotencyRecord{*h.record("held")})
			close(held)
			<-finish
			return err
		})
	}()
	<-held
	const losers = 100
	ends := make(chan error, losers)
	for range losers {
		go func() {
			_, err := h.create(h.request(""), h.record("held"))
			ends <- err
		}()
	}
	testkit.Eventually(t, 30*time.Second, "all but one wait here", func() bool {
		h.group.mu.Lock()
		defer h.group.mu.Unlock()
		return len(h.group.waiting) == losers-1
	})
	_, errs := crowd(20, func(int) (models.Payment, error) { return h.ask(nil) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := s.PoolStats().InUse; n > 3 {
		t.Errorf("%d connections are held for one key", n)
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range losers {
		if err := <-ends; !errors.Is(err, store.ErrIdempotencyTaken) {
			t.Fatalf("a loser was told %v", err)
		}
	}
}

// TestFollows: who waited for a key or an order is told what became of it only as far as it concerns them.
func TestFollows(t *testing.T) {
	of := func(key, order, replaces string) *creation {
		n := &creation{payment: models.Payment{MerchantID: "mer_1"}}
		if key != "" {
			n.record = &models.IdempotencyRecord{MerchantID: "mer_1", Method: "POST", Path: "/x", Key: key}
		}
		if order != "" {
			n.payment.OrderID = &order
		}
		if replaces != "" {
			n.payment.Replaces = &replaces
		}
		n.claims = claimsOf(n)
		return n
	}
	away := &unknownCommit{cause: errors.New("away")}
	for _, c := range []struct {
		name string
		n, w *creation
		err  error
		want error
	}{
		{"another key", of("a", "", ""), of("b", "", ""), nil, nil},
		{"the key is done", of("a", "", ""), of("a", "", ""), nil, store.ErrIdempotencyTaken},
		{"the key was done before", of("a", "", ""), of("a", "1", ""), store.ErrIdempotencyTaken, store.ErrIdempotencyTaken},
		{"the key failed", of("a", "1", ""), of("a", "2", ""), store.ErrOrderTaken, nil},
		{"the order is done", of("a", "1", ""), of("b", "1", ""), nil, store.ErrOrderTaken},
		{"the order is taken over", of("a", "1", ""), of("b", "1", "pay_1"), nil, nil},
		{"the lock of somebody else's key", of("a", "1", ""), of("b", "1", ""), store.ErrLockTimeout, nil},
		{"the same lock", of("a", "", ""), of("a", "", ""), store.ErrLockTimeout, store.ErrLockTimeout},
		{"no answer", of("a", "", ""), of("a", "", ""), away, away.cause},
		{"one replaced", of("", "1", "pay_1"), of("", "2", "pay_1"), nil, nil},
		{"a fault of its own", of("a", "", ""), of("a", "", ""), errors.New("x"), nil},
	} {
		if got := follows(c.n, c.w, c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !errors.Is(away, ErrCommitUnknown) || !strings.Contains(away.Error(), "away") {
		t.Error(away)
	}
}
