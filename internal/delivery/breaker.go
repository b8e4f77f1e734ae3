package delivery

import (
	"errors"
	"math"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// BreakerRules say when nothing more is sent to an endpoint for a while, and when it is given up (product.md section 5,
// ruling 11). The zero value of a field means its default.
type BreakerRules struct {
	// Window is over how long attempts are counted, 5 min. The breaker opens when at least MinAttempts (10) were made in it
	// and FailureRatio (0.7) of them failed, or when Timeouts (5) in a row got no answer in time.
	Window       time.Duration
	MinAttempts  int
	FailureRatio float64
	Timeouts     int
	// Open is how long it stays open, 30 s, doubled each time that its probe fails, to OpenMost (15 min) at most.
	Open, OpenMost time.Duration
	// DisableAfter and DisableFailures: an endpoint without a success for 5 days and with 20 failed attempts in them is
	// disabled.
	DisableAfter    time.Duration
	DisableFailures int
	// SlowAbove is the mean answer time, 2 s, from which on an endpoint's deliveries use the lane of slow endpoints; they
	// leave it when the mean is below half of it.
	SlowAbove time.Duration
}

// withDefaults fills in what is not given.
func (r BreakerRules) withDefaults() (BreakerRules, error) {
	durations := []struct {
		field *time.Duration
		value time.Duration
	}{{&r.Window, 5 * time.Minute}, {&r.Open, 30 * time.Second}, {&r.OpenMost, 15 * time.Minute}, {&r.DisableAfter, 120 * time.Hour},
		{&r.SlowAbove, 2 * time.Second}}
	for _, d := range durations {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, n := range []struct {
		field *int
		value int
	}{{&r.MinAttempts, 10}, {&r.Timeouts, 5}, {&r.DisableFailures, 20}} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	if r.FailureRatio == 0 {
		r.FailureRatio = 0.7
	}
	if r.Window < tallySpan || r.MinAttempts < 1 || r.FailureRatio <= 0 || r.FailureRatio > 1 || r.Timeouts < 1 || r.Open <= 0 ||
		r.OpenMost < r.Open || r.DisableAfter <= 0 || r.DisableFailures < 1 || r.SlowAbove <= 0 {
		return r, errors.New("delivery: a rule of the breaker is out of range")
	}
	return r, nil
}

// OpenFor is how long the breaker stays open when it opens for the n-th time in a row, n counting from 1.
func (r BreakerRules) OpenFor(n int) time.Duration {
	open := float64(r.Open) * math.Pow(2, float64(max(n, 1)-1))
	if open > float64(r.OpenMost) {
		return r.OpenMost
	}
	return time.Duration(open)
}

// Trips reports whether attempts that came to this, the last timeouts of them in a row without an answer in time, open a
// breaker.
func (r BreakerRules) Trips(in store.WindowBucket, timeouts int) bool {
	all := in.OK + in.Failed
	return timeouts >= r.Timeouts || all >= r.MinAttempts && float64(in.Failed) >= r.FailureRatio*float64(all)
}

// GivesUp reports whether an endpoint has failed for so long that it is to be disabled.
func (r BreakerRules) GivesUp(e models.Endpoint, now time.Time) bool {
	return !e.IsDefault && e.Failures >= r.DisableFailures && e.FailingSince != nil && now.Sub(*e.FailingSince) >= r.DisableAfter
}

// open opens the breaker of an endpoint at now, once more.
func (r BreakerRules) open(e models.Endpoint, now time.Time) models.Endpoint {
	e.BreakerTrips++
	until := now.Add(r.OpenFor(e.BreakerTrips))
	e.BreakerState, e.BreakerOpenUntil, e.BreakerProbe = models.BreakerOpen, &until, ""
	return e
}

// closeBreaker forgets what was held against an endpoint.
func closeBreaker(e models.Endpoint) models.Endpoint {
	e.BreakerState, e.BreakerOpenUntil, e.BreakerProbe, e.BreakerTrips = models.BreakerClosed, nil, "", 0
	e.Timeouts, e.Failures, e.FailingSince = 0, 0, nil
	return e
}

// Ramp is when the n-th delivery that waited for an endpoint is due after its breaker closed, n counting from 0: ten in
// the first second and twenty a second more in every second after it, so that a receiver that just came back is not
// knocked over by its backlog. A thousand are out within 10 s, ten thousand within 32 s.
func Ramp(n int) time.Duration {
	return time.Duration((math.Sqrt(100+40*float64(n)) - 10) / 20 * float64(time.Second))
}
