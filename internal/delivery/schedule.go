package delivery

import (
	"math"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Schedule says how long to wait between attempts.
type Schedule struct {
	Base   time.Duration // after the first failure
	Factor float64       // each delay is this many times the one before
	Max    time.Duration // the longest delay, before jitter
	Jitter float64       // share by which a delay varies either way, 0 to 0.9
}

// For is the schedule with the overrides of an endpoint. The attempt budget is not taken from it: it is fixed in the
// delivery row when that is written.
func (s Schedule) For(e models.Endpoint) Schedule {
	if e.RetryBaseMS != nil {
		s.Base = time.Duration(*e.RetryBaseMS) * time.Millisecond
	}
	if e.RetryMaxMS != nil {
		s.Max = time.Duration(*e.RetryMaxMS) * time.Millisecond
	}
	return s
}

// Delay is the wait after the n-th failed attempt, n counting from 1. random is uniform in [0, 1).
func (s Schedule) Delay(n int, random float64) time.Duration {
	d := float64(s.Base) * math.Pow(s.Factor, float64(max(n, 1)-1))
	if !(d < float64(s.Max)) { // also when the power overflowed
		d = float64(s.Max)
	}
	return time.Duration(d * (1 - s.Jitter + 2*s.Jitter*random))
}
