package maintenance

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestPack holds that batches keep the order and the limits, that nothing is lost, and that only a last one waits that
// is neither full nor due.
func TestPack(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 3000), rapid.IntRange(1, webhook.MaxEventBytes)), 0,
			250).Draw(t, "sizes")
		most := rapid.IntRange(2, webhook.MaxBatchEvents).Draw(t, "most")
		due := noon.Add(time.Duration(rapid.IntRange(-1, len(sizes)).Draw(t, "due")) * time.Second)
		waiting := make([]store.BatchCandidate, len(sizes))
		for i, n := range sizes {
			waiting[i] = store.BatchCandidate{Delivery: models.Delivery{CreatedAt: noon.Add(time.Duration(i) * time.Second)},
				Body: make([]byte, n)}
		}
		next := 0
		packed := pack(waiting, most, due)
		for i, b := range packed {
			body, err := webhook.EncodeBatch(bodies(b))
			if err != nil || len(b) > most {
				t.Fatalf("batch of %d: %v", len(b), err)
			}
			for _, g := range b {
				if !g.CreatedAt.Equal(waiting[next].CreatedAt) {
					t.Fatalf("batch %d is out of order", i)
				}
				next++
			}
			full := len(b) == most || next < len(waiting) && len(body)+1+len(waiting[next].Body) > webhook.MaxBatchBytes
			if !full && (i < len(packed)-1 || next < len(waiting) || b[0].CreatedAt.After(due)) {
				t.Fatalf("batch %d of %d events is neither full nor due", i, len(b))
			}
		}
		rest := waiting[next:]
		if len(rest) >= most || len(rest) > 0 && !rest[0].CreatedAt.After(due) {
			t.Fatalf("%d are left to wait", len(rest))
		}
	})
}

func TestTick(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{10 * time.Millisecond: tickLeast,
		200 * time.Millisecond: 100 * time.Millisecond, time.Minute: tickMost} {
		if got := tick([]store.BatchSubscription{{Wait: time.Hour}, {Wait: wait}}); got != want {
			t.Errorf("%v: %v, want %v", wait, got, want)
		}
	}
	if got := tick(nil); got != gatheringsEvery {
		t.Errorf("idle: %v", got)
	}
}
