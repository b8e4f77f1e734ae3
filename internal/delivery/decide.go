package delivery

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// runAfter is how long after its death the task of a dead delivery can still be a crash between commit and ack; later
	// it is an operator's Run (ruling 14).
	runAfter = 10 * time.Minute
	// early is how much before its time a task may come: Asynq keeps whole seconds.
	early = time.Second
)

// Before decides whether a request is due, given the row as it is: true, or what to do instead. It is pure.
func Before(row *store.Waiting, task Task, now time.Time) (Outcome, bool) {
	if row == nil {
		return Outcome{Do: Ack, Reason: "there is no such delivery"}, false
	}
	switch row.State {
	case models.DeliveryDead:
		switch {
		case task.Generation != row.Generation:
			return Outcome{Do: Ack, Reason: "stale"}, false
		case row.DeadAt != nil && now.Sub(*row.DeadAt) < runAfter:
			return Outcome{Do: Bury, Reason: "dead"}, false
		}
		return Outcome{Do: Handover, Reason: "run by an operator"}, false
	case models.DeliveryPending:
	default: // delivered, canceled, or held until its endpoint is enabled
		return Outcome{Do: Ack, Reason: string(row.State)}, false
	}
	test := row.IsTest()
	switch {
	case row.Suspended:
		return Outcome{Do: Ack, Reason: "parked"}, false
	case task.Generation < row.Generation: // make sure that the newer task is there, then forget this one
		return Outcome{Do: Handover, At: row.NextAttemptAt, Delivery: row.Delivery, Reason: "stale"}, false
	case task.Generation > row.Generation:
		return Outcome{Do: Ack, Reason: "of a generation that the record never had"}, false
	case row.EndpointDeleted, row.EndpointStatus != models.EndpointEnabled && !test:
		return Outcome{Do: Ack, Reason: "the endpoint is " + string(row.EndpointStatus)}, false
	case !(test && row.Attempts == 0) && barred(row):
		return Outcome{Do: park, At: *row.BreakerUntil, Reason: "the breaker of the endpoint is " + row.Breaker}, false
	case row.NextAttemptAt.Sub(now) > early:
		return later(row.NextAttemptAt, now, "not due yet"), false
	case row.NotBefore != nil && row.NotBefore.After(now):
		return later(*row.NotBefore, now, "the receiver asked for a pause"), false
	case row.EndpointSlow && !row.Slow:
		return Outcome{Do: postpone, At: now, Reason: "the endpoint is slow and has a lane of its own"}, false
	}
	return Outcome{}, true
}

// barred reports whether the endpoint's breaker lets this delivery not through.
func barred(row *store.Waiting) bool {
	return row.BreakerUntil != nil && row.Breaker != models.BreakerClosed && !(row.Breaker == models.BreakerHalfOpen && row.BreakerProbe == row.ID)
}

// later brings a task again at a time, through Redis if that is near.
func later(at, now time.Time, reason string) Outcome {
	if at.Sub(now) <= near {
		return Outcome{Do: Again, At: at, Reason: reason}
	}
	return Outcome{Do: postpone, At: at, Reason: reason}
}

// settle does what a decision against a request asks of the record.
func (s *Sender) settle(ctx context.Context, row *store.Waiting, out Outcome) Outcome {
	if row == nil {
		return out
	}
	var err error
	switch {
	case out.Do == postpone || out.Do == park:
		return s.giveBack(ctx, store.Deferral{ID: row.ID, Generation: row.Generation, Until: out.At, Suspend: out.Do == park}, out.Reason)
	case row.State == models.DeliveryPending && out.Do == Ack && row.EndpointDeleted:
		err = s.Store.SetWaiting(ctx, row.ID, row.Generation, models.DeliveryCanceled, s.now())
	case row.State == models.DeliveryPending && out.Do == Ack && !row.Suspended && row.EndpointStatus != models.EndpointEnabled:
		err = s.Store.SetWaiting(ctx, row.ID, row.Generation, models.DeliveryHeld, s.now())
	case row.State == models.DeliveryDead && out.Do == Handover:
		err = s.Redelivery.RunDead(ctx, row.ID)
		out = Outcome{Do: Ack, Reason: out.Reason}
	}
	if err != nil {
		s.Logger.WarnContext(ctx, "delivery.settle_failed", "delivery_id", row.ID, "error", err)
		return Outcome{Do: Again, At: s.now().Add(pause), Reason: "the record could not be written"}
	}
	return out
}
