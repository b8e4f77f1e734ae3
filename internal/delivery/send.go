package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// maxBody is how much of an answer is recorded, in bytes.
const maxBody = 4 << 10

// send signs the event, POSTs it, judges the answer, plans what follows, and commits that.
func (s *Sender) send(ctx context.Context, task Task, row *store.Waiting, t *target,
	keys []webhook.SigningKey, holder string) Outcome {
	started := s.now()
	number := row.AttemptBase + row.Attempts + 1
	// The record knows the trace of the cause whoever made the task: the sweeper, a retry, a replay.
	ctx, span := s.opts.Tracing.Start(telemetry.WithTraceparent(ctx, row.Traceparent), "webhook.attempt",
		slog.String("delivery_id", row.ID), slog.String("event_id", row.EventID), slog.String("event_type", row.EventType),
		slog.String("endpoint_id", row.EndpointID), slog.Int("attempt", number))
	header := Call{
		ID: row.EventID, Body: row.Body, Attempt: number, At: started, Secrets: t.signing(row.SignWith, started, keys),
		Custom: t.endpoint.Headers, Traceparent: telemetry.Traceparent(ctx),
		Positions: row.Positions,
	}.Header()
	request := recordRequest(header, t.endpoint.Headers)

	res, took, err := s.post(ctx, row, t, header, holder)
	if errors.Is(err, egress.ErrClosed) { // nothing was sent
		span.End(nil)
		return s.retryLater(pause, ReasonStopping)
	}
	defer span.End(err)

	now := s.now()
	span.Set(slog.Int("status", res.Status))
	judged := answer.Judge(res.Status, res.Header.Get("Retry-After"), err, now)
	p := plan(row, t.endpoint.Endpoint, judged, s.opts.Schedule, s.opts.Random(), now)
	v := store.Verdict{
		Attempt: models.Attempt{
			ID: models.NewID(models.PrefixAttempt, started), DeliveryID: row.ID, EventID: row.EventID,
			EndpointID: row.EndpointID, MerchantID: row.MerchantID, Number: number, Generation: task.Generation,
			Class: string(judged.Class), StatusCode: res.Status, Error: errorText(err, res.BodyErr),
			ResponseBody: res.Body[:min(len(res.Body), maxBody)], StartedAt: started, DNSMicros: res.Timings.DNS.Microseconds(),
			ConnectMicros: res.Timings.Connect.Microseconds(), TLSMicros: res.Timings.TLS.Microseconds(),
			FirstByteMicros: res.Timings.FirstByte.Microseconds(), TotalMicros: took.Microseconds(),
		},
		RequestJSON: request, ResponseJSON: recordResponse(res.Header), TriesJSON: triesJSON(res.Tries, started),
		Before: row.Attempts, At: now,
		State: p.State, DeadReason: p.DeadReason, NextAttemptAt: p.NextAttemptAt, ChangesLane: p.ChangesLane,
	}
	if res.RemoteIP.IsValid() {
		v.RemoteIP = res.RemoteIP.String()
	}
	return s.commit(ctx, task, row, p, v, judged.Class, took)
}

// post makes the request and gives the slots at the endpoint and its host back, which a commit does not need.
func (s *Sender) post(ctx context.Context, row *store.Waiting, t *target, header http.Header,
	holder string) (res egress.Response, took time.Duration, err error) {
	clock := time.Now()
	defer func() {
		took = time.Since(clock)
		s.hosts.release(t.host, row.MerchantID, took, s.now())
		s.releaseEndpoint(row.EndpointID, holder, took, s.now())
	}()
	res, err = s.opts.Client.Do(ctx, egress.Request{
		URL: t.endpoint.URL, Header: header, Body: row.Body, Timeout: s.timeout(t.endpoint.Endpoint), TLS: t.endpoint.TLS,
		Tenant: egress.Tenant{Merchant: row.MerchantID, Default: t.endpoint.IsDefault},
	})
	return res, took, err
}

