package delivery_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestBatchAtAClosedEndpoint holds that batch and members stay together while their endpoint is disabled, paused or
// deleted, and that what waits for a batch is held too.
func TestBatchAtAClosedEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		sender := w.Sender()
		batch, members := w.One(2)
		waiting := w.PublishPayments(w.Shop, 2, 0)
		states := func(want models.DeliveryState, ds ...models.Delivery) {
			t.Helper()
			for _, d := range ds {
				if got := w.Load(d.ID); got.State != want {
					t.Fatalf("%s is %s, not %s", d.ID, got.State, want)
				}
			}
		}
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Pause(t.Context(), tx, models.System, w.Shop, w.To.ID, "maintenance")
			return err
		})
		states(models.DeliveryHeld, append(append([]models.Delivery{batch}, members...), waiting...)...)
		published := w.PublishPayments(w.Shop, 1, 0)[0]
		states(models.DeliveryHeld, published)
		w.Clock.Advance(2 * time.Minute)
		w.Form(0)
		if out := sender.Attempt(t.Context(), deliverytest.Task(batch)); out.Do != delivery.Ack || out.Attempted {
			t.Fatalf("held: %+v", out)
		}

		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Resume(t.Context(), tx, models.System, w.Shop, w.To.ID)
			return err
		})
		states(models.DeliveryPending, append(append([]models.Delivery{batch, published}, members...), waiting...)...)
		due, err := s.ClaimSweep(t.Context(), w.Clock.Now(), 100, outbox.Sweep)
		if err != nil || len(due) != 1 || due[0].ID != batch.ID || due[0].Generation != 2 {
			t.Fatalf("resumed: %+v, %v", due, err)
		}
		w.Form(1)
		second := w.Offered.Take()[0]
		if ids := deliverytest.EventsOf(t, w.Load(second.ID).Body); !slices.Equal(ids,
			append(deliverytest.EventIDs(waiting), published.EventID)) {
			t.Errorf("second batch %v", ids)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(due[0])); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("resumed: %+v", out)
		}
		states(models.DeliveryDelivered, append(members, batch)...)

		// A batch that is written while its endpoint is closed takes its members along when its task comes.
		w.InTx(func(tx *store.Tx) error {
			return tx.SetWaiting(t.Context(), second.ID, second.Generation, models.DeliveryHeld, w.Clock.Now())
		})
		states(models.DeliveryHeld, append(waiting, second, published)...)
		w.InTx(func(tx *store.Tx) error {
			return w.Endpoints.Delete(t.Context(), tx, models.System, w.Shop, w.To.ID)
		})
		states(models.DeliveryCanceled, append(waiting, second, published)...)
		if out := sender.Attempt(t.Context(), deliverytest.Task(second)); out.Do != delivery.Ack || out.Attempted {
			t.Fatalf("deleted: %+v", out)
		}
	})
}

// TestBatchBehindABreaker forms batches while a breaker is open: they wait parked, and a batch is the probe, never one
// of its members.
func TestBatchBehindABreaker(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		w := deliverytest.NewBatches(t, s, r.URL, 2, time.Minute)
		first := w.PublishPayments(w.Shop, 2, 0)
		w.Form(1)
		until := w.Clock.Now().Add(30 * time.Second).UTC().Truncate(time.Microsecond)
		w.InTx(func(tx *store.Tx) error {
			e, err := tx.LockHealth(t.Context(), w.To.ID)
			if err != nil {
				return err
			}
			e.BreakerState, e.BreakerOpenUntil, e.BreakerTrips = models.BreakerOpen, &until, 1
			if err := tx.SaveHealth(t.Context(), e); err != nil {
				return err
			}
			return tx.SuspendDeliveries(t.Context(), e.ID, until)
		})
		w.Offered.Take()
		second := w.PublishPayments(w.Shop, 2, 0)
		if row := w.Get(second[0]); row.Suspended {
			t.Errorf("parked before it is gathered: %+v", row)
		}
		w.Form(1)
		if got := w.Offered.Take(); len(got) != 0 {
			t.Errorf("offered %+v", got)
		}
		for _, d := range append(first, second...) {
			if row := w.Get(d); row.Suspended || row.State != models.DeliveryPending {
				t.Errorf("member %+v", row)
			}
		}
		w.Clock.Advance(31 * time.Second)
		probe := claimProbe(t, s, w.Clock)
		if probe.EventID != "" || *probe.BatchID != *w.Get(first[0]).BatchID {
			t.Fatalf("probe %+v", probe)
		}
		if out := w.Sender().Attempt(t.Context(), deliverytest.Task(probe)); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("probe: %+v", out)
		}
		n, err := s.ReleaseSuspended(t.Context(), w.Clock.Now(), 100, func(int) time.Duration { return 0 })
		if err != nil || n != 1 {
			t.Fatalf("%d released, %v", n, err)
		}
		due, err := s.ClaimSweep(t.Context(), w.Clock.Now(), 100, outbox.Sweep)
		if err != nil || len(due) != 1 || due[0].EventType != models.BatchType {
			t.Fatalf("due %+v, %v", due, err)
		}
	})
}

