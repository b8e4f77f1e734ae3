package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// healthInterval is how long what this process saw may stay with it; all workers share the rest.
	healthInterval = time.Second
	healthTimeout  = 10 * time.Second
	// wellEvery is how often the last success of an endpoint without failures is written down.
	wellEvery = time.Minute
	// meanOf is over how many answers the answer time is judged.
	meanOf = 5
)

// health gathers what attempts come to, writes it down every second and judges the endpoints that fail.
type health struct {
	store     *store.Store
	endpoints *endpoints.Service
	rules     breaker.Rules
	log       *slog.Logger
	now       func() time.Time

	mu   sync.Mutex
	seen map[string]*seen
}

// seen is what this process knows of an endpoint and has not written down yet.
type seen struct {
	merchant string
	tallies  map[int64]*store.WindowBucket // by the number of the span
	failed   bool                          // there is a failure among them
	failing  bool                          // the last that was written down was not well
	failures int                           // since the last success
	timeouts int                           // in a row
	answered bool                          // something other than a timeout came since the last writing
	success  time.Time                     // the last, zero when none came since the last writing
	well     time.Time                     // when a success was last written down
	took     time.Duration                 // moving average
	answers  int
	slow     bool // as written down
}

func newHealth(s *store.Store, e *endpoints.Service, rules breaker.Rules, log *slog.Logger, now func() time.Time) *health {
	return &health{store: s, endpoints: e, rules: rules, log: log, now: now, seen: make(map[string]*seen)}
}

// note counts an attempt. What throttles or is blocked by its address says nothing about the health of the endpoint.
func (h *health) note(row *store.Waiting, class Class, took time.Duration, now time.Time) {
	if class == Throttled || class == Blocked {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.seen[row.EndpointID]
	if s == nil {
		s = &seen{merchant: row.MerchantID, tallies: make(map[int64]*store.WindowBucket), slow: row.EndpointSlow}
		h.seen[row.EndpointID] = s
	}
	span := now.UnixNano() / int64(breaker.Bucket)
	t := s.tallies[span]
	if t == nil {
		t = &store.WindowBucket{At: time.Unix(0, span*int64(breaker.Bucket)).UTC()}
		s.tallies[span] = t
	}
	s.took += (took - s.took) / meanOf
	s.answers++
	if class == Delivered {
		t.OK++
		s.success, s.failures, s.timeouts, s.answered = now, 0, 0, true
		return
	}
	t.Failed++
	s.failed = true
	s.failures++
	if class == Timeout {
		s.timeouts++
	} else {
		s.timeouts, s.answered = 0, true
	}
}

// run writes down until stop is closed, and once more then.
func (h *health) run(stop <-chan struct{}) {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.write()
		case <-stop:
			h.write()
			return
		}
	}
}

