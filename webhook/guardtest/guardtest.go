package guardtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// Run holds a guard to what the interface asks for. pass lets the time of an unfinished claim run out; nil where that
// takes too long.
func Run(t *testing.T, g webhook.Guard, pass func()) {
	t.Helper()
	ctx := context.Background()
	claim := func(id string, want webhook.ClaimState) webhook.Claim {
		t.Helper()
		c, err := g.Claim(ctx, id)
		if err != nil || c.State != want || c.ID != id {
			t.Fatalf("claim of %s: %+v, %v; want state %d", id, c, err, want)
		}
		return c
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := claim("evt_a", webhook.ClaimWon)
	claim("evt_a", webhook.ClaimBusy)
	must(g.Release(ctx, first))
	again := claim("evt_a", webhook.ClaimWon)
	must(g.Release(ctx, first)) // an old claim gives nothing away
	claim("evt_a", webhook.ClaimBusy)
	must(g.Commit(ctx, again))
	claim("evt_a", webhook.ClaimDone)
	must(g.Release(ctx, again)) // what is done stays done
	claim("evt_a", webhook.ClaimDone)
	claim("evt_b", webhook.ClaimWon)

	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if c, err := g.Claim(ctx, "evt_many"); err == nil && c.State == webhook.ClaimWon {
				won.Add(1)
			} else if err == nil && c.State != webhook.ClaimBusy {
				t.Errorf("%+v", c)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 16 claims at once were won", won.Load())
	}
	if pass == nil {
		return
	}
	dead := claim("evt_dead", webhook.ClaimWon)
	pass()
	taken := claim("evt_dead", webhook.ClaimWon)
	must(g.Release(ctx, dead))
	claim("evt_dead", webhook.ClaimBusy)
	must(g.Commit(ctx, dead)) // it ran out, and still the event was handled
	claim("evt_dead", webhook.ClaimDone)
	must(g.Commit(ctx, taken))
	claim("evt_a", webhook.ClaimDone)
	for i := range 3 {
		claim(fmt.Sprintf("evt_%d", i), webhook.ClaimWon)
	}
}
