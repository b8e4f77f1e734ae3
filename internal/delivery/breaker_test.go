package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

func rules() delivery.BreakerRules {
	return delivery.BreakerRules{
		Window: 5 * time.Minute, MinAttempts: 10, FailureRatio: 0.7, Timeouts: 5, Open: 30 * time.Second, OpenMost: 15 * time.Minute,
		DisableAfter: 120 * time.Hour, DisableFailures: 20,
	}
}

func ExampleBreakerRules_OpenFor() {
	r := delivery.BreakerRules{Open: 30 * time.Second, OpenMost: 15 * time.Minute}
	for n := 1; n <= 7; n++ {
		fmt.Print(r.OpenFor(n), " ")
	}
	// Output: 30s 1m0s 2m0s 4m0s 8m0s 15m0s 15m0s
}

func ExampleRamp() {
	for _, n := range []int{0, 10, 1000, 10_000} {
		fmt.Println(n, delivery.Ramp(n).Round(100*time.Millisecond))
	}
	// Output:
	// 0 0s
	// 10 600ms
	// 1000 9.5s
	// 10000 31.1s
}

func TestBreakerTrips(t *testing.T) {
	for _, c := range []struct {
		ok, failed, timeouts int
		want                 bool
	}{
		{0, 0, 0, false}, {0, 9, 0, false}, {0, 10, 0, true}, {3, 7, 0, true}, {4, 7, 0, false}, {300, 700, 0, true}, {301, 699, 0, false},
		{1000, 4, 4, false}, {1000, 5, 5, true}, {0, 5, 5, true},
	} {
		if got := rules().Trips(store.WindowBucket{OK: c.ok, Failed: c.failed}, c.timeouts); got != c.want {
			t.Errorf("%d ok, %d failed, %d timeouts: %v", c.ok, c.failed, c.timeouts, got)
		}
	}
}

func TestGivesUp(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	since := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for name, c := range map[string]struct {
		e    models.Endpoint
		want bool
	}{
		"never failed":      {models.Endpoint{}, false},
		"long and often":    {models.Endpoint{Failures: 20, FailingSince: since(120 * time.Hour)}, true},
		"long, rarely":      {models.Endpoint{Failures: 19, FailingSince: since(1000 * time.Hour)}, false},
		"often, not long":   {models.Endpoint{Failures: 5000, FailingSince: since(119 * time.Hour)}, false},
		"the default stays": {models.Endpoint{Failures: 500, FailingSince: since(500 * time.Hour), IsDefault: true}, false},
	} {
		if got := rules().GivesUp(c.e, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRampIsSteady checks the law of the ramp: the order is kept, and no second lets more go than 20 n + 10 after n
// seconds.
func TestRampIsSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 100_000).Draw(t, "n")
		at := delivery.Ramp(n)
		if delivery.Ramp(n+1) <= at {
			t.Fatalf("number %d is due before number %d", n+1, n)
		}
		s := at.Seconds()
		if most := 10*s + 10*s*s + 1; float64(n) > most {
			t.Fatalf("%d are out after %v", n, at)
		}
	})
}
