package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// requeuePause is how long a task waits whose successor could not be enqueued.
const requeuePause = 5 * time.Second

// turnedAway is how many tasks a second the slow lane turns away at most.
const turnedAway = 640

// retryIn is the error of a task that comes again. Its text is seen in the dashboard.
type retryIn struct {
	at     time.Time
	failed bool // a request was made; nothing else counts as a failure
	reason string
}

func (e *retryIn) Error() string { return e.reason }

// handler is the one handler, of first tries and retries alike.
type handler struct {
	client  *Client
	sender  *delivery.Sender
	workers workerPool
	slots   map[string]*slots // of each queue
	// slowPace is how long a task of the slow lane that came to nothing keeps its place.
	slowPace time.Duration
}

// ProcessTask makes the attempt that a task asks for. It returns nil only when the record needs the task no more.
func (h *handler) ProcessTask(ctx context.Context, t *asynq.Task) error {
	queue, _ := asynq.GetQueueName(ctx)
	defer h.slots[queue].enter()()
	return h.workers.do(func() error { return h.process(ctx, queue, t) })
}

func (h *handler) process(ctx context.Context, queue string, t *asynq.Task) error {
	var p payload
	if err := json.Unmarshal(t.Payload(), &p); err != nil || p.DeliveryID == "" || p.Generation < 1 {
		return fmt.Errorf("not a payload of %s: %w", TypeSendWebhook, asynq.SkipRetry)
	}
	ctx = telemetry.WithTraceparent(ctx, t.Headers()[traceHeader])
	out := h.attempt(ctx, delivery.Task{DeliveryID: p.DeliveryID, Generation: p.Generation, EndpointID: p.EndpointID,
		MerchantID: p.MerchantID, Lane: queue, Workers: h.slots[queue].total})
	switch out.Do {
	case delivery.Ack:
		return nil
	case delivery.Requeue:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requeuePause)
		defer cancel()
		if err := h.client.Enqueue(ctx, out.Delivery, out.At); err != nil {
			return &retryIn{at: h.client.now().Add(requeuePause), reason: "the next try could not be enqueued"}
		}
		return nil
	case delivery.Archive:
		return fmt.Errorf("%s: %w", out.Reason, asynq.SkipRetry)
	}
	return &retryIn{at: out.At, failed: out.Attempted, reason: out.Reason}
}

// attempt makes one. In the lane of slow endpoints, where a backlog is turned away, that goes slowly: it is nobody's
// turn, and those whose turn it is elsewhere need the processor and the database.
func (h *handler) attempt(ctx context.Context, t delivery.Task) delivery.Outcome {
	out := h.sender.Attempt(ctx, t)
	if t.Lane == slowQueue && !out.Attempted {
		select {
		case <-ctx.Done():
		case <-time.After(h.slowPace):
		}
	}
	return out
}

// isFailure tells Asynq's statistics which errors were failed attempts. Limits, leases, shutdowns and panics were not.
func isFailure(err error) bool {
	var r *retryIn
	return errors.As(err, &r) && r.failed
}

// delays turns the time at which a task comes again into the delay that Asynq asks for.
func delays(now func() time.Time) asynq.RetryDelayFunc {
	return func(_ int, err error, _ *asynq.Task) time.Duration {
		var r *retryIn
		if !errors.As(err, &r) {
			return requeuePause // a lease that ran out, a time limit, a panic
		}
		// The extra millisecond keeps Asynq, which reads the clock a moment later and cuts to seconds, on the right one.
		return max(wholeSecond(r.at).Sub(now())+time.Millisecond, time.Second)
	}
}
