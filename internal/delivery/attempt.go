package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// pause is how long a task waits that could not be tried for reasons of our own.
	pause = 2 * time.Second
	// longPause is how long it waits when an endpoint cannot be read: its keys may be wrong, which a person has to mend.
	longPause = time.Minute
)

// Attempt does one task: it reads the delivery, makes one request if that is due, commits the verdict and says what
// becomes of the task. It never says [Ack] or [Archive] before the record says so. ctx bounds the waiting before the
// request. Once a request is made it is seen through to its commit whatever becomes of ctx, because a request that was
// made has to be on record.
func (s *Sender) Attempt(ctx context.Context, task Task) Outcome {
	if !s.enter() {
		return s.retryLater(pause, ReasonStopping)
	}
	defer s.leave()
	if reason, ok := s.waitForWrites(ctx); !ok {
		return s.retryLater(pause, reason)
	}
	paused, err := s.pauseFlags.paused(ctx, task.MerchantID)
	switch {
	case err != nil:
		return s.loadFailed(ctx, task, err)
	case paused:
		return s.settle(ctx, task, nil, Decision{Write: WriteSuspended, Step: Ack, At: s.now(), Reason: ReasonPaused})
	}
	if task.Lane != "" {
		if at := s.lanes.acquire(ctx, task.Lane, task.MerchantID, task.Workers, s.now()); !at.IsZero() {
			return s.settle(ctx, task, nil, snooze(at, s.now(), ReasonLaneFull))
		}
		clock := time.Now()
		defer func() { s.lanes.release(task.Lane, task.MerchantID, time.Since(clock), s.now()) }()
	}
	return s.load(ctx, task)
}

// load reads the delivery and does what is due.
func (s *Sender) load(ctx context.Context, task Task) Outcome {
	if t := s.targets.peek(task.EndpointID); t != nil { // a full endpoint turns its tasks away before they cost a read
		slots, _ := s.fleet.local(s.maxInFlight(t.endpoint.Endpoint))
		if at := s.endpoints.full(task.EndpointID, "", slots, s.now()); !at.IsZero() {
			return s.settle(ctx, task, nil, snooze(at, s.now(), ReasonEndpointFull))
		}
	}
	row, err := s.batches.load(ctx, task.DeliveryID)
	if err != nil {
		return s.loadFailed(ctx, task, err)
	}
	if d := Decide(row, task, s.now()); !d.Send {
		return s.settle(ctx, task, row, d)
	}
	return s.attempt(ctx, task, row)
}

// waitForWrites waits while the database takes no writes: no request is made whose answer could not be recorded.
func (s *Sender) waitForWrites(ctx context.Context) (Reason, bool) {
	gates := []<-chan struct{}{s.writer.open()}
	if s.opts.Writes != nil {
		gates = append(gates, s.opts.Writes())
	}
	var late <-chan time.Time
	for _, gate := range gates {
		select {
		case <-gate:
			continue
		default:
		}
		if late == nil {
			late = time.After(pause)
		}
		select {
		case <-gate:
		case <-late:
			return ReasonNoWrites, false
		case <-s.writer.trying.Done():
			return ReasonStopping, false
		case <-ctx.Done():
			return ReasonCanceled, false
		}
	}
	return "", true
}

// attempt makes a request that is due, unless a limit stands against it.
func (s *Sender) attempt(ctx context.Context, task Task, row *store.Waiting) Outcome {
	now := s.now()
	t, err := s.targets.get(ctx, row.EndpointID, row.EndpointVersion, now)
	if err != nil {
		s.opts.Logger.ErrorContext(ctx, "delivery.endpoint_failed", "endpoint_id", row.EndpointID, "error", err)
		return s.retryLater(longPause, ReasonEndpointFailed)
	}
	var keys []webhook.SigningKey
	if t.endpoint.Ed25519 {
		own := s.keys
		if t.endpoint.Mode == models.ModeTest {
			own = s.testKeys
		}
		if keys, err = own.live(ctx, now); err != nil {
			s.opts.Logger.ErrorContext(ctx, "delivery.signing_keys_failed", "endpoint_id", row.EndpointID, "error", err)
			return s.retryLater(longPause, ReasonKeysFailed)
		}
	}
	holder, at, reason, err := s.acquire(ctx, row, t, now)
	switch {
	case err != nil:
		return s.loadFailed(ctx, task, err)
	case !at.IsZero():
		return s.settle(ctx, task, nil, snooze(at, s.now(), reason))
	}
	return s.send(context.WithoutCancel(ctx), task, row, t, keys, holder)
}

