package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// pause is how long a task waits that could not be tried for reasons of our own.
	pause = 2 * time.Second
	// maxBody is how much of an answer is kept, in bytes.
	maxBody = 4 << 10
)

// Attempt does one task: it reads the delivery, makes one request if that is due, commits the verdict and says what
// becomes of the task. It never says [Ack] or [Bury] before the record says so. ctx bounds the waiting before the request;
// once a request is made it is seen through to its commit whatever becomes of ctx, because a request that was made has to
// be on record.
func (s *Sender) Attempt(ctx context.Context, task Task) Outcome {
	if !s.enter() {
		return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the worker is stopping"}
	}
	defer s.leave()
	select {
	case <-s.recorder.open():
	default:
		select { // ruling 13: no request while its answer could not be recorded
		case <-s.recorder.open():
		case <-time.After(pause):
			return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the database takes no writes"}
		case <-ctx.Done():
			return Outcome{Do: Again, At: s.now().Add(pause), Reason: "canceled"}
		}
	}
	paused, err := s.switches.paused(ctx, task.MerchantID)
	switch {
	case err != nil:
		return s.unread(ctx, task, err)
	case paused:
		return s.giveBack(ctx, store.Deferral{ID: task.DeliveryID, Generation: task.Generation, Until: s.now(), Suspend: true}, "deliveries are paused")
	}
	if t := s.targets.peek(task.EndpointID); t != nil { // a full endpoint turns its tasks away before they cost a read
		if at := s.endpoints.full(task.EndpointID, s.maxInFlight(t.endpoint.Endpoint), s.now()); !at.IsZero() {
			return s.comeBack(ctx, task, at, endpointFull)
		}
	}
	return s.attempt(ctx, task)
}

const (
	endpointFull = "the endpoint has its limit of requests in flight"
	hostFull     = "the host has its limit of requests in flight"
	rateFull     = "the endpoint has its limit of requests a second"
	// near is how long a task may wait in Redis for its turn. One that has to wait for longer waits in Postgres, where it
	// costs nothing.
	near = 4 * time.Second
)

// comeBack lets a task come again at a time, without an attempt spent.
func (s *Sender) comeBack(ctx context.Context, task Task, at time.Time, reason string) Outcome {
	if at.Sub(s.now()) <= near {
		return Outcome{Do: Again, At: at, Reason: reason}
	}
	return s.giveBack(ctx, store.Deferral{ID: task.DeliveryID, Generation: task.Generation, Until: at}, reason)
}

// giveBack takes a delivery out of Redis: its row says when it is due, and its task is done with.
func (s *Sender) giveBack(ctx context.Context, p store.Deferral, reason string) Outcome {
	if err := s.postponer.postpone(ctx, p); err != nil {
		s.Logger.WarnContext(ctx, "delivery.settle_failed", "delivery_id", p.ID, "error", err)
		return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the record could not be written"}
	}
	return Outcome{Do: Ack, Reason: reason}
}

// unread is what becomes of a task while the database does not answer. The worker is kept for a moment, or the whole
// backlog would be turned over as fast as Redis can.
func (s *Sender) unread(ctx context.Context, task Task, err error) Outcome {
	s.Logger.WarnContext(ctx, "delivery.load_failed", "delivery_id", task.DeliveryID, "error", err)
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the delivery could not be read"}
}

func (s *Sender) maxInFlight(e models.Endpoint) int {
	if e.MaxInFlight != nil {
		return *e.MaxInFlight
	}
	return s.MaxInFlight
}

