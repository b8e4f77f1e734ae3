package delivery_test

import (
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// endpointNow reads an endpoint until it is as wanted: the health of endpoints lags by up to a second.
func endpointNow(t *testing.T, s *store.Store, id string, want func(models.Endpoint) bool) models.Endpoint {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		e, err := s.EndpointByID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want(e) {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("endpoint %+v", e)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestBreaker goes once round: it opens, what waits is kept without a task and without an attempt spent, one probe
// after the other goes through, and when one succeeds all others follow.
func TestBreaker(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		clock := &deliverytest.Clock{}
		w.Now = clock.Now
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500})
		m := w.Merchant()
		e, _ := w.Endpoint(m, r.URL)
		ds := w.Publish(m, 14)
		sender := w.Sender(func(o *delivery.SenderOptions) {
			o.Schedule = delivery.Schedule{Base: time.Hour, Factor: 1, Max: time.Hour}
		})
		for _, d := range ds[:10] {
			if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Requeue {
				t.Fatalf("failing: %+v", out)
			}
		}
		opened := endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerState == models.BreakerOpen })
		if wait := opened.BreakerOpenUntil.Sub(clock.Now()); opened.BreakerTrips != 1 || wait < 25*time.Second ||
			wait > 31*time.Second || opened.Failures != 10 {
			t.Fatalf("opened %+v", opened)
		}
		if n, err := s.OpenBreakers(t.Context()); err != nil || n != 1 {
			t.Errorf("%d breakers are open, %v", n, err)
		}

		// Nothing goes through; nothing is spent; a task that is still around is done with.
		for _, d := range ds[10:] {
			if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack || out.Attempted {
				t.Fatalf("while open: %+v", out)
			}
			if row := w.Get(d); !row.Suspended || row.Attempts != 0 || row.State != models.DeliveryPending ||
				row.NextAttemptAt.Before(*opened.BreakerOpenUntil) {
				t.Fatalf("parked row %+v", row)
			}
		}
		late := w.Publish(m, 1)[0]
		if row := w.Get(late); !row.Suspended || row.NextAttemptAt.Before(*opened.BreakerOpenUntil) {
			t.Fatalf("published while open: %+v", row)
		}
		if due, err := s.ClaimSweep(t.Context(), clock.Now().Add(20*time.Second), 100, outbox.Sweep); err != nil ||
			len(due) != 0 {
			t.Fatalf("swept while open: %d, %v", len(due), err)
		}
		if probes, err := s.ClaimProbes(t.Context(), clock.Now(), time.Minute, outbox.Sweep); err != nil || len(probes) != 0 {
			t.Fatalf("probes while open: %d, %v", len(probes), err)
		}

		// The oldest is the probe. It fails, spends an attempt, and the next wait is twice as long.
		clock.Advance(31 * time.Second)
		probe := claimProbe(t, s, clock)
		if probe.ID != ds[0].ID {
			t.Fatalf("the probe is %s, the oldest %s", probe.ID, ds[0].ID)
		}
		if again, err := s.ClaimProbes(t.Context(), clock.Now(), time.Minute, outbox.Sweep); err != nil || len(again) != 0 {
			t.Fatalf("a second probe: %v, %v", again, err)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(w.Get(ds[1]))); out.Do != delivery.Ack || out.Attempted {
			t.Fatalf("not the probe: %+v", out)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(probe)); !out.Attempted {
			t.Fatalf("the probe: %+v", out)
		}
		opened = endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerTrips == 2 })
		if wait := opened.BreakerOpenUntil.Sub(clock.Now()); opened.BreakerState != models.BreakerOpen ||
			wait < 55*time.Second || wait > 61*time.Second {
			t.Fatalf("opened again %+v", opened)
		}
		if row := w.Get(ds[0]); row.Attempts != 2 || !row.Suspended {
			t.Fatalf("the probe is now %+v", row)
		}

		// The next succeeds, and the others leave oldest first.
		clock.Advance(61 * time.Second)
		r.Answers(testkit.Answer{})
		if out := sender.Attempt(t.Context(), deliverytest.Task(claimProbe(t, s, clock))); out.Do != delivery.Ack ||
			!out.Attempted {
			t.Fatalf("the second probe: %+v", out)
		}
		closed := endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerState == models.BreakerClosed })
		if closed.BreakerTrips != 0 || closed.BreakerOpenUntil != nil || closed.BreakerProbe != "" {
			t.Fatalf("closed %+v", closed)
		}
		n, err := s.ReleaseSuspended(t.Context(), clock.Now(), 100, breaker.SlowStart)
		if err != nil || n != 14 {
			t.Fatalf("released %d, %v", n, err)
		}
		var last time.Time
		for _, d := range append(ds[10:], late) {
			row := w.Get(d)
			if row.Suspended || row.NextAttemptAt.Before(last) || !row.SweepAfter.Equal(row.NextAttemptAt) {
				t.Fatalf("released %+v", row)
			}
			last = row.NextAttemptAt
		}
		clock.Advance(2 * time.Hour)
		due, err := s.ClaimSweep(t.Context(), clock.Now(), 100, outbox.Sweep)
		if err != nil || len(due) != 14 {
			t.Fatalf("due %d, %v", len(due), err)
		}
		for _, d := range due {
			if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack || !out.Attempted {
				t.Fatalf("after closing: %+v", out)
			}
		}
	})
}

func claimProbe(t *testing.T, s *store.Store, clock *deliverytest.Clock) models.Delivery {
	t.Helper()
	probes, err := s.ClaimProbes(t.Context(), clock.Now().UTC(), time.Minute, outbox.Sweep)
	if err != nil || len(probes) != 1 {
		t.Fatalf("%d probes, %v", len(probes), err)
	}
	return probes[0]
}

