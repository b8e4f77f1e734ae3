package delivery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// schedule is that of the settings' defaults.
var schedule = Schedule{Base: 5 * time.Second, Factor: 3, Max: 12 * time.Hour, Jitter: 0.2}

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
		s := Schedule{
			Base:   time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			Factor: rapid.Float64Range(1, 10).Draw(t, "factor"),
			Max:    time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "max")),
			Jitter: rapid.Float64Range(0, 0.9).Draw(t, "jitter"),
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
	if low, high := s.Delay(1, 0), s.Delay(1, 0.999999); low != 800*time.Millisecond || high < 1199*time.Millisecond ||
		high > 1200*time.Millisecond {
		t.Errorf("jitter from %v to %v", low, high)
	}
}

// TestPlan has one row for each way in which an answer can end an attempt.
func TestPlan(t *testing.T) {
	now := decideAt
	retry := answer.Verdict{Class: answer.ServerError, Action: answer.Retry}
	refused := answer.Verdict{Class: answer.Rejected, Action: answer.Retry, SplitsBatch: true}
	next := now.Add(10 * time.Second)
	base := func() store.Waiting {
		w := due()
		w.MaxAttempts = 3
		return w
	}
	for name, c := range map[string]struct {
		change  func(*store.Waiting)
		verdict answer.Verdict
		want    Plan
	}{
		"delivered":     {nil, answer.Verdict{Class: answer.Delivered, Action: answer.Done}, Plan{State: models.DeliveryDelivered, NextAttemptAt: now}},
		"first failure": {nil, retry, Plan{State: models.DeliveryPending, NextAttemptAt: next, ChangesLane: true}},
		"later failure": {func(w *store.Waiting) { w.Attempts = 1 }, retry, Plan{State: models.DeliveryPending, NextAttemptAt: now.Add(20 * time.Second)}},
		"last failure":  {func(w *store.Waiting) { w.Attempts = 2 }, retry, Plan{State: models.DeliveryDead, DeadReason: "attempts exhausted", NextAttemptAt: now}},
		"gone": {nil, answer.Verdict{Class: answer.Gone, Action: answer.Die, DisableEndpoint: true},
			Plan{State: models.DeliveryDead, DeadReason: "gone", NextAttemptAt: now, DisableEndpoint: true}},
		"throttled": {nil, answer.Verdict{Class: answer.Throttled, Action: answer.Retry, RetryAfter: 2 * time.Hour},
			Plan{State: models.DeliveryPending, NextAttemptAt: now.Add(2 * time.Hour), ChangesLane: true,
				Gate: now.Add(time.Hour)}},
		"refused event": {nil, refused, Plan{State: models.DeliveryPending, NextAttemptAt: next, ChangesLane: true}},
		"refused batch": {func(w *store.Waiting) { w.IsBatch, w.Attempts = true, 2 }, refused, Plan{State: models.DeliveryCanceled, NextAttemptAt: now}},
		"failed batch":  {func(w *store.Waiting) { w.IsBatch = true }, retry, Plan{State: models.DeliveryPending, NextAttemptAt: next, ChangesLane: true}},
		"probe": {func(w *store.Waiting) { w.Breaker, w.BreakerProbe, w.Attempts = models.BreakerHalfOpen, w.ID, 1 }, retry,
			Plan{State: models.DeliveryPending, NextAttemptAt: now.Add(20 * time.Second), Probe: true}},
	} {
		w := base()
		if c.change != nil {
			c.change(&w)
		}
		schedule := Schedule{Base: 10 * time.Second, Factor: 2, Max: time.Hour}
		if got := plan(&w, models.Endpoint{}, c.verdict, schedule, 0.5, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