// write writes down what came since the last time. What cannot be written is forgotten: the next failures tell the same.
func (h *health) write() {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	now := h.now()
	sick, well := h.take(now)
	if len(well) > 0 {
		if err := h.store.TouchSuccess(ctx, well, now); err != nil {
			h.log.WarnContext(ctx, "health.not_written", "endpoints", len(well), "error", err)
		}
	}
	for id, s := range sick {
		if err := h.judge(ctx, id, s, now); err != nil {
			h.log.WarnContext(ctx, "health.not_written", "endpoint_id", id, "error", err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// take hands out what has to be written: endpoints that failed or may be better now, and ids of those that are well.
func (h *health) take(now time.Time) (sick map[string]seen, well []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sick = make(map[string]seen)
	oldest := now.Add(-h.rules.Window).UnixNano() / int64(breaker.Bucket)
	for id, s := range h.seen {
		for span := range s.tallies {
			if span < oldest {
				delete(s.tallies, span)
			}
		}
		fresh := !s.success.IsZero()
		switch {
		case s.failed, s.failing && fresh, s.answers >= meanOf && s.slow != h.rules.IsSlow(s.took, s.slow):
			s.slow = h.rules.IsSlow(s.took, s.slow)
			sick[id] = *s
			s.tallies, s.failed, s.answered, s.success = make(map[int64]*store.WindowBucket), false, false, time.Time{}
			s.failing = s.failures > 0
			s.failures, s.timeouts = 0, 0 // the database adds them up
		case fresh && now.Sub(s.well) >= wellEvery:
			well = append(well, id)
			s.well, s.success = now, time.Time{}
		case len(s.tallies) == 0:
			delete(h.seen, id)
		}
	}
	return sick, well
}

// judge adds to what all workers know of an endpoint, and opens its breaker or disables it if that is too much.
func (h *health) judge(ctx context.Context, id string, s seen, now time.Time) error {
	tallies := make([]store.WindowBucket, 0, len(s.tallies))
	for _, t := range s.tallies {
		tallies = append(tallies, *t)
	}
	var opened *models.Endpoint
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		opened = nil
		e, err := tx.LockHealth(ctx, id)
		if errors.Is(err, models.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		sum, err := tx.AddToWindow(ctx, id, tallies, now.Add(-h.rules.Window))
		if err != nil {
			return err
		}
		e = s.addTo(e, now)
		if h.rules.ShouldDisable(e, now) && e.Status == models.EndpointEnabled {
			if err := tx.SaveHealth(ctx, e); err != nil {
				return err
			}
			return h.endpoints.DisableFailing(ctx, tx, e, h.rules.DisableAfter)
		}
		if e.BreakerState == models.BreakerClosed && s.failed && h.rules.Trips(sum.OK, sum.Failed, e.Timeouts) {
			e = h.rules.Trip(e, now)
			opened = &e
			if err := tx.SuspendDeliveries(ctx, id, *e.BreakerOpenUntil); err != nil {
				return err
			}
		}
		return tx.SaveHealth(ctx, e)
	})
	if err == nil && opened != nil {
		h.log.WarnContext(ctx, "breaker.opened", "endpoint_id", id, "merchant_id", s.merchant, "until", *opened.BreakerOpenUntil, "trips", opened.BreakerTrips)
	}
	return err
}

// addTo adds what this process saw to what is on record.
func (s seen) addTo(e models.Endpoint, now time.Time) models.Endpoint {
	if !s.success.IsZero() {
		success := s.success
		e.LastSuccessAt, e.FailingSince, e.Failures = &success, nil, 0
	}
	e.Failures += s.failures
	if e.Failures > 0 && e.FailingSince == nil {
		e.FailingSince = &now
	}
	if s.answered {
		e.Timeouts = 0
	}
	e.Timeouts += s.timeouts
	e.Slow = s.slow
	return e
}

// probed tells what came of the one delivery that a half-open breaker let through.
func (h *health) probed(ctx context.Context, row *store.Waiting, class Class) error {
	now := h.now()
	state := ""
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		state = ""
		e, err := tx.LockHealth(ctx, row.EndpointID)
		if errors.Is(err, models.ErrNotFound) || err == nil && (e.BreakerState != models.BreakerHalfOpen || e.BreakerProbe != row.ID) {
			return nil
		}
		if err != nil {
			return err
		}
		if class == Delivered || class == Throttled { // it answers, and Retry-After has its own gate
			e = breaker.Close(e)
			if err := tx.ClearWindow(ctx, e.ID); err != nil {
				return err
			}
		} else {
			e = h.rules.Trip(e, now)
			if err := tx.SuspendDeliveries(ctx, e.ID, *e.BreakerOpenUntil); err != nil {
				return err
			}
		}
		state = e.BreakerState
		return tx.SaveHealth(ctx, e)
	})
	if err == nil && state != "" {
		h.log.InfoContext(ctx, "breaker.probed", "endpoint_id", row.EndpointID, "class", string(class), "breaker", state)
	}
	return err
}