// TestBreakerNeedsNoProbeToReturn loses a probe: when its lease is over another is let through.
func TestLostProbe(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		clock := &deliverytest.Clock{}
		w.Now = clock.Now
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500})
		m := w.Merchant()
		e, _ := w.Endpoint(m, r.URL)
		ds := w.Publish(m, 10)
		sender := w.Sender()
		for _, d := range ds {
			sender.Attempt(t.Context(), deliverytest.Task(d))
		}
		endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerState == models.BreakerOpen })
		clock.Advance(31 * time.Second)
		first := claimProbe(t, s, clock)
		clock.Advance(61 * time.Second)
		r.Answers(testkit.Answer{})
		second := claimProbe(t, s, clock)
		if second.ID != first.ID || second.Generation != first.Generation+1 {
			t.Fatalf("probes %+v, then %+v", first, second)
		}
		sender.Attempt(t.Context(), deliverytest.Task(second))
		endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerState == models.BreakerClosed })
	})
}

func TestTimeoutsOpenTheBreakerAndMakeSlow(t *testing.T) {
	s := storetest.Postgres(t)
	w := deliverytest.New(t, s)
	r := testkit.NewReceiver(t)
	r.Answers(testkit.Answer{Hang: true})
	m := w.Merchant()
	e, _ := w.Endpoint(m, r.URL)
	ds := w.Publish(m, 5)
	sender := w.Sender(func(o *delivery.SenderOptions) {
		o.Timeout, o.Breaker.SlowAbove = 200*time.Millisecond, 20*time.Millisecond
	})
	var all sync.WaitGroup
	for _, d := range ds {
		all.Go(func() { sender.Attempt(t.Context(), deliverytest.Task(d)) })
	}
	all.Wait()
	got := endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.BreakerState == models.BreakerOpen })
	if got.Timeouts != 5 || !got.Slow || got.FailingSince == nil {
		t.Errorf("endpoint %+v", got)
	}
	w.InTx(func(tx *store.Tx) error {
		_, err := w.Endpoints.Disable(t.Context(), tx, models.System, m, e.ID, "test")
		if err == nil {
			got, err = w.Endpoints.Enable(t.Context(), tx, models.System, m, e.ID)
		}
		return err
	})
	if got.BreakerState != models.BreakerClosed || got.Failures != 0 {
		t.Errorf("enabled again %+v", got)
	}
	if late := w.Publish(m, 1)[0]; !late.Slow {
		t.Error("a new delivery is not in the slow lane")
	}
}

// TestThrottlingNeverOpensTheBreaker answers 429 for ever.
func TestThrottlingNeverOpensTheBreaker(t *testing.T) {
	s := storetest.Postgres(t)
	w := deliverytest.New(t, s)
	r := testkit.NewReceiver(t)
	r.Answers(testkit.Answer{Status: 429})
	m := w.Merchant()
	e, _ := w.Endpoint(m, r.URL)
	sender := w.Sender()
	for _, d := range w.Publish(m, 20) {
		sender.Attempt(t.Context(), deliverytest.Task(d))
	}
	r.Answers(testkit.Answer{Status: 500}) // which is written down, and so shows that what was before it is
	sender.Attempt(t.Context(), deliverytest.Task(w.Publish(m, 1)[0]))
	if got := endpointNow(t, s, e.ID, func(e models.Endpoint) bool {
		return e.Failures > 0
	}); got.BreakerState != models.BreakerClosed || got.Failures != 1 {
		t.Errorf("endpoint %+v", got)
	}
}

// TestFailingEndpointIsDisabled lets an endpoint fail for five days.
func TestFailingEndpointIsDisabled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		clock := &deliverytest.Clock{}
		w.Now = clock.Now
		bad, good := testkit.NewReceiver(t), testkit.NewReceiver(t)
		bad.Answers(testkit.Answer{Status: 500})
		m := w.Merchant()
		e, _ := w.Endpoint(m, bad.URL)
		other, _ := w.Endpoint(m, good.URL)
		sender := w.Sender(func(o *delivery.SenderOptions) { o.Breaker.MinAttempts = 1000 })
		fail := func(n int) {
			for _, d := range w.Publish(m, n) {
				if d.EndpointID == e.ID {
					sender.Attempt(t.Context(), deliverytest.Task(d))
				}
			}
		}
		fail(19)
		endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.Failures == 19 })
		clock.Advance(121 * time.Hour)
		waiting := w.Publish(m, 1)
		fail(1)
		got := endpointNow(t, s, e.ID, func(e models.Endpoint) bool { return e.Status == models.EndpointDisabled })
		if got.DisabledReason == "" {
			t.Error("no reason is given")
		}
		for _, d := range waiting {
			if row := w.Get(d); d.EndpointID == e.ID && row.State != models.DeliveryHeld {
				t.Errorf("what waited is %s", row.State)
			}
		}
		ds, err := s.ListDeliveries(t.Context(), m, store.DeliveryFilter{EventType: "endpoint.disabled"},
			store.Page{Limit: 10})
		if err != nil || len(ds) != 1 || ds[0].EndpointID != other.ID {
			t.Errorf("endpoint.disabled goes to %+v, %v", ds, err)
		}
		lines, err := s.AuditLog(t.Context(), 0, 100)
		if err != nil || lines[len(lines)-1].Action != "endpoint.disabled" {
			t.Errorf("audit: %v", err)
		}
	})
}
