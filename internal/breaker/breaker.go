package breaker

import (
	"errors"
	"math"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Bucket is the length of time whose attempts are counted together.
const Bucket = 10 * time.Second

// Rules say when the breaker of an endpoint opens, for how long, and when the endpoint is disabled. Their defaults are
// those of the settings in config.
type Rules struct {
	// Window is over how long attempts are counted. The breaker opens when at least MinAttempts were made in it and
	// FailureRatio of them failed, or when Timeouts in a row got no answer in time.
	Window       time.Duration
	MinAttempts  int
	FailureRatio float64
	Timeouts     int
	// Open is how long the breaker stays open, doubled each time that its probe fails, to MaxOpen at most.
	Open, MaxOpen time.Duration
	// DisableAfter: an endpoint without a success for so long, and with MinFailures failed attempts in that time, is
	// disabled.
	DisableAfter time.Duration
	// SlowAbove is the mean answer time from which on the deliveries of an endpoint use the lane of slow endpoints. They
	// leave it when the mean is below half of it.
	SlowAbove time.Duration
}

// MinFailures is how many attempts have to fail before an endpoint is disabled, however long ago its last success is:
// one that gets an event a month is not judged by a single failure.
const MinFailures = 20

// Check refuses rules that are out of range.
func (r Rules) Check() error {
	if r.Window < Bucket || r.MinAttempts < 1 || r.FailureRatio <= 0 || r.FailureRatio > 1 || r.Timeouts < 1 ||
		r.Open <= 0 ||
		r.MaxOpen < r.Open || r.DisableAfter <= 0 || r.SlowAbove <= 0 {
		return errors.New("breaker: a rule is out of range")
	}
	return nil
}

// OpenFor is how long the breaker stays open when it opens for the n-th time in a row, n counting from 1.
func (r Rules) OpenFor(n int) time.Duration {
	open := float64(r.Open) * math.Pow(2, float64(max(n, 1)-1))
	if open > float64(r.MaxOpen) {
		return r.MaxOpen
	}
	return time.Duration(open)
}

// Trips reports whether a window of so many successes and failures, with so many timeouts in a row at its end, opens
// the breaker.
func (r Rules) Trips(ok, failed, timeouts int) bool {
	all := ok + failed
	return timeouts >= r.Timeouts || all >= r.MinAttempts && float64(failed) >= r.FailureRatio*float64(all)
}

// ShouldDisable reports whether an endpoint has failed for so long that it is to be disabled. The default endpoint
// belongs to the deployment and never is.
func (r Rules) ShouldDisable(e models.Endpoint, now time.Time) bool {
	return !e.IsDefault && e.Failures >= MinFailures && e.FailingSince != nil && now.Sub(*e.FailingSince) >= r.DisableAfter
}

// IsSlow reports whether an endpoint with this mean answer time belongs into the lane of slow endpoints, given whether
// it is there now.
func (r Rules) IsSlow(mean time.Duration, already bool) bool {
	if already {
		return mean > r.SlowAbove/2
	}
	return mean > r.SlowAbove
}

// Trip opens the breaker of an endpoint at now, for the first time or once more.
func (r Rules) Trip(e models.Endpoint, now time.Time) models.Endpoint {
	e.BreakerTrips++
	until := now.Add(r.OpenFor(e.BreakerTrips))
	e.BreakerState, e.BreakerOpenUntil, e.BreakerProbe = models.BreakerOpen, &until, ""
	return e
}

// Close closes the breaker of an endpoint and forgets its failures.
func Close(e models.Endpoint) models.Endpoint {
	e.BreakerState, e.BreakerOpenUntil, e.BreakerProbe, e.BreakerTrips = models.BreakerClosed, nil, "", 0
	e.Timeouts, e.Failures, e.FailingSince = 0, 0, nil
	return e
}

// SlowStart is when the n-th delivery that waited for an endpoint is due after its breaker closed, n counting from 0:
// ten in the first second and twenty a second more in every second after it, so that a receiver that just came back is
// not overwhelmed by its backlog. A thousand are out within 10 s, ten thousand within 32 s.
func SlowStart(n int) time.Duration {
	return time.Duration((math.Sqrt(100+40*float64(n)) - 10) / 20 * float64(time.Second))
}
