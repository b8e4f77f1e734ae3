package delivery

import (
	"math"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// exhausted is the reason of death when the budget of attempts is used up.
const exhausted = "attempts exhausted"

// Schedule says how long to wait between attempts. Its defaults are those of the settings in config.
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

// Plan is what follows from an answer: what is written about the delivery, and what else happens.
type Plan struct {
	State models.DeliveryState
	// DeadReason says why it is dead.
	DeadReason    string
	NextAttemptAt time.Time
	// ChangesLane says that the next attempt belongs to another lane, and so to a new generation: the first failure moves
	// a delivery from the lane of first tries to that of retries.
	ChangesLane bool
	// DisableEndpoint says that the endpoint is disabled in the same transaction.
	DisableEndpoint bool
	// Gate is until when nothing is sent to the endpoint, because the receiver asked for that; the zero time for no gate.
	Gate time.Time
	// Probe says that the delivery was the one that a half-open breaker let through, so that the answer closes or opens
	// it.
	Probe bool
}

// plan decides what follows from an answer to the next attempt of row. random is uniform in [0, 1). It is pure.
func plan(row *store.Waiting, e models.Endpoint, v answer.Verdict, schedule Schedule, random float64,
	now time.Time) Plan {
	p := Plan{
		State: models.DeliveryPending, NextAttemptAt: row.NextAttemptAt, DisableEndpoint: v.DisableEndpoint,
		Probe: row.Breaker != models.BreakerClosed && row.BreakerProbe == row.ID,
	}
	if gate := v.Gate(); gate > 0 {
		p.Gate = now.Add(gate)
	}
	tried := row.Attempts + 1
	switch {
	case v.Action == answer.Done:
		p.State = models.DeliveryDelivered
	case row.IsBatch && v.SplitsBatch: // its members go alone
		p.State = models.DeliveryCanceled
	case v.Action == answer.Die:
		p.State, p.DeadReason = models.DeliveryDead, string(v.Class)
	case tried >= row.MaxAttempts:
		p.State, p.DeadReason = models.DeliveryDead, exhausted
	default:
		delay := schedule.For(e).Delay(tried, random)
		p.NextAttemptAt = models.Micro(now.Add(max(delay, v.RetryAfter)))
		p.ChangesLane = row.Attempts == 0
	}
	return p
}