// TestBatchNobodyEnqueued crashes between the commit that forms a batch and its task.
func TestBatchNobodyEnqueued(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		batch, members := w.One(3) // and nothing is done with what was offered
		w.Clock.Advance(11 * time.Second)
		due, err := s.ClaimSweep(t.Context(), w.Clock.Now(), 100, outbox.Sweep)
		if err != nil || len(due) != 1 || due[0].ID != batch.ID {
			t.Fatalf("swept: %+v, %v", due, err)
		}
		if all, err := s.WalkPending(t.Context(), models.Delivery{}, 100); err != nil || len(all) != 1 ||
			all[0].ID != batch.ID {
			t.Fatalf("after the loss of Redis: %+v, %v", all, err)
		}
		bumped, err := s.BumpGeneration(t.Context(), due, w.Clock.Now(), outbox.Sweep)
		if err != nil || len(bumped) != 1 {
			t.Fatalf("bumped: %+v, %v", bumped, err)
		}
		if out := w.Sender().Attempt(t.Context(), deliverytest.Task(bumped[0])); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("outcome %+v", out)
		}
		for _, m := range members {
			if row := w.Get(m); row.State != models.DeliveryDelivered {
				t.Errorf("member %+v", row)
			}
		}
	})
}

// TestMemberWithoutABatch sends members alone whose batch ended without them.
func TestMemberWithoutABatch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.NewBatches(t, s, "https://shop.example/", 10, time.Minute)
		batch, members := w.One(2)
		late := w.Clock.Now().Add(61 * time.Minute)
		due, err := s.ClaimSweep(t.Context(), late, 100, outbox.Sweep)
		if err != nil || len(due) != 3 {
			t.Fatalf("swept: %+v, %v", due, err)
		}
		due = slices.DeleteFunc(due, func(d models.Delivery) bool { return d.ID == batch.ID })
		if bumped, err := s.BumpGeneration(t.Context(), due, late, outbox.Sweep); err != nil || len(bumped) != 0 {
			t.Fatalf("while the carrier waits: %+v, %v", bumped, err)
		}
		done, err := s.Record(t.Context(),
			[]store.Verdict{{Attempt: models.Attempt{ID: models.NewID("att", late), DeliveryID: batch.ID,
				EventID:    *batch.BatchID,
				EndpointID: batch.EndpointID, MerchantID: batch.MerchantID, Number: 1, Generation: 1, Class: "gone",
				StatusCode: 410, StartedAt: late},
				State: models.DeliveryDead, At: late}}, outbox.Sweep)
		if err != nil || !done[0].Applied {
			t.Fatalf("%+v, %v", done, err)
		}
		if bumped, err := s.BumpGeneration(t.Context(), due, late, outbox.Sweep); err != nil ||
			!slices.Equal(deliverytest.EventIDs(bumped), deliverytest.EventIDs(members)) || bumped[0].Generation != 2 {
			t.Fatalf("without a carrier: %+v, %v", bumped, err)
		}
	})
}

// TestBatchVerifies is what the receiver of an endpoint with batches does.
func TestBatchVerifies(t *testing.T) {
	s := storetest.SQLite(t)
	r := testkit.NewReceiver(t)
	w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
	other := w.Merchant()
	// waits as long as the default
	e, secret := w.Endpoint(other, r.URL, func(set *endpoints.Settings) { set.BatchMaxEvents = new(new(2)) })
	members := w.PublishPayments(other, 2, 0)
	w.Form(1)
	w.Sender().Attempt(t.Context(), deliverytest.Task(w.Offered.Take()[0]))
	got := r.WaitCount(t, 1, time.Second)[0]
	m, err := webhook.VerifyMessage(got.Header, got.Body, []webhook.Secret{secret})
	if err != nil || !m.Batch || m.ID != got.ID() || len(m.Events) != 2 || m.Events[0].ID != members[0].EventID ||
		m.Events[1].ID != members[1].EventID {
		t.Fatalf("message %+v, %v, of endpoint %s", m, err, e.ID)
	}
}
