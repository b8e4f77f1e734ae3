package delivery_test

import (
	"bytes"
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
)

// TestBatchVerdicts has one row for every way in which a batch can be answered.
func TestBatchVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		last   bool // the last attempt of the budget
		do     delivery.Step
		state  models.DeliveryState // of the members
		reason string
		alone  bool
		batch  models.DeliveryState
	}{
		{"delivered", 200, false, delivery.Ack, models.DeliveryDelivered, "", false, models.DeliveryDelivered},
		{"too much at once", 400, false, delivery.Ack, models.DeliveryPending, "", true, models.DeliveryCanceled},
		{"no such thing", 404, true, delivery.Ack, models.DeliveryPending, "", true, models.DeliveryCanceled},
		{"too large", 413, false, delivery.Ack, models.DeliveryPending, "", true, models.DeliveryCanceled},
		{"wrong secret", 401, false, delivery.Requeue, models.DeliveryPending, "", false, models.DeliveryPending},
		{"slow sender", 408, false, delivery.Requeue, models.DeliveryPending, "", false, models.DeliveryPending},
		{"throttled", 429, false, delivery.Requeue, models.DeliveryPending, "", false, models.DeliveryPending},
		{"error", 500, false, delivery.Requeue, models.DeliveryPending, "", false, models.DeliveryPending},
		{"redirected", 302, false, delivery.Requeue, models.DeliveryPending, "", false, models.DeliveryPending},
		{"exhausted", 500, true, delivery.Archive, models.DeliveryDead, "attempts exhausted", false, models.DeliveryDead},
		{"gone", 410, false, delivery.Archive, models.DeliveryDead, "gone", false, models.DeliveryDead},
	} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				r := testkit.NewReceiver(t)
				r.Answers(testkit.Answer{Status: c.status})
				w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
				if c.last {
					w.InTx(func(tx *store.Tx) error {
						one := new(new(1))
						_, err := w.Endpoints.Update(t.Context(), tx, models.System, w.Shop, w.To.ID,
							endpoints.Settings{MaxAttempts: one})
						return err
					})
				}
				batch, members := w.One(3)
				out := w.Sender().Attempt(t.Context(), deliverytest.Task(batch))
				if out.Do != c.do || !out.Attempted {
					t.Fatalf("outcome %+v", out)
				}
				row := w.Load(batch.ID)
				if row.State != c.batch || row.Attempts != 1 {
					t.Errorf("carrier %+v", row.Delivery)
				}
				offered := w.Offered.Take()
				if c.alone {
					if !slices.Equal(deliverytest.EventIDs(offered), deliverytest.EventIDs(members)) {
						t.Errorf("offered %v", deliverytest.EventIDs(offered))
					}
				} else if len(offered) != 0 {
					t.Errorf("offered %+v", offered)
				}
				for _, m := range members {
					got := w.Get(m)
					if got.State != c.state || got.DeadReason != c.reason || got.LastStatus != c.status ||
						*got.BatchID != row.EventID {
						t.Errorf("member %+v", got)
					}
					switch {
					case c.alone:
						if got.Generation != 2 || got.Attempts != 0 || got.AttemptBase != 1 || got.NextAttemptAt.After(w.Clock.Now()) {
							t.Errorf("alone: %+v", got)
						}
					case got.Generation != 1 || got.Attempts != 1:
						t.Errorf("member %+v", got)
					case c.do == delivery.Requeue && !got.NextAttemptAt.Equal(row.NextAttemptAt):
						t.Errorf("next attempt at %v, of the batch at %v", got.NextAttemptAt, row.NextAttemptAt)
					}
					if as, err := s.Attempts(t.Context(), w.Shop, m.ID); err != nil || len(as) != 1 || as[0].EventID != row.EventID ||
						as[0].StatusCode != c.status {
						t.Errorf("attempts %+v, %v", as, err)
					}
				}
				if dead, err := s.Unarchived(t.Context(), w.Clock.Now().Add(time.Hour), 10); err != nil || len(dead) > 1 ||
					len(dead) == 1 && dead[0].ID != batch.ID {
					t.Errorf("to be archived: %+v, %v", dead, err)
				}
				list, err := s.ListDeliveries(t.Context(), w.Shop, store.DeliveryFilter{EndpointID: w.To.ID}, store.Page{Limit: 10})
				if err != nil || len(list) != len(members) {
					t.Errorf("%d listed, %v", len(list), err)
				}
				if _, err := s.Delivery(t.Context(), w.Shop, batch.ID); err == nil {
					t.Error("a merchant can see the carrier")
				}
			})
		})
	}
}

