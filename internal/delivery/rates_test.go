package delivery

import (
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestRateIsSharedByWorkers lets three workers send to one endpoint as fast as they may for ten seconds of a clock that
// the test moves: together they stay within the rate, and use it up.
func TestRateIsSharedByWorkers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		id := rateEndpoint(t, s, start)
		workers := []*rates{newRates(s), newRates(s), newRates(s)}
		const perSecond, seconds = 20, 10
		sent := 0
		for now := start; now.Before(start.Add(seconds * time.Second)); now = now.Add(10 * time.Millisecond) {
			for _, w := range workers {
				for {
					at, err := w.take(t.Context(), id, perSecond, now)
					if err != nil {
						t.Fatal(err)
					}
					if !at.IsZero() {
						if !at.After(now) {
							t.Fatalf("told at %v to come back at %v", now, at)
						}
						break
					}
					sent++
				}
			}
		}
		// A worker may have leased one span ahead at the end, and the first span is given out at once.
		if most := perSecond*seconds + 3*int(perSecond*rateSpan.Seconds()); sent > most || sent < perSecond*seconds*9/10 {
			t.Errorf("%d were sent in %d s at %d a second", sent, seconds, perSecond)
		}
	})
}

// TestRateSpreadsWhoIsTurnedAway checks that a backlog does not come back all at once.
func TestRateSpreadsWhoIsTurnedAway(t *testing.T) {
	s := storetest.Postgres(t)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	id := rateEndpoint(t, s, now)
	r := newRates(s)
	var mu sync.Mutex
	back := make(map[int64]int)
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			at, err := r.take(t.Context(), id, 10, now)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !at.IsZero() {
				back[int64(at.Sub(now)/time.Second)]++
			}
		})
	}
	all.Wait()
	for second, n := range back {
		if n > 11 {
			t.Errorf("%d are told to come back in second %d, at 10 a second", n, second)
		}
	}
	if len(back) < 29 {
		t.Errorf("298 are spread over %d seconds", len(back))
	}
}

func rateEndpoint(t *testing.T, s *store.Store, now time.Time) string {
	t.Helper()
	m := models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: "shop", CreatedAt: now, UpdatedAt: now}
	e := models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, now), MerchantID: m.ID, URL: "https://shop.example/", Events: []string{"*"},
		Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	err := s.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertMerchant(t.Context(), m); err != nil {
			return err
		}
		return tx.InsertEndpoint(t.Context(), e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}
