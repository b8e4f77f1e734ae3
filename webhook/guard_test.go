package webhook_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// The guard against a model that keeps everything in a map and looks at the clock each time.
func TestMemoryGuardModel(t *testing.T) {
	const ttl, claimTTL = 100 * time.Second, 10 * time.Second
	type known struct {
		token uint64
		ends  time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(vectorTime, 0)
		g, err := webhook.NewMemoryGuard(webhook.GuardOptions{TTL: ttl, ClaimTTL: claimTTL, Now: func() time.Time {
			return now
		}})
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]known{}
		var held []webhook.Claim
		ids := rapid.SampledFrom([]string{"a", "b", "c"})
		pick := func(t *rapid.T) webhook.Claim {
			if len(held) == 0 {
				t.Skip("no claim yet")
			}
			return rapid.SampledFrom(held).Draw(t, "claim")
		}
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				want := webhook.ClaimWon
				if k, ok := model[id]; ok && now.Before(k.ends) {
					if want = webhook.ClaimDone; k.token != 0 {
						want = webhook.ClaimBusy
					}
				}
				c, err := g.Claim(t.Context(), id)
				if err != nil || c.State != want || c.ID != id {
					t.Fatalf("claim %s: %+v, %v, want state %v", id, c, err, want)
				}
				if want == webhook.ClaimWon {
					model[id] = known{c.Token, now.Add(claimTTL)}
					held = append(held, c)
				}
			},
			"commit": func(t *rapid.T) {
				c := pick(t)
				if err := g.Commit(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				model[c.ID] = known{0, now.Add(ttl)}
			},
			"release": func(t *rapid.T) {
				c := pick(t)
				if err := g.Release(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if model[c.ID].token == c.Token {
					delete(model, c.ID)
				}
			},
			"wait": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second) },
		})
	})
}

func TestMemoryGuardIsBounded(t *testing.T) {
	g, err := webhook.NewMemoryGuard(webhook.GuardOptions{Max: 3})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(id string) webhook.Claim {
		t.Helper()
		c, err := g.Claim(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range 100 {
		c := claim(strconv.Itoa(i))
		if c.State != webhook.ClaimWon {
			t.Fatal(c)
		}
		if err := g.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if g.Len() > 3 {
			t.Fatalf("holds %d", g.Len())
		}
	}
	if claim("99").State != webhook.ClaimDone || claim("97").State != webhook.ClaimDone {
		t.Error("forgot a young one")
	}
	won := []webhook.Claim{claim("x"), claim("y"), claim("z")}
	if _, err := g.Claim(t.Context(), "w"); !errors.Is(err, webhook.ErrGuardFull) {
		t.Errorf("four unfinished claims: %v", err)
	}
	if err := g.Release(t.Context(), won[0]); err != nil || claim("w").State != webhook.ClaimWon {
		t.Error("no room after a release")
	}
	for _, o := range []webhook.GuardOptions{{TTL: -1}, {ClaimTTL: -1}, {Max: -1}} {
		if _, err := webhook.NewMemoryGuard(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
}

func TestMemoryGuardOneWins(t *testing.T) {
	g, err := webhook.NewMemoryGuard(webhook.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range 50 {
				c, err := g.Claim(t.Context(), strconv.Itoa(i))
				if err != nil {
					t.Error(err)
					return
				}
				if c.State == webhook.ClaimWon {
					won.Add(1)
					if err := g.Commit(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if won.Load() != 50 {
		t.Errorf("%d claims won of 50 ids", won.Load())
	}
}