// TestBatchIsRetriedUnchanged sends the same bytes under the same id, counts on, and delivers its members at last.
func TestBatchIsRetriedUnchanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500}, testkit.Answer{Status: 503}, testkit.Answer{})
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		batch, members := w.One(4)
		sender := w.Sender()
		for range 3 {
			sender.Attempt(t.Context(), deliverytest.Task(w.Load(batch.ID).Delivery))
			w.Clock.Advance(time.Minute)
		}
		got := r.WaitCount(t, 3, time.Second)
		for i, g := range got {
			if !bytes.Equal(g.Body, got[0].Body) || g.ID() != *batch.BatchID ||
				g.Header.Get("webhook-attempt") != string(rune('1'+i)) {
				t.Errorf("request %d: id %s, attempt %s", i, g.ID(), g.Header.Get("webhook-attempt"))
			}
		}
		if !slices.Equal(deliverytest.EventsOf(t, got[0].Body), deliverytest.EventIDs(members)) {
			t.Errorf("events %v", deliverytest.EventsOf(t, got[0].Body))
		}
		for _, m := range members {
			as, err := s.Attempts(t.Context(), w.Shop, m.ID)
			if row := w.Get(m); row.State != models.DeliveryDelivered || row.Attempts != 3 || row.DeliveredAt == nil ||
				err != nil || len(as) != 3 {
				t.Errorf("member %+v, attempts %d, %v", row, len(as), err)
			}
		}
	})
}

// TestSplitMembersGoOn sends the members of a refused batch alone, counting on, and lets a late success of the batch
// count.
func TestSplitMembersGoOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		r.Script(func(got testkit.Received) testkit.Answer {
			if got.Type() == "batch" {
				return testkit.Answer{Status: 400}
			}
			return testkit.Answer{}
		})
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		batch, members := w.One(3)
		sender := w.Sender()
		before := w.Load(batch.ID)
		sender.Attempt(t.Context(), deliverytest.Task(batch))
		first := w.Offered.Take()[0]
		if out := sender.Attempt(t.Context(), deliverytest.Task(first)); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("alone: %+v", out)
		}
		got := r.WaitCount(t, 2, time.Second)[1]
		if got.ID() != members[0].EventID || got.Header.Get("webhook-attempt") != "2" {
			t.Errorf("alone: id %s, attempt %s", got.ID(), got.Header.Get("webhook-attempt"))
		}
		if as, err := s.Attempts(t.Context(), w.Shop, first.ID); err != nil || len(as) != 2 || as[0].Number != 1 ||
			as[1].Number != 2 {
			t.Errorf("attempts %+v, %v", as, err)
		}

		// A POST of the batch that was still under way answers 2xx.
		now := w.Clock.Now().UTC().Truncate(time.Microsecond)
		late := store.Verdict{Attempt: models.Attempt{ID: models.NewID("att", now), DeliveryID: batch.ID,
			EventID: before.EventID, EndpointID: batch.EndpointID,
			MerchantID: batch.MerchantID, Number: 1, Generation: 1, Class: "delivered", StatusCode: 200, StartedAt: now},
			Before: before.Attempts,
			State:  models.DeliveryDelivered, At: now}
		w.InTx(func(tx *store.Tx) error {
			done, err := tx.Record(t.Context(), []store.Verdict{late}, outbox.Sweep)
			if err != nil || !done[0].Applied {
				t.Fatalf("late success %+v, %v", done, err)
			}
			return tx.UpdateBatchMembers(t.Context(), batch.ID, before.EventID, late, outbox.Sweep)
		})
		for _, m := range members {
			if row := w.Get(m); row.State != models.DeliveryDelivered {
				t.Errorf("member %+v", row)
			}
		}

		// A replay counts on over both rows of attempts.
		var again models.Delivery
		w.InTx(func(tx *store.Tx) (err error) {
			again, err = w.Redelivery.Redeliver(t.Context(), tx, models.System, w.Shop, members[0].ID)
			return err
		})
		if again.BatchID != nil || again.AttemptBase != 2 || *again.ReplayOf != members[0].ID {
			t.Errorf("replay %+v", again)
		}
	})
}