// acquire takes a slot at the endpoint, a slot at its host, and one request of the endpoint's rate. Where one of them
// is not free it takes none, and returns when to come again and why. holder is who holds a slot of all workers, ""
// where none was taken.
func (s *Sender) acquire(ctx context.Context, row *store.Waiting, t *target,
	now time.Time) (holder string, at time.Time, reason Reason, err error) {
	holder, at = s.acquireEndpoint(ctx, row, t, now)
	if !at.IsZero() {
		return "", at, ReasonEndpointFull, nil
	}
	if at := s.hosts.acquire(ctx, t.host, row.MerchantID, s.fleet.share(s.opts.HostInFlight), now); !at.IsZero() {
		s.releaseEndpoint(row.EndpointID, holder, 0, now)
		return "", at, ReasonHostFull, nil
	}
	if limit := t.endpoint.RateLimit; limit != nil {
		at, err := s.rates.take(ctx, row.EndpointID, *limit, now)
		if err != nil || !at.IsZero() {
			s.hosts.release(t.host, row.MerchantID, 0, now)
			s.releaseEndpoint(row.EndpointID, holder, 0, now)
			return "", at, ReasonRateFull, err
		}
	}
	return holder, time.Time{}, "", nil
}

// acquireEndpoint takes a slot at the endpoint, in this worker and, where the limit is small, of all workers. While the
// latter cannot be asked for this worker has its share.
func (s *Sender) acquireEndpoint(ctx context.Context, row *store.Waiting, t *target,
	now time.Time) (holder string, at time.Time) {
	limit := s.maxInFlight(t.endpoint.Endpoint)
	local, asks := s.fleet.local(limit)
	if at := s.endpoints.acquire(ctx, row.EndpointID, "", local, now); !at.IsZero() || !asks {
		return "", at
	}
	holder = models.NewToken("slot")
	taken, known := s.fleet.take(ctx, row.EndpointID, holder, limit, s.timeout(t.endpoint.Endpoint))
	if taken {
		return holder, time.Time{}
	}
	s.endpoints.release(row.EndpointID, "", 0, now)
	if known {
		return "", now.Add(minWait + time.Duration(s.opts.Random()*float64(minWait)))
	}
	return "", s.endpoints.acquire(ctx, row.EndpointID, "", s.fleet.share(limit), now)
}

// releaseEndpoint gives back what acquireEndpoint took.
func (s *Sender) releaseEndpoint(endpointID, holder string, took time.Duration, now time.Time) {
	if holder != "" {
		s.fleet.give(endpointID, holder)
	}
	s.endpoints.release(endpointID, "", took, now)
}

// retryLater brings the task again after a wait, with nothing written.
func (s *Sender) retryLater(wait time.Duration, reason Reason) Outcome {
	return Outcome{Do: RetryLater, At: s.now().Add(wait), Reason: string(reason)}
}

// loadFailed is what becomes of a task while the database does not answer. The worker is kept for a moment, or the
// whole backlog would be turned over as fast as Redis can.
func (s *Sender) loadFailed(ctx context.Context, task Task, err error) Outcome {
	s.opts.Logger.WarnContext(ctx, "delivery.load_failed", "delivery_id", task.DeliveryID, "error", err)
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return s.retryLater(pause, ReasonLoadFailed)
}

// maxInFlight is how many requests to an endpoint may be under way, over all workers.
func (s *Sender) maxInFlight(e models.Endpoint) int {
	if e.MaxInFlight != nil {
		return *e.MaxInFlight
	}
	return s.opts.MaxInFlight
}
