package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// healthInterval is how long what this process saw may stay with it; what is written down is seen by all workers.
	healthInterval = time.Second
	healthTimeout  = 10 * time.Second
	// successEvery is how often the last success of an endpoint without failures is written down.
	successEvery = time.Minute
	// meanOf is over how many answers the mean answer time is taken.
	meanOf = 5
)

// health counts what attempts come to, writes that down every second, and judges the endpoints that fail.
type health struct {
	store     *store.Store
	endpoints *endpoints.Service
	rules     breaker.Rules
	log       *slog.Logger
	now       func() time.Time

	mu   sync.Mutex
	seen map[string]*observed // by endpoint
}

// observed is what this process knows of an endpoint and has not written down yet.
type observed struct {
	merchant string
	buckets  map[int64]*store.WindowBucket // by the number of the bucket since 1970
	failed   bool                          // there is a failure among them
	failing  bool                          // there was one in what was last written down
	failures int                           // since the last success
	timeouts int                           // in a row
	answered bool                          // something other than a timeout came since the last writing
	success  time.Time                     // the last since the last writing, or zero
	touched  time.Time                     // when a success was last written down
	mean     time.Duration                 // moving average of the answer time
	answers  int
	slow     bool // as written down
}

func newHealth(s *store.Store, e *endpoints.Service, rules breaker.Rules, log *slog.Logger,
	now func() time.Time) *health {
	return &health{store: s, endpoints: e, rules: rules, log: log, now: now, seen: make(map[string]*observed)}
}

// note counts an attempt. An answer that throttles, or an address that may not be sent to, says nothing about the
// health of the endpoint.
func (h *health) note(row *store.Waiting, class answer.Class, took time.Duration, now time.Time) {
	if class == answer.Throttled || class == answer.Blocked {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.seen[row.EndpointID]
	if o == nil {
		o = &observed{merchant: row.MerchantID, buckets: make(map[int64]*store.WindowBucket), slow: row.EndpointSlow}
		h.seen[row.EndpointID] = o
	}
	number := now.UnixNano() / int64(breaker.Bucket)
	b := o.buckets[number]
	if b == nil {
		b = &store.WindowBucket{At: time.Unix(0, number*int64(breaker.Bucket)).UTC()}
		o.buckets[number] = b
	}
	o.mean += (took - o.mean) / meanOf
	o.answers++
	if class == answer.Delivered {
		b.OK++
		o.success, o.failures, o.timeouts, o.answered = now, 0, 0, true
		return
	}
	b.Failed++
	o.failed = true
	o.failures++
	if class == answer.Timeout {
		o.timeouts++
	} else {
		o.timeouts, o.answered = 0, true
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

// write writes down what came since the last time. What cannot be written is forgotten: the next failures tell the
// same.
func (h *health) write() {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	now := h.now()
	changed, healthy := h.take(now)
	if len(healthy) > 0 {
		if err := h.store.TouchSuccess(ctx, healthy, now); err != nil {
			h.log.WarnContext(ctx, "health.not_written", "endpoints", len(healthy), "error", err)
		}
	}
	for id, o := range changed {
		if err := h.judge(ctx, id, o, now); err != nil {
			h.log.WarnContext(ctx, "health.not_written", "endpoint_id", id, "error", err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// take hands out what has to be written: endpoints that failed or may have recovered, and the ids of those that had
// nothing but successes.
func (h *health) take(now time.Time) (changed map[string]observed, healthy []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = make(map[string]observed)
	oldest := now.Add(-h.rules.Window).UnixNano() / int64(breaker.Bucket)
	for id, o := range h.seen {
		for number := range o.buckets {
			if number < oldest {
				delete(o.buckets, number)
			}
		}
		succeeded, slow := !o.success.IsZero(), h.rules.IsSlow(o.mean, o.slow)
		switch {
		case o.failed, o.failing && succeeded, o.answers >= meanOf && o.slow != slow:
			o.slow = slow
			changed[id] = *o
			o.buckets, o.failed, o.answered, o.success = make(map[int64]*store.WindowBucket), false, false, time.Time{}
			o.failing = o.failures > 0
			o.failures, o.timeouts = 0, 0 // the database adds them up
		case succeeded && now.Sub(o.touched) >= successEvery:
			healthy = append(healthy, id)
			o.touched, o.success = now, time.Time{}
		case len(o.buckets) == 0:
			delete(h.seen, id)
		}
	}
	return changed, healthy
}

// judge adds to what all workers know of an endpoint, and opens its breaker or disables it if that is too much.
func (h *health) judge(ctx context.Context, id string, o observed, now time.Time) error {
	buckets := make([]store.WindowBucket, 0, len(o.buckets))
	for _, b := range o.buckets {
		buckets = append(buckets, *b)
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
		sum, err := tx.AddToWindow(ctx, id, buckets, now.Add(-h.rules.Window))
		if err != nil {
			return err
		}
		e = o.addTo(e, now)
		if h.rules.ShouldDisable(e, now) && e.Status == models.EndpointEnabled {
			if err := tx.SaveHealth(ctx, e); err != nil {
				return err
			}
			return h.endpoints.DisableFailing(ctx, tx, models.System, e, h.rules.DisableAfter)
		}
		if e.BreakerState == models.BreakerClosed && o.failed && h.rules.Trips(sum.OK, sum.Failed, e.Timeouts) {
			e = h.rules.Trip(e, now)
			opened = &e
			if err := tx.SuspendDeliveries(ctx, id, *e.BreakerOpenUntil); err != nil {
				return err
			}
		}
		return tx.SaveHealth(ctx, e)
	})
	if err == nil && opened != nil {
		h.log.WarnContext(ctx, "breaker.opened", "endpoint_id", id, "merchant_id", o.merchant,
			"until", *opened.BreakerOpenUntil, "trips", opened.BreakerTrips)
	}
	return err
}

// addTo adds what this process saw to what is in the record.
func (o observed) addTo(e models.Endpoint, now time.Time) models.Endpoint {
	if !o.success.IsZero() {
		success := o.success
		e.LastSuccessAt, e.FailingSince, e.Failures = &success, nil, 0
	}
	e.Failures += o.failures
	if e.Failures > 0 && e.FailingSince == nil {
		e.FailingSince = &now
	}
	if o.answered {
		e.Timeouts = 0
	}
	e.Timeouts += o.timeouts
	e.Slow = o.slow
	return e
}

// probeResult closes or opens a half-open breaker by the answer to the one delivery that it let through.
func (h *health) probeResult(ctx context.Context, row *store.Waiting, class answer.Class) error {
	now := h.now()
	state := ""
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		state = ""
		e, err := tx.LockHealth(ctx, row.EndpointID)
		if errors.Is(err, models.ErrNotFound) || err == nil &&
			(e.BreakerState != models.BreakerHalfOpen || e.BreakerProbe != row.ID) {
			return nil
		}
		if err != nil {
			return err
		}
		if class == answer.Delivered || class == answer.Throttled { // it answers, and Retry-After has a gate of its own
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
