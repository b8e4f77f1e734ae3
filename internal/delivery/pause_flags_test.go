package delivery_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestIncidentSwitch pauses everybody, and one merchant: nothing is sent meanwhile and nothing is lost by it.
func TestIncidentSwitch(t *testing.T) {
	for name, setPaused := range map[string]func(tx *store.Tx, merchant string, at *time.Time) error{
		"everybody": func(tx *store.Tx, _ string, at *time.Time) error {
			return tx.PauseDeliveries(t.Context(), at, "incident 7")
		},
		"one merchant": func(tx *store.Tx, merchant string, at *time.Time) error {
			return tx.PauseDeliveriesOf(t.Context(), merchant, at, time.Now().UTC())
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				w := deliverytest.New(t, s)
				r := testkit.NewReceiver(t)
				m := w.Merchant()
				w.Endpoint(m, r.URL)
				sender := w.Sender()
				d := w.Publish(m, 1)[0]
				of := func(d models.Delivery) delivery.Task {
					return delivery.Task{DeliveryID: d.ID, Generation: d.Generation, EndpointID: d.EndpointID,
						MerchantID: d.MerchantID}
				}
				now := time.Now().UTC()
				w.InTx(func(tx *store.Tx) error { return setPaused(tx, m, &now) })
				paused := func() bool { // a worker learns of it within a second
					out := sender.Attempt(t.Context(), of(d))
					if out.Attempted {
						d = w.Publish(m, 1)[0]
					}
					return !out.Attempted
				}
				for deadline := time.Now().Add(10 * time.Second); !paused(); {
					if time.Now().After(deadline) {
						t.Fatal("deliveries go on")
					}
				}
				if row := w.Get(d); !row.Suspended || row.Attempts != 0 || row.State != models.DeliveryPending {
					t.Fatalf("row %+v", row)
				}
				if n, err := s.ReleaseSuspended(t.Context(), time.Now().UTC(), 10, breaker.SlowStart); err != nil || n != 0 {
					t.Fatalf("released %d while paused, %v", n, err)
				}
				w.InTx(func(tx *store.Tx) error { return setPaused(tx, m, nil) })
				if n, err := s.ReleaseSuspended(t.Context(), time.Now().UTC(), 10, breaker.SlowStart); err != nil || n != 1 {
					t.Fatalf("released %d, %v", n, err)
				}
				for deadline := time.Now().Add(10 * time.Second); !sender.Attempt(t.Context(), of(w.Get(d))).Attempted; {
					if time.Now().After(deadline) {
						t.Fatalf("nothing is sent after the pause: %+v", w.Get(d))
					}
					if w.Get(d).Suspended {
						if _, err := s.ReleaseSuspended(t.Context(), time.Now().UTC(), 10, breaker.SlowStart); err != nil {
							t.Fatal(err)
						}
					}
				}
				w.WaitState(d, models.DeliveryDelivered, 5*time.Second)
			})
		})
	}
}
