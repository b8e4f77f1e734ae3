package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// runAfter is how long after a death the task of the delivery can still come from a crash between commit and ack. When
	// it comes later, an operator has run it.
	runAfter = 10 * time.Minute
	// early is how much before its time a task may come: Asynq keeps whole seconds.
	early = time.Second
	// near is how long a task may wait in Redis for its time. One that has to wait for longer waits in Postgres, where it
	// costs nothing.
	near = 4 * time.Second
)

// Reason says why no request is made. Its text is for people and never holds a secret.
type Reason string

// The reasons of [Decide].
const (
	ReasonMissing           Reason = "there is no such delivery"
	ReasonStale             Reason = "a newer task has the delivery"
	ReasonUnknownGeneration Reason = "the record never had this generation"
	ReasonNotPending        Reason = "the delivery is not pending"
	ReasonDead              Reason = "dead"
	ReasonRun               Reason = "run by an operator"
	ReasonSuspended         Reason = "the delivery is suspended"
	ReasonEndpointDeleted   Reason = "the endpoint is deleted"
	ReasonEndpointOff       Reason = "the endpoint is not enabled"
	ReasonOtherMode         Reason = "the endpoint takes no events of this mode"
	ReasonBreaker           Reason = "the breaker of the endpoint is open"
	ReasonNotDue            Reason = "not due yet"
	ReasonThrottled         Reason = "the receiver asked for a pause"
	ReasonSlow              Reason = "the endpoint is slow and has a lane of its own"
)

// The reasons that lie with the worker.
const (
	ReasonPaused         Reason = "deliveries are paused"
	ReasonEndpointFull   Reason = "the endpoint has its limit of requests in flight"
	ReasonHostFull       Reason = "the merchant has their part of the requests in flight at the host"
	ReasonLaneFull       Reason = "the merchant has their part of the lane"
	ReasonRateFull       Reason = "the endpoint has its limit of requests a second"
	ReasonStopping       Reason = "the worker is stopping"
	ReasonCanceled       Reason = "canceled"
	ReasonNoWrites       Reason = "the database takes no writes"
	ReasonLoadFailed     Reason = "the delivery could not be read"
	ReasonEndpointFailed Reason = "the endpoint could not be read"
	ReasonKeysFailed     Reason = "the signing keys could not be read"
	ReasonWriteFailed    Reason = "the record could not be written"
	ReasonCommitFailed   Reason = "the verdict could not be committed"
	ReasonMoved          Reason = "the delivery moved on"
)

// Write is what is written into the row of a delivery before its task is done with.
type Write string

// What can be written; "" is nothing.
const (
	WriteDue       Write = "due"       // that it is due at Decision.At; the sweeper makes it a new task then
	WriteSuspended Write = "suspended" // that it waits for the end of a pause, or of an open breaker
	WriteHeld      Write = "held"      // that it waits until its endpoint is enabled
	WriteCanceled  Write = "canceled"  // that it is over: its endpoint is deleted, or takes its mode no more
	WriteRerun     Write = "rerun"     // a new delivery of the same event, because an operator ran a dead one
)

// Decision is what a worker does with its task, given the row of the delivery as it is. Where Send is set a request is
// due. Otherwise Write is done first, and Step follows.
type Decision struct {
	Send   bool
	Write  Write
	Step   Step
	At     time.Time // of [RetryLater], [Requeue], [WriteDue] and [WriteSuspended]
	Reason Reason
}

