package maintenance_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

const day = 24 * time.Hour

// rows looks at what retention leaves.
type rows struct {
	*deliverytest.OneAttempt
	t *testing.T
}

func newRows(t *testing.T, s *store.Store) *rows { return &rows{deliverytest.NewOneAttempt(t, s), t} }

func (w *rows) retention(deliveries, events time.Duration) *maintenance.Retention {
	w.t.Helper()
	r, err := maintenance.NewRetention(maintenance.RetentionOptions{Store: w.Store, Deliveries: deliveries, Events: events,
		Logger: slog.New(slog.DiscardHandler), Now: w.Clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// left tells whether a delivery, its attempts and its event are there.
func (w *rows) left(d models.Delivery) (row, attempts, event bool) {
	w.t.Helper()
	_, err := w.Store.Delivery(w.t.Context(), w.Shop, d.ID)
	if row = err == nil; !row && !errors.Is(err, models.ErrNotFound) {
		w.t.Fatal(err)
	}
	made, err := w.Store.Attempts(w.t.Context(), w.Shop, d.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.Store.EventByID(w.t.Context(), d.EventID)
	if event = err == nil; !event && !errors.Is(err, models.ErrNotFound) {
		w.t.Fatal(err)
	}
	return row, len(made) > 0, event
}

// TestRetention deletes what is over and old, and nothing that waits: neither its row nor its event.
func TestRetention(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newRows(t, s)
		over, dead, waiting := w.Publish(w.Shop, 1201), w.Publish(w.Shop, 1)[0], w.Publish(w.Shop, 1)[0]
		w.Send(http.StatusNoContent, over[:3]...)
		w.Send(http.StatusInternalServerError, dead)
		w.InTx(func(tx *store.Tx) error { // the rest of them was delivered too, more than two batches
			for _, d := range over[3:] {
				if err := tx.SetWaiting(t.Context(), d.ID, d.Generation, models.DeliveryCanceled, w.Clock.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		keep := func(name string, d models.Delivery, row, attempts, event bool) {
			t.Helper()
			if r, a, e := w.left(d); r != row || a != attempts || e != event {
				t.Errorf("%s: row %v, attempts %v, event %v", name, r, a, e)
			}
		}
		pass := func() {
			t.Helper()
			if err := w.retention(30*day, 90*day).Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.Clock.Advance(30*day - time.Minute)
		pass()
		keep("a minute too young", over[0], true, true, true)

		// One of them is redelivered on the last day: its own row goes, the event stays for the new one.
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Redelivery.Redeliver(t.Context(), tx, models.System, w.Shop, over[1].ID)
			return err
		})
		w.Clock.Advance(2 * time.Minute)
		pass()
		keep("delivered", over[0], false, false, true)
		keep("the last of three batches", over[1200], false, false, true)
		keep("dead", dead, false, false, true)
		keep("waiting", waiting, true, false, true)

		w.Clock.Advance(60 * day)
		pass()
		keep("delivered", over[0], false, false, false)
		keep("waiting", waiting, true, false, true)
		keep("redelivered", over[1], false, false, true)
		if again, err := s.ListDeliveries(t.Context(), w.Shop, store.DeliveryFilter{}, store.Page{Limit: 10}); err != nil ||
			len(again) != 2 {
			t.Errorf("%d deliveries are left, %v", len(again), err)
		}

		// What is held for as long is canceled, and is over then; 0 keeps for good.
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Pause(t.Context(), tx, models.System, w.Shop, w.To.ID, "gone")
			return err
		})
		if err := w.retention(0, 0).Pass(t.Context()); err != nil || w.Get(waiting).State != models.DeliveryHeld {
			t.Errorf("kept for good: %s, %v", w.Get(waiting).State, err)
		}
		pass()
		if got := w.Get(waiting).State; got != models.DeliveryCanceled {
			t.Errorf("held for 90 days: %s", got)
		}
		w.Clock.Advance(30*day + time.Minute)
		pass()
		keep("canceled", waiting, false, false, false)
		if _, err := s.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRetentionRuns holds that Run passes by itself.
func TestRetentionRuns(t *testing.T) {
	w := newRows(t, storetest.SQLite(t))
	d := w.Publish(w.Shop, 1)[0]
	w.Send(http.StatusNoContent, d)
	w.Clock.Advance(31 * day)
	deliverytest.Run(t, w.retention(30*day, 90*day).Run)
	testkit.Eventually(t, 10*time.Second, "the delivery is dropped", func() bool {
		row, _, _ := w.left(d)
		return !row
	})
}