// triesJSON is what is recorded of an attempt that made more than one request.
func triesJSON(tries []egress.Try, started time.Time) string {
	if len(tries) == 0 {
		return ""
	}
	list := make([]models.Try, len(tries))
	for i, t := range tries {
		list[i] = models.Try{At: started.Add(t.After), Error: t.Error}
		if t.RemoteIP.IsValid() {
			list[i].RemoteIP = t.RemoteIP.String()
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "" // of strings and times there is none
	}
	return string(text)
}

func errorText(err, bodyErr error) string {
	switch {
	case err != nil:
		return err.Error()
	case bodyErr != nil:
		return bodyErr.Error()
	}
	return ""
}

// commit writes the verdict and all that the plan says, and says what becomes of the task.
func (s *Sender) commit(
	ctx context.Context, task Task, row *store.Waiting, p Plan, v store.Verdict, class answer.Class, took time.Duration,
) Outcome {
	recorded, err := s.writer.commit(v, beside{IsBatch: row.IsBatch, DisableEndpoint: p.DisableEndpoint})
	s.health.note(row, class, took, v.At)
	s.report(ctx, row, v, recorded, took)
	if err != nil {
		wait := pause
		if errors.Is(err, errSaved) {
			wait = savedPause
		}
		return s.retryLater(wait, ReasonCommitFailed)
	}
	if p.Probe {
		if err := s.health.probeResult(ctx, row, class); err != nil { // its lease ends, and another one is let through
			s.opts.Logger.WarnContext(ctx, "breaker.probe_lost", "endpoint_id", row.EndpointID, "error", err)
		}
	}
	if !p.Gate.IsZero() {
		if err := s.opts.Store.GateEndpoint(ctx, row.EndpointID, p.Gate); err != nil {
			s.opts.Logger.WarnContext(ctx, "delivery.gate_failed", "endpoint_id", row.EndpointID, "error", err)
		}
	}
	return s.after(ctx, task, row, v, recorded)
}

// alongside is what has to be written in the same transaction as the verdict: the members of a batch move with it, and
// an endpoint that is gone is disabled. The common verdict moves its delivery alone.
func (s *Sender) alongside(b beside, v store.Verdict) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		if b.IsBatch {
			if err := tx.UpdateBatchMembers(ctx, v.DeliveryID, v.EventID, v, outbox.Sweep); err != nil {
				return err
			}
		}
		if b.DisableEndpoint {
			return s.opts.Endpoints.DisableGone(ctx, tx, models.System, v.MerchantID, v.EndpointID)
		}
		return nil
	}
}

// after says what becomes of the task once its verdict is in the record.
func (s *Sender) after(ctx context.Context, task Task, row *store.Waiting, v store.Verdict, r store.Recorded) Outcome {
	if !r.Applied { // the delivery moved on meanwhile, or this verdict was recorded before
		now, err := s.batches.load(ctx, row.ID)
		if err != nil {
			return s.retryLater(pause, ReasonLoadFailed)
		}
		d := Decide(now, task, s.now())
		if d.Send {
			return s.retryLater(minWait, ReasonMoved)
		}
		return s.settle(ctx, task, now, d)
	}
	switch v.State {
	case models.DeliveryDelivered:
		return Outcome{Do: Ack, Attempted: true}
	case models.DeliveryDead:
		return Outcome{Do: Archive, Attempted: true, Reason: v.DeadReason + ": " + v.Class}
	case models.DeliveryCanceled:
		return Outcome{Do: Ack, Attempted: true, Reason: "the members of the batch go alone: " + v.Class}
	}
	out := Outcome{Do: RetryLater, At: v.NextAttemptAt, Attempted: true, Reason: v.Class}
	if v.StatusCode != 0 {
		out.Reason += ": " + http.StatusText(v.StatusCode)
	}
	if v.ChangesLane {
		out.Do, out.Delivery = Requeue, row.Delivery
		out.Delivery.Generation, out.Delivery.Attempts, out.Delivery.NextAttemptAt = r.Generation, v.Before+1, v.NextAttemptAt
	}
	return out
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// report counts the attempt and writes its line.
func (s *Sender) report(ctx context.Context, row *store.Waiting, v store.Verdict, r store.Recorded,
	took time.Duration) {
	s.opts.Metrics.Attempt(v.Class, took)
	s.opts.Metrics.Phases(telemetry.Phases{DNS: micros(v.DNSMicros), Connect: micros(v.ConnectMicros),
		TLS: micros(v.TLSMicros), Answer: micros(v.FirstByteMicros - v.DNSMicros - v.ConnectMicros - v.TLSMicros)})
	if r.Applied && v.State == models.DeliveryDelivered {
		s.opts.Metrics.Delivered(v.At.Sub(row.OccurredAt))
	}
	if r.Applied && v.State == models.DeliveryDead {
		s.opts.Metrics.Dead()
	}
	payment := ""
	if row.PaymentID != nil {
		payment = *row.PaymentID
	}
	s.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "delivery.attempted",
		slog.String("class", v.Class), slog.Int("status", v.StatusCode), slog.String("state", string(v.State)),
		slog.String("delivery_id", row.ID), slog.String("event_id", row.EventID), slog.String("event_type", row.EventType),
		slog.String("endpoint_id", row.EndpointID), slog.String("merchant_id", row.MerchantID),
		slog.String("payment_id", payment),
		slog.Int("attempt", v.Number), slog.Int64("duration_us", took.Microseconds()), slog.Bool("applied", r.Applied))
}