// attempt reads the delivery and sends it if that is due.
func (s *Sender) attempt(ctx context.Context, task Task) Outcome {
	row, err := s.loader.load(ctx, task.DeliveryID)
	if err != nil {
		return s.unread(ctx, task, err)
	}
	now := s.now()
	out, send := Before(row, task, now)
	if !send {
		return s.settle(ctx, row, out)
	}
	t, err := s.targets.get(ctx, row.EndpointID, row.EndpointVersion, now)
	if err != nil {
		s.Logger.ErrorContext(ctx, "delivery.endpoint_failed", "endpoint_id", row.EndpointID, "error", err)
		return Outcome{Do: Again, At: now.Add(time.Minute), Reason: "the endpoint could not be read"}
	}
	var keys []webhook.SigningKey
	if t.endpoint.Ed25519 {
		if keys, err = s.keys.live(ctx, now); err != nil {
			s.Logger.ErrorContext(ctx, "delivery.signing_keys_failed", "endpoint_id", row.EndpointID, "error", err)
			return Outcome{Do: Again, At: now.Add(time.Minute), Reason: "the signing keys could not be read"}
		}
	}
	if at := s.endpoints.acquire(ctx, row.EndpointID, s.maxInFlight(t.endpoint.Endpoint), now); !at.IsZero() {
		return s.comeBack(ctx, task, at, endpointFull)
	}
	if at := s.hosts.acquire(ctx, t.host, s.HostInFlight, now); !at.IsZero() {
		s.endpoints.release(row.EndpointID, 0, now)
		return s.comeBack(ctx, task, at, hostFull)
	}
	if limit := t.endpoint.RateLimit; limit != nil {
		at, err := s.rates.take(ctx, row.EndpointID, *limit, now)
		if err != nil || !at.IsZero() {
			s.hosts.release(t.host, 0, now)
			s.endpoints.release(row.EndpointID, 0, now)
			if err != nil {
				return s.unread(ctx, task, err)
			}
			return s.comeBack(ctx, task, at, rateFull)
		}
	}
	return s.send(context.WithoutCancel(ctx), task, row, t, keys)
}

// post makes the request and gives the places at the endpoint and its host back, which a commit does not need.
func (s *Sender) post(ctx context.Context, row *store.Waiting, t *target, header http.Header) (res egress.Response, took time.Duration, err error) {
	clock := time.Now()
	defer func() {
		took = time.Since(clock)
		s.hosts.release(t.host, took, s.now())
		s.endpoints.release(row.EndpointID, took, s.now())
	}()
	res, err = s.Client.Do(ctx, egress.Request{
		URL: t.endpoint.URL, Header: header, Body: row.Body, Timeout: s.timeout(t.endpoint.Endpoint), TLS: t.endpoint.TLS,
		Party: egress.Party{Merchant: row.MerchantID, Default: t.endpoint.IsDefault},
	})
	return res, took, err
}

// send makes the request, judges the answer and commits the verdict.
func (s *Sender) send(ctx context.Context, task Task, row *store.Waiting, t *target, keys []webhook.SigningKey) Outcome {
	ctx, span := s.Tracing.Start(ctx, "webhook.attempt")
	started := s.now()
	number := row.AttemptBase + row.Attempts + 1
	header := Call{
		ID: row.EventID, Body: row.Body, Attempt: number, At: started, Secrets: t.signing(row.SignWith, started, keys), Custom: t.endpoint.Headers,
		Traceparent: telemetry.Traceparent(ctx),
	}.Header()
	request := recordRequest(header, t.endpoint.Headers)
	res, took, err := s.post(ctx, row, t, header)
	now := s.now()
	if errors.Is(err, egress.ErrClosed) { // nothing was sent
		span.End(nil)
		return Outcome{Do: Again, At: now.Add(pause), Reason: "the worker is stopping"}
	}
	verdict := Judge(res.Status, res.Header.Get("Retry-After"), err, now)
	v := s.verdict(row, t, verdict, now)
	v.Attempt = models.Attempt{
		ID: models.NewID(models.PrefixAttempt, started), DeliveryID: row.ID, EventID: row.EventID, EndpointID: row.EndpointID,
		MerchantID: row.MerchantID, Number: number, Generation: task.Generation, Class: string(verdict.Class), StatusCode: res.Status,
		ResponseBody: res.Body[:min(len(res.Body), maxBody)], StartedAt: started,
		DNSMicros: res.Timings.DNS.Microseconds(), ConnectMicros: res.Timings.Connect.Microseconds(), TLSMicros: res.Timings.TLS.Microseconds(),
		FirstByteMicros: res.Timings.FirstByte.Microseconds(), TotalMicros: took.Microseconds(),
	}
	if res.RemoteIP.IsValid() {
		v.RemoteIP = res.RemoteIP.String()
	}
	v.RequestJSON, v.ResponseJSON = request, recordResponse(res.Header)
	switch {
	case err != nil:
		v.Error = err.Error()
	case res.BodyErr != nil:
		v.Error = res.BodyErr.Error()
	}
	var also func(context.Context, *store.Tx) error
	if verdict.DisableEndpoint {
		also = func(ctx context.Context, tx *store.Tx) error {
			return s.Endpoints.DisableGone(ctx, tx, row.MerchantID, row.EndpointID)
		}
	}
	also = s.batchVerdict(row, &v, also)
	recorded, commitErr := s.recorder.commit(v, also)
	span.End(err)
	s.health.note(row, verdict.Class, took, now)
	s.report(ctx, row, v, recorded, took)
	if commitErr != nil {
		return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the verdict could not be committed"}
	}
	if row.Breaker != models.BreakerClosed && row.BreakerProbe == row.ID {
		if err := s.health.probed(ctx, row, verdict.Class); err != nil { // its lease ends, and another one is let through
			s.Logger.WarnContext(ctx, "breaker.probe_lost", "endpoint_id", row.EndpointID, "error", err)
		}
	}
	if gate := verdict.Gate(); gate > 0 {
		if err := s.Store.GateEndpoint(ctx, row.EndpointID, now.Add(gate)); err != nil {
			s.Logger.WarnContext(ctx, "delivery.gate_failed", "endpoint_id", row.EndpointID, "error", err)
		}
	}
	return s.after(ctx, task, row, v, recorded)
}

