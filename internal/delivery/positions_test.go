package delivery_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestRequestsTellThePositionOfTheirEvent: on every attempt the same, and nobody's custom header in its place.
func TestRequestsTellThePositionOfTheirEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w, r := deliverytest.New(t, s), testkit.NewReceiver(t)
		clock := &deliverytest.Clock{}
		w.Now = clock.Now
		shop := w.Merchant()
		w.Endpoint(shop, r.URL)
		sender := w.Sender()
		ds := w.Publish(shop, 3)
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusOK} {
			r.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Status: status} })
			for i := range ds {
				if out := sender.Attempt(t.Context(), deliverytest.Task(ds[i])); !out.Attempted {
					t.Fatalf("%+v", out)
				}
				ds[i] = w.Get(ds[i])
			}
			clock.Advance(time.Hour)
		}
		for i, got := range r.WaitCount(t, 6, 10*time.Second) {
			positions, err := webhook.PositionsOf(got.Header)
			if want := []int64{int64(i%3 + 1)}; err != nil || !slices.Equal(positions, want) {
				t.Errorf("request %d: %v, %v; want %v", i, positions, err, want)
			}
		}
	})
}

// TestBatchesTellThePositionsOfTheirEvents: in the order of the body, on each attempt.
func TestBatchesTellThePositionsOfTheirEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		batch, members := w.One(3)
		sender := w.Sender()
		r.Answers(testkit.Answer{Status: 503}, testkit.Answer{})
		for range 2 {
			if out := sender.Attempt(t.Context(), deliverytest.Task(batch)); !out.Attempted {
				t.Fatalf("%+v", out)
			}
			w.Clock.Advance(time.Hour)
			batch.Generation = w.Load(batch.ID).Generation
		}
		known, err := s.Positions(t.Context(), deliverytest.EventIDs(members))
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range r.WaitCount(t, 2, 10*time.Second) {
			var want []int64
			for _, id := range deliverytest.EventsOf(t, got.Body) {
				want = append(want, known[id])
			}
			if positions, err := webhook.PositionsOf(got.Header); err != nil || len(want) != 3 ||
				!slices.Equal(positions, want) {
				t.Errorf("attempt %d: %v, %v; want %v", i+1, positions, err, want)
			}
		}
	})
}
