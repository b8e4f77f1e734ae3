package breaker_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/models"
)

func rules() breaker.Rules {
	return breaker.Rules{
		Window: 5 * time.Minute, MinAttempts: 10, FailureRatio: 0.7, Timeouts: 5, Open: 30 * time.Second,
		MaxOpen: 15 * time.Minute, DisableAfter: 120 * time.Hour, SlowAbove: 2 * time.Second,
	}
}

func ExampleRules_OpenFor() {
	r := breaker.Rules{Open: 30 * time.Second, MaxOpen: 15 * time.Minute}
	for n := 1; n <= 7; n++ {
		fmt.Print(r.OpenFor(n), " ")
	}
	// Output: 30s 1m0s 2m0s 4m0s 8m0s 15m0s 15m0s
}

func ExampleSlowStart() {
	for _, n := range []int{0, 10, 1000, 10_000} {
		fmt.Println(n, breaker.SlowStart(n).Round(100*time.Millisecond))
	}
	// Output:
	// 0 0s
	// 10 600ms
	// 1000 9.5s
	// 10000 31.1s
}

func TestTrips(t *testing.T) {
	for _, c := range []struct {
		ok, failed, timeouts int
		want                 bool
	}{
		{0, 0, 0, false}, {0, 9, 0, false}, {0, 10, 0, true}, {3, 7, 0, true}, {4, 7, 0, false}, {300, 700, 0, true}, {301, 699, 0, false},
		{1000, 4, 4, false}, {1000, 5, 5, true}, {0, 5, 5, true},
	} {
		if got := rules().Trips(c.ok, c.failed, c.timeouts); got != c.want {
			t.Errorf("%d ok, %d failed, %d timeouts: %v", c.ok, c.failed, c.timeouts, got)
		}
	}
}

func TestShouldDisable(t *testing.T) {
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
		if got := rules().ShouldDisable(c.e, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSlowStartIsSteady checks the law of the slow start: the order is kept, and no second lets more go than 20 n + 10
// after n seconds.
func TestSlowStartIsSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 100_000).Draw(t, "n")
		at := breaker.SlowStart(n)
		if breaker.SlowStart(n+1) <= at {
			t.Fatalf("number %d is due before number %d", n+1, n)
		}
		s := at.Seconds()
		if most := 10*s + 10*s*s + 1; float64(n) > most {
			t.Fatalf("%d are out after %v", n, at)
		}
	})
}

func ExampleRules_Trips() {
	fmt.Println(rules().Trips(3, 7, 0), rules().Trips(4, 7, 0), rules().Trips(100, 5, 5))
	// Output: true false true
}

func ExampleRules_Trip() {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	e := rules().Trip(models.Endpoint{}, noon)
	fmt.Println(e.BreakerState, e.BreakerOpenUntil.Sub(noon))
	e = rules().Trip(e, noon)
	fmt.Println(e.BreakerState, e.BreakerOpenUntil.Sub(noon))
	fmt.Println(breaker.Close(e).BreakerState)
	// Output:
	// open 30s
	// open 1m0s
	// closed
}

func TestIsSlow(t *testing.T) {
	for _, c := range []struct {
		mean    time.Duration
		already bool
		want    bool
	}{{2 * time.Second, false, false}, {2001 * time.Millisecond, false, true}, {1500 * time.Millisecond, true, true},
		{time.Second, true, false}} {
		if got := rules().IsSlow(c.mean, c.already); got != c.want {
			t.Errorf("%v, slow before: %v: %v", c.mean, c.already, got)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := rules().Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*breaker.Rules){
		"window":  func(r *breaker.Rules) { r.Window = breaker.Bucket - 1 },
		"ratio":   func(r *breaker.Rules) { r.FailureRatio = 1.01 },
		"longest": func(r *breaker.Rules) { r.MaxOpen = r.Open - 1 },
		"slow":    func(r *breaker.Rules) { r.SlowAbove = 0 },
	} {
		r := rules()
		if spoil(&r); r.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
