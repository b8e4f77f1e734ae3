package jobs_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestSlowEndpointGetsALaneOfItsOwn lets an endpoint become slow: what comes then goes through wh:slow, and all of it
// arrives once.
func TestSlowEndpointGetsALaneOfItsOwn(t *testing.T) {
	h := newHarness(t, func(o *delivery.SenderOptions) { o.Breaker.SlowAbove = 20 * time.Millisecond })
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Delay: 60 * time.Millisecond} })
	h.produce()
	h.work()
	ds := h.Publish(h.merchant, 20)
	h.receiver.WaitCount(t, len(ds), 20*time.Second)
	slow := func() bool {
		got, err := h.Store.EndpointByID(t.Context(), e.ID)
		check(t, err)
		return got.Slow
	}
	testkit.Eventually(t, time.Minute, "the endpoint is called slow", slow)
	later := h.Publish(h.merchant, 20)
	for _, d := range later {
		if !d.Slow || h.client.Queue(d) != "wh:slow" {
			t.Fatalf("row %+v", d)
		}
	}
	ds = append(ds, later...)
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
}

// TestPausedDeliveriesLeaveRedis turns the incident switch while tasks wait in Redis: they are taken out of it, and go
// on when it is turned back.
func TestPausedDeliveriesLeaveRedis(t *testing.T) {
	s, server, now := storetest.Postgres(t), testkit.Redis(t), time.Now().UTC()
	err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.PauseDeliveries(t.Context(), &now, "test") })
	check(t, err)
	h := build(t, s, server.Addr, server) // its worker reads the switch when it begins
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.work()
	ds := h.Publish(h.merchant, 50)
	suspended := func() (n int) {
		for _, d := range ds {
			if h.Get(d).Suspended {
				n++
			}
		}
		return n
	}
	testkit.Eventually(t, time.Minute, "all are suspended", func() bool { return suspended() == len(ds) })
	h.sweep()
	if n := len(h.receiver.All()); n != 0 {
		t.Fatalf("%d requests while paused", n)
	}
	h.InTx(func(tx *store.Tx) error { return tx.PauseDeliveries(t.Context(), nil, "") })
	var swept atomic.Int64
	testkit.Eventually(t, time.Minute, "all arrive", func() bool {
		swept.Add(int64(h.sweep()))
		return len(h.receiver.All()) >= len(ds)
	})
	h.wantEachOnce(ds)
	for _, d := range ds {
		if row := h.Get(d); row.Attempts != 1 || row.State != models.DeliveryDelivered {
			t.Errorf("row %+v", row)
		}
	}
}

// TestFloodStaysOutOfTheLane queues a thousand deliveries for one endpoint: all but its share of the lane wait in
// wh:slow, where the sweeper finds them alive, and all of them arrive once.
func TestFloodStaysOutOfTheLane(t *testing.T) {
	h := newHarness(t)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	h.sweep()
	stop := h.produce()
	ds := h.Publish(h.merchant, 1000)
	stop()
	length := func(queue string) int64 {
		n, ok := h.server.Do(t, "LLEN", "asynq:{"+queue+"}:pending").(int64)
		if !ok {
			t.Fatalf("length of %s", queue)
		}
		return n
	}
	if lane, slow := length(h.queueOf(e.ID)), length("wh:slow"); lane > 300 || lane < 64 || lane+slow != 1000 {
		t.Errorf("%d wait in the lane, %d in wh:slow", lane, slow)
	}
	h.ahead = 11 * time.Second
	if n := h.sweep(); n != 0 {
		t.Errorf("%d live tasks were enqueued again", n)
	}
	h.work()
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
}
