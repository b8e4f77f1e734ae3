package redelivery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestReplaysOfANeighbour: however many jobs a merchant has, another one's job has every second step while it is due.
func TestReplaysOfANeighbour(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		const endpoints, events = 10, 12
		start := func(merchantID, endpointID string) (job models.Replay) {
			t.Helper()
			w.InTx(func(tx *store.Tx) (err error) {
				job, err = w.Redelivery.StartReplay(t.Context(), tx, models.System, merchantID, endpointID,
					redelivery.ReplayRequest{Rate: 1})
				return err
			})
			return job
		}
		one, many := w.Merchant(), w.Merchant()
		mine, _ := w.Endpoint(one, "https://one.example/")
		var theirs []string
		for i := range endpoints {
			e, _ := w.Endpoint(many, fmt.Sprintf("https://many.example/%d", i))
			theirs = append(theirs, e.ID)
		}
		w.Publish(one, events)
		w.Publish(many, events) // pending, so a step passes over one and is due again at once
		for _, id := range theirs {
			start(many, id)
		}
		job := start(one, mine.ID)
		r, err := redelivery.NewReplayer(redelivery.ReplayerOptions{Service: w.Redelivery, Logger: w.Logger})
		if err != nil {
			t.Fatal(err)
		}
		for step := 1; step <= 2*events; step++ {
			if worked, err := r.Step(t.Context()); err != nil || !worked {
				t.Fatalf("step %d: %v, %v", step, worked, err)
			}
			got, err := s.Replay(t.Context(), one, job.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got.Skipped < (step-1)/2 {
				t.Fatalf("after %d steps, %d were of the job of who has one", step, got.Skipped)
			}
		}
	})
}

// TestStepsAreShort: a job makes few deliveries at a time however fast it may go, and is told to go on soon.
func TestStepsAreShort(t *testing.T) {
	s := storetest.Postgres(t)
	w := newReplays(t, s)
	w.Publish(w.Shop, 130)
	w.InTx(func(tx *store.Tx) error {
		_, err := tx.CancelDeliveries(t.Context(), w.To.ID, models.Now(w.Clock.Now))
		return err
	})
	w.Clock.Advance(time.Second)
	job, err := w.start(redelivery.ReplayRequest{Rate: redelivery.MaxReplayRate})
	if err != nil {
		t.Fatal(err)
	}
	w.step(true)
	if got := w.job(job.ID); got.Replayed != 100 || got.NextAt.Sub(w.Clock.Now()) > 100*time.Millisecond {
		t.Fatalf("%d of %d in one step, the next in %v", got.Replayed, job.Matched, got.NextAt.Sub(w.Clock.Now()))
	}
	if at, err := s.NextReplayAt(t.Context()); err != nil || !at.Equal(w.job(job.ID).NextAt) {
		t.Fatalf("%v, %v", at, err)
	}
	w.Clock.Advance(time.Second)
	w.step(true)
	if got := w.job(job.ID); got.Replayed != 130 || got.Status != models.ReplayDone {
		t.Fatalf("%+v", got)
	}
	if at, err := s.NextReplayAt(t.Context()); err != nil || !at.IsZero() {
		t.Fatalf("no job runs: %v, %v", at, err)
	}
}