// TestDeadBatchIsRun presses Run on the task of a dead batch.
func TestDeadBatchIsRun(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500})
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Update(t.Context(), tx, models.System, w.Shop, w.To.ID,
				endpoints.Settings{MaxAttempts: new(new(1))})
			return err
		})
		batch, members := w.One(3)
		sender := w.Sender()
		if out := sender.Attempt(t.Context(), deliverytest.Task(batch)); out.Do != delivery.Archive {
			t.Fatalf("outcome %+v", out)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(batch)); out.Do != delivery.Archive || out.Attempted {
			t.Fatalf("just dead: %+v", out)
		}
		w.Clock.Advance(time.Hour)
		for range 2 { // however often the task comes
			if out := sender.Attempt(t.Context(), deliverytest.Task(batch)); out.Do != delivery.Ack || out.Attempted {
				t.Fatalf("run: %+v", out)
			}
		}
		got := w.Offered.Take()
		if !slices.Equal(deliverytest.EventIDs(got), deliverytest.EventIDs(members)) {
			t.Fatalf("offered %+v", got)
		}
		for i, d := range got {
			if *d.ReplayOf != members[i].ID || d.BatchID != nil || d.AttemptBase != 1 {
				t.Errorf("replay %+v", d)
			}
		}
	})
}

// TestRedeliverBatched makes due what waits with a batch or for one, and sends what is done once more.
func TestRedeliverBatched(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500}, testkit.Answer{})
		w := deliverytest.NewBatches(t, s, r.URL, 10, time.Minute)
		again := func(d models.Delivery) models.Delivery {
			t.Helper()
			w.InTx(func(tx *store.Tx) (err error) {
				d, err = w.Redelivery.Redeliver(t.Context(), tx, models.System, w.Shop, d.ID)
				return err
			})
			return d
		}
		waiting := w.PublishPayments(w.Shop, 1, 0)[0]
		again(waiting)
		if got := w.Offered.Take(); len(got) != 1 || got[0].ID != waiting.ID || got[0].Generation != 2 ||
			w.Get(waiting).BatchID != nil {
			t.Fatalf("offered %+v", got)
		}
		batch, members := w.One(2)
		sender := w.Sender(func(o *delivery.SenderOptions) { o.Schedule.Base = time.Hour; o.Schedule.Max = time.Hour })
		sender.Attempt(t.Context(), deliverytest.Task(batch))
		if same := again(members[1]); same.ID != members[1].ID {
			t.Errorf("another row: %+v", same)
		}
		got := w.Offered.Take()
		if len(got) != 1 || got[0].ID != batch.ID || got[0].NextAttemptAt.After(w.Clock.Now()) {
			t.Fatalf("offered %+v", got)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(got[0])); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("outcome %+v", out)
		}
		fresh := again(members[1])
		if got := w.Offered.Take(); len(got) != 1 || got[0].ID != fresh.ID || *fresh.ReplayOf != members[1].ID ||
			fresh.BatchID != nil || fresh.AttemptBase != 2 {
			t.Errorf("replay %+v", fresh)
		}
		w.InTx(func(tx *store.Tx) error {
			if _, err := w.Redelivery.Redeliver(t.Context(), tx, models.System, w.Shop, batch.ID); err == nil {
				t.Error("a carrier was redelivered")
			}
			return nil
		})
	})
}
