package delivery_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// replayWorld has an endpoint at a receiver, and one attempt for each delivery.
type replayWorld struct {
	*deliverytest.World
	t        *testing.T
	clock    *worldClock
	receiver *testkit.Receiver
	merchant string
	endpoint models.Endpoint
	offered  *offered
	sender   *delivery.Sender
}

func newReplayWorld(t *testing.T, s *store.Store) *replayWorld {
	w := &replayWorld{World: deliverytest.New(t, s), t: t, clock: &worldClock{}, receiver: testkit.NewReceiver(t), offered: offers(s)}
	w.Now = w.clock.now
	w.merchant = w.Merchant()
	one := new(1)
	w.endpoint, _ = w.Endpoint(w.merchant, w.receiver.URL, func(set *delivery.Settings) { set.MaxAttempts = &one })
	w.sender = w.Sender(func(o *delivery.SenderOptions) { o.Breaker = delivery.BreakerRules{} })
	return w
}

// send attempts deliveries while the receiver answers with a status.
func (w *replayWorld) send(status int, ds ...models.Delivery) {
	w.t.Helper()
	w.receiver.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Status: status} })
	for _, d := range ds {
		if out := w.sender.Attempt(w.t.Context(), task(d)); !out.Attempted {
			w.t.Fatalf("%s was not attempted: %+v", d.ID, out)
		}
	}
}

func (w *replayWorld) start(r delivery.ReplayRequest) (job models.Replay, err error) {
	err = w.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		job, err = w.Service.StartReplay(w.t.Context(), tx, models.System, w.merchant, w.endpoint.ID, r)
		return err
	})
	return job, err
}

// step has a Replayer of its own, as if every worker died after one step.
func (w *replayWorld) step(want bool) {
	w.t.Helper()
	r, err := delivery.NewReplayer(delivery.ReplayerOptions{Service: w.Service, Logger: w.Logger})
	if err != nil {
		w.t.Fatal(err)
	}
	if got, err := r.Step(w.t.Context()); err != nil || got != want {
		w.t.Fatalf("step: %v, %v, want %v", got, err, want)
	}
}

func (w *replayWorld) job(id string) models.Replay {
	w.t.Helper()
	job, err := w.Store.Replay(w.t.Context(), w.merchant, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// TestReplay sends again what is dead, each event once, at a rate, whoever dies in between: the same bytes under the same
// webhook-id, and webhook-attempt counts on.
func TestReplay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newReplayWorld(t, s)
		ds := w.Publish(w.merchant, 14)
		w.send(http.StatusInternalServerError, ds[:12]...)
		w.clock.move(time.Second)
		for _, d := range ds[:2] { // two were redelivered, and arrived
			w.InTx(func(tx *store.Tx) error {
				_, err := w.Service.Redeliver(t.Context(), tx, models.System, w.merchant, d.ID)
				return err
			})
		}
		w.offered.take()
		again, err := s.ListDeliveries(t.Context(), w.merchant, store.DeliveryFilter{State: string(models.DeliveryPending)}, store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		again = slices.DeleteFunc(again, func(d models.Delivery) bool { return d.ReplayOf == nil })
		w.send(http.StatusNoContent, again...)
		first := make(map[string][]byte)
		for _, r := range w.receiver.All() {
			first[r.ID()] = r.Body
		}
		w.clock.move(time.Second)

		plan, err := w.Service.PlanReplay(t.Context(), &s.Queries, w.merchant, w.endpoint.ID, delivery.ReplayRequest{State: "dead"})
		if err != nil || plan.Matched != 10 {
			t.Fatalf("dry run: %+v, %v", plan, err)
		}
		job, err := w.start(delivery.ReplayRequest{State: "dead", Rate: 8})
		if err != nil || job.Matched != 10 || job.ID == plan.ID {
			t.Fatalf("%+v, %v", job, err)
		}
		var running *delivery.ReplayRunningError
		if _, err := w.start(delivery.ReplayRequest{}); !errors.As(err, &running) || running.ID != job.ID {
			t.Fatalf("a second job: %v", err)
		}
		var sent []models.Delivery
		for _, want := range []int{4, 4, 2} { // half a second each
			w.step(true)
			w.step(false) // the rate is spent
			made := w.offered.take()
			if len(made) != want {
				t.Fatalf("%d deliveries in a step, want %d", len(made), want)
			}
			sent = append(sent, made...)
			w.clock.move(500 * time.Millisecond)
		}
		w.step(false)
		if job = w.job(job.ID); job.Status != models.ReplayDone || job.Replayed != 10 || job.Skipped != 0 {
			t.Fatalf("%+v", job)
		}
		before := len(w.receiver.All())
		w.send(http.StatusNoContent, sent...)
		seen := make(map[string]bool)
		for _, r := range w.receiver.All()[before:] {
			if seen[r.ID()] || !bytes.Equal(first[r.ID()], r.Body) || r.Header.Get("webhook-attempt") != "2" {
				t.Errorf("%s: attempt %s, same bytes %v, seen %v", r.ID(), r.Header.Get("webhook-attempt"), bytes.Equal(first[r.ID()], r.Body), seen[r.ID()])
			}
			seen[r.ID()] = true
		}
		for i, d := range ds[2:12] {
			if !seen[d.EventID] || w.Get(d).State != models.DeliveryDead {
				t.Errorf("event %d: seen %v, first row %s", i+2, seen[d.EventID], w.Get(d).State)
			}
		}
		for _, d := range sent {
			if got := w.Get(d); got.ReplayID == nil || *got.ReplayID != job.ID || got.ReplayOf == nil || got.State != models.DeliveryDelivered {
				t.Errorf("%+v", got)
			}
		}

		// Everything: each event once more, and what waits anyway is skipped.
		job, err = w.start(delivery.ReplayRequest{Rate: 1000})
		if err != nil || job.Matched != 14 {
			t.Fatalf("%+v, %v", job, err)
		}
		w.step(true)
		if job = w.job(job.ID); job.Status != models.ReplayDone || job.Replayed != 12 || job.Skipped != 2 {
			t.Fatalf("%+v", job)
		}
		if n, err := s.VerifyAudit(t.Context()); err != nil || n < 4 {
			t.Errorf("audit: %d lines, %v", n, err)
		}
	})
}

