package redelivery_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestRedeliver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		w.Endpoint(m, r.URL)
		sender := w.Sender()
		d := w.Publish(m, 1)[0]
		again := func() (next models.Delivery) {
			t.Helper()
			w.InTx(func(tx *store.Tx) (err error) {
				next, err = w.Redelivery.Redeliver(t.Context(), tx, models.Actor{Name: "key:1"}, m, d.ID)
				return err
			})
			return next
		}
		if next := again(); next.ID != d.ID || next.Generation != 2 {
			t.Fatalf("a pending one: %+v", next)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Requeue || out.Attempted {
			t.Fatalf("the older task: %+v", out)
		}
		sender.Attempt(t.Context(), deliverytest.Task(w.Get(d)))
		for i := range 2 {
			next := again()
			if next.ID == d.ID || *next.ReplayOf != d.ID || next.AttemptBase != 1+i || next.EventID != d.EventID ||
				next.Attempts != 0 {
				t.Fatalf("a delivered one: %+v", next)
			}
			if out := sender.Attempt(t.Context(), deliverytest.Task(next)); out.Do != delivery.Ack {
				t.Fatalf("outcome %+v", out)
			}
		}
		all := r.WaitCount(t, 3, time.Second)
		for i, got := range all {
			if !bytes.Equal(got.Body, all[0].Body) || got.ID() != d.EventID ||
				got.Header.Get("Webhook-Attempt") != string(rune('1'+i)) || got.Header.Get("Ctrip-Event-Position") != "1" {
				t.Errorf("request %d: id %s, attempt %s, position %q", i, got.ID(), got.Header.Get("Webhook-Attempt"),
					got.Header.Get("Ctrip-Event-Position"))
			}
		}
	})
}
