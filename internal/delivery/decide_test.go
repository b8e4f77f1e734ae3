package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

var decideAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// due is a delivery that is due at decideAt, of generation 3.
func due() store.Waiting {
	return store.Waiting{
		Delivery: models.Delivery{
			ID: "dlv_1", State: models.DeliveryPending, Generation: 3, NextAttemptAt: decideAt, EventType: "payment.created",
		},
		EndpointStatus: models.EndpointEnabled,
	}
}

func ExampleDecide() {
	row := due()
	fmt.Println(Decide(&row, Task{DeliveryID: "dlv_1", Generation: 3}, decideAt).Send)
	row.EndpointStatus = models.EndpointDisabled
	d := Decide(&row, Task{DeliveryID: "dlv_1", Generation: 3}, decideAt)
	fmt.Println(d.Send, d.Write, d.Step, d.Reason == ReasonEndpointOff)
	// Output:
	// true
	// false held ack true
}

// TestDecide goes through everything that can stop a request.
func TestDecide(t *testing.T) {
	now := decideAt
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	send := Decision{Send: true}
	done := func(r Reason) Decision { return Decision{Step: Ack, Reason: r} }
	writes := func(w Write, at time.Duration, r Reason) Decision {
		return Decision{Write: w, Step: Ack, At: now.Add(at), Reason: r}
	}
	for name, c := range map[string]struct {
		change func(*store.Waiting)
		gen    int
		want   Decision
	}{
		"due":             {nil, 3, send},
		"almost due":      {func(w *store.Waiting) { w.NextAttemptAt = now.Add(time.Second) }, 3, send},
		"not quite due":   {func(w *store.Waiting) { w.NextAttemptAt = now.Add(3 * time.Second) }, 3, Decision{Step: RetryLater, At: now.Add(3 * time.Second), Reason: ReasonNotDue}},
		"not due":         {func(w *store.Waiting) { w.NextAttemptAt = now.Add(5 * time.Second) }, 3, writes(WriteDue, 5*time.Second, ReasonNotDue)},
		"older task":      {nil, 2, Decision{Step: Requeue, At: now, Reason: ReasonStale}},
		"unknown task":    {nil, 4, done(ReasonUnknownGeneration)},
		"delivered":       {func(w *store.Waiting) { w.State = models.DeliveryDelivered }, 3, done(ReasonNotPending)},
		"canceled":        {func(w *store.Waiting) { w.State = models.DeliveryCanceled }, 3, done(ReasonNotPending)},
		"held":            {func(w *store.Waiting) { w.State = models.DeliveryHeld }, 3, done(ReasonNotPending)},
		"just died":       {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-9*time.Minute) }, 3, Decision{Step: Archive, Reason: ReasonDead}},
		"died long ago":   {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-11*time.Minute) }, 3, Decision{Write: WriteRerun, Step: Ack, Reason: ReasonRun}},
		"older, dead":     {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-11*time.Minute) }, 2, done(ReasonStale)},
		"disabled":        {func(w *store.Waiting) { w.EndpointStatus = models.EndpointDisabled }, 3, Decision{Write: WriteHeld, Step: Ack, Reason: ReasonEndpointOff}},
		"paused":          {func(w *store.Waiting) { w.EndpointStatus = models.EndpointPaused }, 3, Decision{Write: WriteHeld, Step: Ack, Reason: ReasonEndpointOff}},
		"deleted":         {func(w *store.Waiting) { w.EndpointDeleted = true }, 3, Decision{Write: WriteCanceled, Step: Ack, Reason: ReasonEndpointDeleted}},
		"test, disabled":  {func(w *store.Waiting) { w.EndpointStatus, w.EventType = models.EndpointDisabled, "webhook.test" }, 3, send},
		"test, paused":    {func(w *store.Waiting) { w.EndpointStatus, w.EventType = models.EndpointPaused, "webhook.test" }, 3, Decision{Write: WriteHeld, Step: Ack, Reason: ReasonEndpointOff}},
		"test, deleted":   {func(w *store.Waiting) { w.EndpointDeleted, w.EventType = true, "webhook.test" }, 3, Decision{Write: WriteCanceled, Step: Ack, Reason: ReasonEndpointDeleted}},
		"gated":           {func(w *store.Waiting) { w.NotBefore = at(time.Minute) }, 3, writes(WriteDue, time.Minute, ReasonThrottled)},
		"gate is over":    {func(w *store.Waiting) { w.NotBefore = at(0) }, 3, send},
		"suspended":       {func(w *store.Waiting) { w.Suspended = true }, 3, done(ReasonSuspended)},
		"suspended, old":  {func(w *store.Waiting) { w.Suspended = true }, 2, done(ReasonSuspended)},
		"suspended, gone": {func(w *store.Waiting) { w.Suspended, w.EndpointDeleted = true, true }, 3, Decision{Write: WriteCanceled, Step: Ack, Reason: ReasonEndpointDeleted}},
		"breaker open":    {func(w *store.Waiting) { w.Breaker, w.BreakerUntil = models.BreakerOpen, at(time.Minute) }, 3, writes(WriteSuspended, time.Minute, ReasonBreaker)},
		"breaker overdue": {func(w *store.Waiting) { w.Breaker, w.BreakerUntil = models.BreakerOpen, at(-time.Minute) }, 3, writes(WriteSuspended, -time.Minute, ReasonBreaker)},
		"test, breaker open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.EventType = models.BreakerOpen, at(time.Minute), "webhook.test"
		}, 3, send},
		"test of any type": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.SignWith, w.EndpointStatus = models.BreakerOpen, at(time.Minute), "all",
				models.EndpointDisabled
		}, 3, send},
		"retry of a test, breaker open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.SignWith, w.Attempts = models.BreakerOpen, at(time.Minute), "all", 1
		}, 3, writes(WriteSuspended, time.Minute, ReasonBreaker)},
		"half open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.BreakerProbe = models.BreakerHalfOpen, at(time.Minute), "dlv_2"
		}, 3, writes(WriteSuspended, time.Minute, ReasonBreaker)},
		"the probe": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.BreakerProbe = models.BreakerHalfOpen, at(time.Minute), "dlv_1"
		}, 3, send},
		"closed again":     {func(w *store.Waiting) { w.Breaker = models.BreakerClosed }, 3, send},
		"slow":             {func(w *store.Waiting) { w.EndpointSlow = true }, 3, writes(WriteDue, 0, ReasonSlow)},
		"in the slow lane": {func(w *store.Waiting) { w.EndpointSlow, w.Slow = true, true }, 3, send},
		"no longer slow":   {func(w *store.Waiting) { w.Slow = true }, 3, send},
	} {
		w := due()
		if c.change != nil {
			c.change(&w)
		}
		if got := Decide(&w, Task{DeliveryID: "dlv_1", Generation: c.gen}, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := Decide(nil, Task{}, now); got != done(ReasonMissing) {
		t.Errorf("no row: %+v", got)
	}
}
