package redelivery_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// replays is a fixture whose deliveries have one attempt each.
type replays struct {
	*deliverytest.OneAttempt
	t *testing.T
}

func newReplays(t *testing.T, s *store.Store) *replays {
	return &replays{deliverytest.NewOneAttempt(t, s), t}
}

func (w *replays) start(r redelivery.ReplayRequest) (job models.Replay, err error) {
	err = w.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		job, err = w.Redelivery.StartReplay(w.t.Context(), tx, models.System, w.Shop, w.To.ID, r)
		return err
	})
	return job, err
}

// step has a Replayer of its own, as if every worker died after one step.
func (w *replays) step(want bool) {
	w.t.Helper()
	r, err := redelivery.NewReplayer(redelivery.ReplayerOptions{Service: w.Redelivery, Logger: w.Logger})
	if err != nil {
		w.t.Fatal(err)
	}
	if got, err := r.Step(w.t.Context()); err != nil || got != want {
		w.t.Fatalf("step: %v, %v, want %v", got, err, want)
	}
}

func (w *replays) job(id string) models.Replay {
	w.t.Helper()
	job, err := w.Store.Replay(w.t.Context(), w.Shop, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// TestReplay sends again what is dead, each event once, at a rate, whoever dies in between: the same bytes under the
// same webhook-id, and webhook-attempt counts on.
func TestReplay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newReplays(t, s)
		ds := w.Publish(w.Shop, 14)
		w.Send(http.StatusInternalServerError, ds[:12]...)
		w.Clock.Advance(time.Second)
		for _, d := range ds[:2] { // two were redelivered, and arrived
			w.InTx(func(tx *store.Tx) error {
				_, err := w.Redelivery.Redeliver(t.Context(), tx, models.System, w.Shop, d.ID)
				return err
			})
		}
		w.Offered.Take()
		again, err := s.ListDeliveries(t.Context(), w.Shop, store.DeliveryFilter{State: string(models.DeliveryPending)},
			store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		again = slices.DeleteFunc(again, func(d models.Delivery) bool { return d.ReplayOf == nil })
		w.Send(http.StatusNoContent, again...)
		first := make(map[string][]byte)
		for _, r := range w.Receiver.All() {
			first[r.ID()] = r.Body
		}
		w.Clock.Advance(time.Second)

		plan, err := w.Redelivery.PlanReplay(t.Context(), &s.Queries, w.Shop, w.To.ID,
			redelivery.ReplayRequest{State: "dead"})
		if err != nil || plan.Matched != 10 {
			t.Fatalf("dry run: %+v, %v", plan, err)
		}
		job, err := w.start(redelivery.ReplayRequest{State: "dead", Rate: 8})
		if err != nil || job.Matched != 10 || job.ID == plan.ID {
			t.Fatalf("%+v, %v", job, err)
		}
		var running *redelivery.ReplayRunningError
		if _, err := w.start(redelivery.ReplayRequest{}); !errors.As(err, &running) || running.ID != job.ID {
			t.Fatalf("a second job: %v", err)
		}
		var sent []models.Delivery
		for _, want := range []int{4, 4, 2} { // half a second each
			w.step(true)
			w.step(false) // the rate is spent
			made := w.Offered.Take()
			if len(made) != want {
				t.Fatalf("%d deliveries in a step, want %d", len(made), want)
			}
			sent = append(sent, made...)
			w.Clock.Advance(500 * time.Millisecond)
		}
		w.step(false)
		if job = w.job(job.ID); job.Status != models.ReplayDone || job.Replayed != 10 || job.Skipped != 0 {
			t.Fatalf("%+v", job)
		}
		before := len(w.Receiver.All())
		w.Send(http.StatusNoContent, sent...)
		seen := make(map[string]bool)
		for _, r := range w.Receiver.All()[before:] {
			if seen[r.ID()] || !bytes.Equal(first[r.ID()], r.Body) || r.Header.Get("webhook-attempt") != "2" {
				t.Errorf("%s: attempt %s, same bytes %v, seen %v", r.ID(), r.Header.Get("webhook-attempt"),
					bytes.Equal(first[r.ID()], r.Body), seen[r.ID()])
			}
			seen[r.ID()] = true
		}
		for i, d := range ds[2:12] {
			if !seen[d.EventID] || w.Get(d).State != models.DeliveryDead {
				t.Errorf("event %d: seen %v, first row %s", i+2, seen[d.EventID], w.Get(d).State)
			}
		}
		for _, d := range sent {
			if got := w.Get(d); got.ReplayID == nil || *got.ReplayID != job.ID || got.ReplayOf == nil ||
				got.State != models.DeliveryDelivered {
				t.Errorf("%+v", got)
			}
		}

		// Everything: each event once more, and what waits anyway is skipped.
		job, err = w.start(redelivery.ReplayRequest{Rate: 1000})
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
		w := newReplays(t, s)
		w.Send(http.StatusInternalServerError, w.Publish(w.Shop, 6)...)
		w.Clock.Advance(time.Second)
		job, err := w.start(redelivery.ReplayRequest{Rate: 4})
		if err != nil {
			t.Fatal(err)
		}
		w.step(true)
		cancel := func() (out models.Replay) {
			w.InTx(func(tx *store.Tx) (err error) {
				out, err = w.Redelivery.CancelReplay(t.Context(), tx, models.System, w.Shop, job.ID)
				return err
			})
			return out
		}
		if got := cancel(); got.Status != models.ReplayCanceled || got.Replayed != 2 {
			t.Fatalf("%+v", got)
		}
		w.Clock.Advance(time.Minute)
		w.step(false)
		if got := cancel(); got.Status != models.ReplayCanceled || got.Replayed != 2 {
			t.Fatalf("canceled twice: %+v", got)
		}
		if err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Redelivery.CancelReplay(t.Context(), tx, models.System, "mer_other", job.ID)
			return err
		}); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("another merchant's: %v", err)
		}

		if job, err = w.start(redelivery.ReplayRequest{Rate: 1}); err != nil {
			t.Fatal(err)
		}
		w.InTx(func(tx *store.Tx) error {
			return w.Endpoints.Delete(t.Context(), tx, models.System, w.Shop, w.To.ID)
		})
		w.step(true)
		if got := w.job(job.ID); got.Status != models.ReplayCanceled || got.Replayed != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestReplayRefuses(t *testing.T) {
	w := newReplays(t, storetest.SQLite(t))
	later := w.Clock.Now().Add(time.Hour)
	for name, r := range map[string]redelivery.ReplayRequest{
		"rate": {Rate: 1001}, "created_after": {CreatedAfter: &later},
	} {
		var faults models.FieldErrors
		if _, err := w.start(r); !errors.As(err, &faults) || faults[0].Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.InTx(func(tx *store.Tx) error {
		_, err := w.Endpoints.Disable(t.Context(), tx, models.System, w.Shop, w.To.ID, "over")
		return err
	})
	if _, err := w.start(redelivery.ReplayRequest{}); !errors.Is(err, redelivery.ErrEndpointDisabled) {
		t.Errorf("disabled: %v", err)
	}
}

// TestReplayLeavesTests: nobody wants the sample data of a test again, whatever event it carried.
func TestReplayLeavesTests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newReplays(t, s)
		ds := w.Publish(w.Shop, 2)
		w.InTx(func(tx *store.Tx) error {
			d, err := w.Endpoints.SendTest(t.Context(), tx, models.System, w.Shop, w.To.ID,
				endpoints.Test{EventType: webhook.PaymentConfirmed})
			ds = append(ds, d)
			return err
		})
		w.Send(http.StatusNoContent, ds...)
		w.Clock.Advance(time.Second)
		if plan, err := w.Redelivery.PlanReplay(t.Context(), &s.Queries, w.Shop, w.To.ID,
			redelivery.ReplayRequest{}); err != nil || plan.Matched != 2 {
			t.Errorf("%+v, %v", plan, err)
		}
	})
}