// verdict turns a judgement into what becomes of the row.
func (s *Sender) verdict(row *store.Waiting, t *target, j Verdict, now time.Time) store.Verdict {
	v := store.Verdict{Before: row.Attempts, State: models.DeliveryPending, NextAttemptAt: row.NextAttemptAt, At: now}
	tried := row.Attempts + 1
	switch {
	case j.Action == Done:
		v.State = models.DeliveryDelivered
	case j.Action == Die:
		v.State, v.DeadReason = models.DeliveryDead, string(j.Class)
	case tried >= row.MaxAttempts:
		v.State, v.DeadReason = models.DeliveryDead, "attempts exhausted"
	default:
		delay := s.Schedule.For(t.endpoint.Endpoint).Delay(tried, s.Random())
		v.NextAttemptAt = now.Add(max(delay, j.RetryAfter)).Truncate(time.Microsecond)
		v.ChangesLane = row.Attempts == 0 // from the lane of first tries to that of retries
	}
	return v
}

// after says what becomes of the task once its verdict is in the record.
func (s *Sender) after(ctx context.Context, task Task, row *store.Waiting, v store.Verdict, r store.Recorded) Outcome {
	if !r.Applied { // the delivery moved on meanwhile, or this verdict was recorded before
		now, err := s.loader.load(ctx, row.ID)
		if err != nil {
			return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the delivery could not be read"}
		}
		out, send := Before(now, task, s.now())
		if send {
			return Outcome{Do: Again, At: s.now().Add(minWait), Reason: "the delivery moved on"}
		}
		return s.settle(ctx, now, out)
	}
	switch v.State {
	case models.DeliveryDelivered:
		return Outcome{Do: Ack, Attempted: true}
	case models.DeliveryDead:
		return Outcome{Do: Bury, Attempted: true, Reason: v.DeadReason + ": " + v.Class}
	case models.DeliveryCanceled:
		return Outcome{Do: Ack, Attempted: true, Reason: "the members of the batch go alone: " + v.Class}
	}
	out := Outcome{Do: Again, At: v.NextAttemptAt, Attempted: true, Reason: reason(v)}
	if v.ChangesLane {
		out.Do, out.Delivery = Handover, row.Delivery
		out.Delivery.Generation, out.Delivery.Attempts, out.Delivery.NextAttemptAt = r.Generation, v.Before+1, v.NextAttemptAt
	}
	return out
}

func reason(v store.Verdict) string {
	if v.StatusCode != 0 {
		return v.Class + ": " + http.StatusText(v.StatusCode)
	}
	return v.Class
}

// report counts the attempt and writes its line.
func (s *Sender) report(ctx context.Context, row *store.Waiting, v store.Verdict, r store.Recorded, took time.Duration) {
	s.Metrics.Attempt(v.Class, took)
	if r.Applied && v.State == models.DeliveryDelivered {
		s.Metrics.Delivered(v.At.Sub(row.OccurredAt))
	}
	if r.Applied && v.State == models.DeliveryDead {
		s.Metrics.Dead()
	}
	payment := ""
	if row.PaymentID != nil {
		payment = *row.PaymentID
	}
	s.Logger.LogAttrs(ctx, slog.LevelInfo, "delivery.attempted",
		slog.String("class", v.Class), slog.Int("status", v.StatusCode), slog.String("state", string(v.State)),
		slog.String("delivery_id", row.ID), slog.String("event_id", row.EventID), slog.String("event_type", row.EventType),
		slog.String("endpoint_id", row.EndpointID), slog.String("merchant_id", row.MerchantID), slog.String("payment_id", payment),
		slog.Int("attempt", v.Number), slog.Int64("duration_us", took.Microseconds()), slog.Bool("applied", r.Applied))
}
