package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/models"
)

// schedule is that of the settings' defaults.
var schedule = delivery.Schedule{Base: 5 * time.Second, Factor: 3, Max: 12 * time.Hour, Jitter: 0.2}

func ExampleSchedule_Delay() {
	s := schedule
	var total time.Duration
	for n := 1; n < 15; n++ {
		d := s.Delay(n, 0.5)
		total += d
		fmt.Print(" ", d)
	}
	fmt.Printf("\nafter %.1f days it is dead\n", total.Hours()/24)
	// Output:
	//  5s 15s 45s 2m15s 6m45s 20m15s 1h0m45s 3h2m15s 9h6m45s 12h0m0s 12h0m0s 12h0m0s 12h0m0s 12h0m0s
	// after 3.1 days it is dead
}

func TestDelayStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := delivery.Schedule{
			Base: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")), Factor: rapid.Float64Range(1, 10).Draw(t, "factor"),
			Max: time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "max")), Jitter: rapid.Float64Range(0, 0.9).Draw(t, "jitter"),
		}
		n := rapid.IntRange(-3, 5000).Draw(t, "n")
		random := rapid.Float64Range(0, 0.999999).Draw(t, "random")
		d := s.Delay(n, random)
		if d < 0 || float64(d) > float64(s.Max)*(1+s.Jitter)+1 {
			t.Fatalf("delay %v", d)
		}
		s.Jitter = 0
		if a, b := s.Delay(n, random), s.Delay(n+1, random); b < a {
			t.Fatalf("delay %d is %v, the next %v", n, a, b)
		}
	})
}

func TestScheduleOverrides(t *testing.T) {
	base, most := 1000, 3000
	s := schedule.For(models.Endpoint{RetryBaseMS: &base, RetryMaxMS: &most})
	if s.Delay(1, 0.5) != time.Second || s.Delay(9, 0.5) != 3*time.Second {
		t.Errorf("%v, %v", s.Delay(1, 0.5), s.Delay(9, 0.5))
	}
	if low, high := s.Delay(1, 0), s.Delay(1, 0.999999); low != 800*time.Millisecond || high < 1199*time.Millisecond || high > 1200*time.Millisecond {
		t.Errorf("jitter from %v to %v", low, high)
	}
}