// Decide decides whether a request is due for a task at now, and what to do instead where none is. row is nil for a
// delivery that does not exist. It is pure.
func Decide(row *store.Waiting, task Task, now time.Time) Decision {
	if row == nil {
		return Decision{Step: Ack, Reason: ReasonMissing}
	}
	switch row.State {
	case models.DeliveryDead:
		return decideDead(row, task, now)
	case models.DeliveryPending:
	default: // delivered, canceled, or held until its endpoint is enabled
		return Decision{Step: Ack, Reason: ReasonNotPending}
	}
	test := row.IsTest()
	switch {
	case row.Suspended && !row.EndpointDeleted:
		return Decision{Step: Ack, Reason: ReasonSuspended}
	case task.Generation < row.Generation && !row.Suspended: // the newer task has to be there before this one is forgotten
		return Decision{Step: Requeue, At: row.NextAttemptAt, Reason: ReasonStale}
	case row.EndpointDeleted:
		return Decision{Write: WriteCanceled, Step: Ack, Reason: ReasonEndpointDeleted}
	case task.Generation > row.Generation:
		return Decision{Step: Ack, Reason: ReasonUnknownGeneration}
	case row.Test != nil && !row.EndpointMode.Takes(*row.Test):
		return Decision{Write: WriteCanceled, Step: Ack, Reason: ReasonOtherMode}
	case row.EndpointStatus == models.EndpointPaused, row.EndpointStatus != models.EndpointEnabled && !test:
		return Decision{Write: WriteHeld, Step: Ack, Reason: ReasonEndpointOff}
	case !(test && row.Attempts == 0) && blocked(row): // somebody waits for the first attempt of a test
		return Decision{Write: WriteSuspended, Step: Ack, At: *row.BreakerUntil, Reason: ReasonBreaker}
	case row.NextAttemptAt.Sub(now) > early:
		return snooze(row.NextAttemptAt, now, ReasonNotDue)
	case row.NotBefore != nil && row.NotBefore.After(now):
		return snooze(*row.NotBefore, now, ReasonThrottled)
	case row.EndpointSlow && !row.Slow:
		return Decision{Write: WriteDue, Step: Ack, At: now, Reason: ReasonSlow}
	}
	return Decision{Send: true}
}

// decideDead tells a crash between commit and ack from an operator who ran the task of a dead delivery.
func decideDead(row *store.Waiting, task Task, now time.Time) Decision {
	switch {
	case task.Generation != row.Generation:
		return Decision{Step: Ack, Reason: ReasonStale}
	case row.DeadAt != nil && now.Sub(*row.DeadAt) < runAfter:
		return Decision{Step: Archive, Reason: ReasonDead}
	}
	return Decision{Write: WriteRerun, Step: Ack, Reason: ReasonRun}
}

// blocked reports whether the breaker of the endpoint keeps this delivery back.
func blocked(row *store.Waiting) bool {
	probe := row.Breaker == models.BreakerHalfOpen && row.BreakerProbe == row.ID
	return row.BreakerUntil != nil && row.Breaker != models.BreakerClosed && !probe
}

// snooze brings a task again at a time: through Redis if that is near, else through the row.
func snooze(at, now time.Time, reason Reason) Decision {
	if at.Sub(now) <= near {
		return Decision{Step: RetryLater, At: at, Reason: reason}
	}
	return Decision{Write: WriteDue, Step: Ack, At: at, Reason: reason}
}

// settle does what a decision against a request asks of the record. row is nil where it was decided without reading it.
func (s *Sender) settle(ctx context.Context, task Task, row *store.Waiting, d Decision) Outcome {
	generation := task.Generation
	if row != nil {
		generation = row.Generation
	}
	var err error
	switch d.Write {
	case WriteDue, WriteSuspended:
		err = s.deferWriter.write(ctx, store.Deferral{
			ID: task.DeliveryID, Generation: generation, Until: d.At, Suspend: d.Write == WriteSuspended,
		})
	case WriteHeld:
		err = s.opts.Store.SetWaiting(ctx, task.DeliveryID, generation, models.DeliveryHeld, s.now())
	case WriteCanceled:
		err = s.opts.Store.SetWaiting(ctx, task.DeliveryID, generation, models.DeliveryCanceled, s.now())
	case WriteRerun:
		err = s.opts.Redelivery.RunDead(ctx, task.DeliveryID)
	}
	if err != nil {
		s.opts.Logger.WarnContext(ctx, "delivery.settle_failed", "delivery_id", task.DeliveryID, "error", err)
		return s.retryLater(pause, ReasonWriteFailed)
	}
	out := Outcome{Do: d.Step, Reason: string(d.Reason)}
	switch d.Step {
	case RetryLater:
		out.At = d.At
	case Requeue:
		out.At, out.Delivery = d.At, row.Delivery
	}
	return out
}
