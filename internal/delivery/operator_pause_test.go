package delivery_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestWhatAnOperatorPausedStaysPaused: nothing leaves for an endpoint that an operator paused, by whatever way a
// merchant asks for it, until it is resumed; then everything does.
func TestWhatAnOperatorPausedStaysPaused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		e, _ := w.Endpoint(m, r.URL)
		sender := w.Sender()
		attempt := func(d models.Delivery) delivery.Outcome { return sender.Attempt(t.Context(), deliverytest.Task(d)) }
		test := func(set endpoints.Test) (d models.Delivery) {
			w.InTx(func(tx *store.Tx) (err error) {
				d, err = w.Endpoints.SendTest(t.Context(), tx, models.System, m, e.ID, set)
				return err
			})
			return d
		}
		sent, sentTest := w.Publish(m, 1)[0], test(endpoints.Test{})
		for _, d := range []models.Delivery{sent, sentTest} {
			if out := attempt(d); !out.Attempted {
				t.Fatalf("before the pause: %+v", out)
			}
		}
		waiting, waitingTest := w.Publish(m, 1)[0], test(endpoints.Test{SignWith: endpoints.SignWithCurrent})
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Pause(t.Context(), tx, models.System, m, e.ID, "incident")
			return err
		})
		before := len(r.All())

		held := []models.Delivery{waiting, waitingTest, w.Publish(m, 1)[0], test(endpoints.Test{}),
			test(endpoints.Test{EventType: "payment.confirmed", SignWith: endpoints.SignWithCurrent})}
		for _, d := range []models.Delivery{sent, sentTest, waiting, waitingTest} {
			w.InTx(func(tx *store.Tx) error {
				again, err := w.Redelivery.Redeliver(t.Context(), tx, models.System, m, d.ID)
				held = append(held, again)
				return err
			})
		}
		replayAll(t, w, m, e.ID)
		all, err := s.ListDeliveries(t.Context(), m, store.DeliveryFilter{}, store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) < 9 {
			t.Errorf("%d deliveries", len(all))
		}
		for _, d := range append(all, held...) {
			if got := w.Get(d); got.State != models.DeliveryHeld && d.ID != sent.ID && d.ID != sentTest.ID {
				t.Errorf("%s, %s (test: %v), is %s and not held", d.ID, d.EventType, d.IsTest(), got.State)
			}
			if out := attempt(w.Get(d)); out.Attempted {
				t.Errorf("a request left for a paused endpoint: %+v", d)
			}
		}
		if n := len(r.All()); n != before {
			t.Errorf("%d requests reached the paused endpoint", n-before)
		}
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Resume(t.Context(), tx, models.System, m, e.ID)
			return err
		})
		for _, d := range held {
			if out := attempt(w.Get(d)); !out.Attempted && w.Get(d).State != models.DeliveryDelivered {
				t.Errorf("%s does not leave after the pause: %+v", d.ID, out)
			}
		}
	})
}

// replayAll replays everything that an endpoint was sent.
func replayAll(t *testing.T, w *deliverytest.Fixture, merchantID, endpointID string) {
	t.Helper()
	w.InTx(func(tx *store.Tx) error {
		_, err := w.Redelivery.StartReplay(t.Context(), tx, models.System, merchantID, endpointID,
			redelivery.ReplayRequest{Rate: redelivery.MaxReplayRate})
		return err
	})
	replayer, err := redelivery.NewReplayer(redelivery.ReplayerOptions{Service: w.Redelivery, Logger: w.Logger})
	if err != nil {
		t.Fatal(err)
	}
	for worked := true; worked; {
		if worked, err = replayer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoWayAroundAPause: while an operator's pause lasts, the endpoint can neither go nor move, and nothing else of the
// merchant's comes to its host.
func TestNoWayAroundAPause(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m, neighbour := w.Merchant(), w.Merchant()
		e, _ := w.Endpoint(m, r.URL+"/hooks")
		elsewhere := "http://127.0.0.9:1/hooks"
		free, _ := w.Endpoint(m, elsewhere)
		do := func(f func(tx *store.Tx) error) error { return s.InTx(t.Context(), f) }
		create := func(merchant, url string) error {
			return do(func(tx *store.Tx) error {
				_, _, err := w.Endpoints.Create(t.Context(), tx, models.System, merchant, endpoints.Settings{URL: &url}, nil)
				return err
			})
		}
		move := func(id, url string) error {
			return do(func(tx *store.Tx) error {
				_, err := w.Endpoints.Update(t.Context(), tx, models.System, m, id, endpoints.Settings{URL: &url})
				return err
			})
		}
		remove := func() error {
			return do(func(tx *store.Tx) error { return w.Endpoints.Delete(t.Context(), tx, models.System, m, e.ID) })
		}
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Pause(t.Context(), tx, models.System, m, e.ID, "incident")
			return err
		})
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		var around *endpoints.PausedHostError
		for what, err := range map[string]error{
			"another at the same host":            create(m, r.URL+"/other"),
			"another at the host's other port":    create(m, "http://"+u.Hostname()+":1/"),
			"another endpoint moves to the host":  move(free.ID, r.URL+"/hooks"),
			"the paused one moves to another":     move(e.ID, "http://127.0.0.8:1/hooks"),
			"the paused one moves to a free host": move(e.ID, elsewhere),
		} {
			if !errors.As(err, &around) || around.EndpointID != e.ID || !errors.Is(err, endpoints.ErrPaused) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := remove(); !errors.Is(err, endpoints.ErrPaused) {
			t.Errorf("deleted: %v", err)
		}
		for what, err := range map[string]error{
			"the paused one has another path": move(e.ID, r.URL+"/new"), "another host": create(m, "http://127.0.0.7:1/"),
			"a neighbour's": create(neighbour, r.URL+"/hooks"), "another endpoint moves elsewhere": move(free.ID, elsewhere+"/x"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got, err := s.Endpoint(t.Context(), m, e.ID); err != nil || got.Status != models.EndpointPaused {
			t.Errorf("the endpoint is %s, %v", got.Status, err)
		}
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Resume(t.Context(), tx, models.System, m, e.ID)
			return err
		})
		if err := errors.Join(create(m, r.URL+"/other"), remove()); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

// TestAttemptsUnderWayDoNotEndAPause: what a paused endpoint still answers, or has failed before, neither disables nor
// enables it, for then its merchant could enable it.
func TestAttemptsUnderWayDoNotEndAPause(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		m := w.Merchant()
		e, _ := w.Endpoint(m, "http://127.0.0.9:1/")
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Pause(t.Context(), tx, models.System, m, e.ID, "incident")
			return err
		})
		w.InTx(func(tx *store.Tx) error { return w.Endpoints.DisableGone(t.Context(), tx, models.System, m, e.ID) })
		for name, change := range map[string]func(tx *store.Tx) (models.Endpoint, error){
			"enable": func(tx *store.Tx) (models.Endpoint, error) {
				return w.Endpoints.Enable(t.Context(), tx, models.System, m, e.ID)
			},
			"disable": func(tx *store.Tx) (models.Endpoint, error) {
				return w.Endpoints.Disable(t.Context(), tx, models.System, m, e.ID, "mine")
			},
		} {
			err := s.InTx(t.Context(), func(tx *store.Tx) error { _, err := change(tx); return err })
			if !errors.Is(err, endpoints.ErrPaused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		testkit.Eventually(t, 30*time.Second, "it stays paused", func() bool {
			got, err := s.Endpoint(t.Context(), m, e.ID)
			return err == nil && got.Status == models.EndpointPaused
		})
	})
}