// TestReplayEnds by cancellation, and by the end of its endpoint; and it never begins for a disabled one.
func TestReplayEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newReplayWorld(t, s)
		w.send(http.StatusInternalServerError, w.Publish(w.merchant, 6)...)
		w.clock.move(time.Second)
		job, err := w.start(delivery.ReplayRequest{Rate: 4})
		if err != nil {
			t.Fatal(err)
		}
		w.step(true)
		cancel := func() (out models.Replay) {
			w.InTx(func(tx *store.Tx) (err error) {
				out, err = w.Service.CancelReplay(t.Context(), tx, models.System, w.merchant, job.ID)
				return err
			})
			return out
		}
		if got := cancel(); got.Status != models.ReplayCanceled || got.Replayed != 2 {
			t.Fatalf("%+v", got)
		}
		w.clock.move(time.Minute)
		w.step(false)
		if got := cancel(); got.Status != models.ReplayCanceled || got.Replayed != 2 {
			t.Fatalf("canceled twice: %+v", got)
		}
		if err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Service.CancelReplay(t.Context(), tx, models.System, "mer_other", job.ID)
			return err
		}); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("another merchant's: %v", err)
		}

		if job, err = w.start(delivery.ReplayRequest{Rate: 1}); err != nil {
			t.Fatal(err)
		}
		w.InTx(func(tx *store.Tx) error {
			return w.Service.DeleteEndpoint(t.Context(), tx, models.System, w.merchant, w.endpoint.ID)
		})
		w.step(true)
		if got := w.job(job.ID); got.Status != models.ReplayCanceled || got.Replayed != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestReplayRefuses(t *testing.T) {
	w := newReplayWorld(t, storetest.SQLite(t))
	later := w.clock.now().Add(time.Hour)
	for name, r := range map[string]delivery.ReplayRequest{
		"rate": {Rate: 1001}, "created_after": {CreatedAfter: &later},
	} {
		var faults delivery.Faults
		if _, err := w.start(r); !errors.As(err, &faults) || faults[0].Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.InTx(func(tx *store.Tx) error {
		_, err := w.Service.DisableEndpoint(t.Context(), tx, models.System, w.merchant, w.endpoint.ID, "over")
		return err
	})
	if _, err := w.start(delivery.ReplayRequest{}); !errors.Is(err, delivery.ErrEndpointDisabled) {
		t.Errorf("disabled: %v", err)
	}
}

// TestReplayLeavesTests: nobody wants the sample data of a test again, whatever event it carried.
func TestReplayLeavesTests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newReplayWorld(t, s)
		ds := w.Publish(w.merchant, 2)
		w.InTx(func(tx *store.Tx) error {
			d, err := w.Service.TestEndpoint(t.Context(), tx, models.System, w.merchant, w.endpoint.ID, delivery.Test{EventType: webhook.PaymentConfirmed})
			ds = append(ds, d)
			return err
		})
		w.send(http.StatusNoContent, ds...)
		w.clock.move(time.Second)
		if plan, err := w.Service.PlanReplay(t.Context(), &s.Queries, w.merchant, w.endpoint.ID, delivery.ReplayRequest{}); err != nil || plan.Matched != 2 {
			t.Errorf("%+v, %v", plan, err)
		}
	})
}
