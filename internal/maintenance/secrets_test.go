package maintenance_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestSecretsGrowOld: the merchant hears of it once and in time, the endpoint itself included; then nothing but a
// rotation changes the endpoint, which is sent to all the same.
func TestSecretsGrowOld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s, func(o *endpoints.Options) { o.SecretMaxAge = 180 * day })
		clock := testkit.NewClock(time.Now())
		w.Now = clock.Now
		merchant := w.Merchant()
		e, _ := w.Endpoint(merchant, "https://shop.example/hooks")
		update := func() error {
			return s.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := w.Endpoints.Update(t.Context(), tx, models.System, merchant, e.ID,
					endpoints.Settings{Description: new("x")})
				return err
			})
		}
		watch, err := maintenance.NewWatch(maintenance.WatchOptions{
			Store: s, Endpoints: w.Endpoints, SecretMaxAge: 180 * day, Logger: w.Logger, Now: clock.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		expiring := store.DeliveryFilter{EventType: string(webhook.EndpointSecretExpiring)}
		look := func() int { // how often the merchant was told by now
			t.Helper()
			if err := watch.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows, err := s.ListDeliveries(t.Context(), merchant, expiring, store.Page{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			return len(rows)
		}
		for _, c := range []struct {
			after     time.Duration
			warned    int
			updatable bool
		}{{165 * day, 0, true}, {2 * day, 1, true}, {day, 1, true}, {13 * day, 1, false}, {day, 1, false}} {
			clock.Advance(c.after)
			if n := look(); n != c.warned {
				t.Fatalf("%d warnings, want %d", n, c.warned)
			}
			if err := update(); c.updatable != (err == nil) || err != nil && !errors.Is(err, endpoints.ErrSecretTooOld) {
				t.Fatalf("update: %v", err)
			}
		}
		rows, err := s.ListDeliveries(t.Context(), merchant, expiring, store.Page{Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].EndpointID != e.ID {
			t.Fatalf("%+v, %v", rows, err)
		}
		ev, err := s.Event(t.Context(), merchant, rows[0].EventID)
		if err != nil {
			t.Fatal(err)
		}
		said, err := webhook.Decode(ev.Body)
		if err != nil || said.Data.Endpoint.SecretExpiresAt == nil ||
			said.Data.Endpoint.SecretExpiresAt.Sub(said.Data.Endpoint.SecretCreatedAt.Time).Round(day) != 180*day {
			t.Fatalf("%s, %v", ev.Body, err)
		}
		w.InTx(func(tx *store.Tx) error {
			_, _, err := w.Endpoints.RotateSecret(t.Context(), tx, models.System, merchant, e.ID, endpoints.Rotation{})
			return err
		})
		if err := update(); err != nil {
			t.Fatalf("after the rotation: %v", err)
		}
		if n := look(); n != 1 {
			t.Fatalf("%d warnings after the rotation", n)
		}
	})
}

// TestRejectingEndpoints: who answers 401 or 403 is known by name, in the endpoint's statistics and for the watch.
func TestRejectingEndpoints(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		r.Script(func(got testkit.Received) testkit.Answer {
			if got.Path == "/no" {
				return testkit.Answer{Status: 401}
			}
			return testkit.Answer{}
		})
		merchant := w.Merchant()
		w.Endpoint(merchant, r.URL+"/yes")
		no, _ := w.Endpoint(merchant, r.URL+"/no")
		sender := w.Sender()
		begin := time.Now().Add(-time.Second)
		for _, d := range w.Publish(merchant, 3) {
			sender.Attempt(t.Context(), deliverytest.Task(d))
		}
		rows, err := s.RejectingEndpoints(t.Context(), begin, 10)
		if err != nil || len(rows) != 1 ||
			rows[0] != (store.Rejecting{EndpointID: no.ID, MerchantID: merchant, Attempts: 3}) {
			t.Fatalf("%+v, %v", rows, err)
		}
		if rows, err := s.RejectingEndpoints(t.Context(), time.Now().Add(time.Minute), 10); err != nil || len(rows) != 0 {
			t.Fatalf("of the future: %+v, %v", rows, err)
		}
		stats, err := s.EndpointStats(t.Context(), no, begin)
		if err != nil || stats.AuthRejected != 3 || stats.Succeeded != 0 {
			t.Fatalf("%+v, %v", stats, err)
		}
	})
}
