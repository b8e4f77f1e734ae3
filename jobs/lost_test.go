package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestFlushedRedisLosesNothing(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	stopProducer := h.produce()
	h.sweep() // learns the incarnation
	ds := h.Publish(h.merchant, 1000)
	stopProducer()
	h.server.Flush(t)
	start := time.Now()
	if n := h.sweep(); n != len(ds) {
		t.Fatalf("%d of %d requeued after FLUSHALL", n, len(ds))
	}
	t.Logf("requeued in %v", time.Since(start))
	if n := h.sweep(); n != 0 {
		t.Fatalf("a second pass requeued %d", n)
	}
	h.work()
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
}

func TestNeverEnqueuedIsSwept(t *testing.T) {
	h := newHarness(t) // and no producer
	h.Endpoint(h.merchant, h.receiver.URL)
	h.sweep()
	ds := h.Publish(h.merchant, 3)
	if n := h.sweep(); n != 0 {
		t.Fatalf("%d taken from the producer before its time", n)
	}
	h.ahead = 11 * time.Second
	if n := h.sweep(); n != 3 {
		t.Fatalf("%d requeued", n)
	}
	h.work()
	h.receiver.WaitCount(t, len(ds), 20*time.Second)
	h.wantEachOnce(ds)
}

// TestLostTasks damages tasks in every way that Asynq does not recover from.
func TestLostTasks(t *testing.T) {
	for name, damage := range map[string]func(h *harness, queue, id string){
		"hash deleted":     func(h *harness, queue, id string) { h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:t:"+id) },
		"archived by hand": func(h *harness, queue, id string) { check(h.t, h.inspector().ArchiveTask(queue, id)) },
		"deleted by hand":  func(h *harness, queue, id string) { check(h.t, h.inspector().DeleteTask(queue, id)) },
		"list evicted":     func(h *harness, queue, id string) { h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:pending") },
		"active without lease": func(h *harness, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
		},
		"active at a dead worker": func(h *harness, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
			h.server.Do(h.t, "ZADD", "asynq:{"+queue+"}:lease", fmt.Sprint(time.Now().Add(-11*time.Second).Unix()), id)
		},
		"stranded without a task": func(h *harness, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:t:"+id)
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
			h.server.Do(h.t, "ZADD", "asynq:{"+queue+"}:lease", fmt.Sprint(time.Now().Add(-11*time.Second).Unix()), id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			e, _ := h.Endpoint(h.merchant, h.receiver.URL)
			h.sweep()
			stop := h.produce()
			ds := h.Publish(h.merchant, 1)
			queue, id := h.queueOf(e.ID), ds[0].ID+":1"
			h.waitTask(queue, id, asynq.TaskStatePending)
			stop()
			if n := h.sweep(); n != 0 {
				t.Fatalf("%d requeued before the damage", n)
			}
			damage(h, queue, id)
			if strings.HasPrefix(name, "active at") || strings.HasPrefix(name, "stranded") {
				if n := h.sweep(); n != 1 { // known at once by the lease
					t.Fatalf("%d rescued", n)
				}
			} else {
				h.ahead = 11 * time.Second
				if n := h.sweep(); n != 1 {
					t.Fatalf("%d requeued", n)
				}
			}
			h.work()
			h.receiver.WaitCount(t, 1, 20*time.Second)
			h.wantEachOnce(ds)
			if row := h.Get(ds[0]); row.Generation != 2 {
				t.Errorf("delivered under generation %d", row.Generation)
			}
			if name == "stranded without a task" && fmt.Sprint(h.server.Do(t, "LLEN", "asynq:{"+queue+"}:active")) != "0" {
				t.Error("the id is still in the list of active tasks")
			}
		})
	}
}

func TestLiveTaskOnlyPushesTheSweeperOn(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	stop := h.produce()
	h.sweep()
	ds := h.Publish(h.merchant, 50) // and no worker: a backlog
	stop()
	for range 3 {
		h.ahead += 5 * time.Minute
		if n := h.sweep(); n != 0 {
			t.Fatalf("%d of a backlog requeued", n)
		}
	}
	if row := h.Get(ds[0]); row.Generation != 1 || !row.SweepAfter.After(time.Now().Add(h.ahead)) {
		t.Errorf("row %+v", row)
	}
}

func TestConflictIsSuccess(t *testing.T) {
	h := newHarness(t)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	d := h.Publish(h.merchant, 1)[0]
	for range 2 {
		check(t, h.client.Enqueue(t.Context(), d, time.Now()))
	}
	check(t, h.inspector().ArchiveTask(h.queueOf(e.ID), d.ID+":1"))
	check(t, h.client.Enqueue(t.Context(), d, time.Now()))
	lost, err := h.client.MissingTasks(t.Context(), []models.Delivery{d})
	check(t, err)
	if !lost[0] {
		t.Error("an archived task of a pending delivery is not seen as lost")
	}
}

// TestFailedAckIsRepeated cuts the servers' connection to Redis while a request is under way, so that its ack fails:
// the syncer must repeat it, and the receiver must not see a second request.
func TestFailedAckIsRepeated(t *testing.T) {
	server := testkit.Redis(t)
	p := newProxy(t, server.Addr)
	h := build(t, storetest.Postgres(t), p.addr, server)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Script(func(testkit.Received) testkit.Answer {
		p.cut(true)
		return testkit.Answer{}
	})
	h.produce()
	h.work()
	d := h.Publish(h.merchant, 1)[0]
	h.WaitState(d, models.DeliveryDelivered, 10*time.Second)
	for refused := 0; refused < 40; refused = p.cutFor() { // go-redis has given up on the ack by then
		time.Sleep(10 * time.Millisecond)
	}
	p.cut(false)
	h.receiver.Script(nil)
	key := "asynq:{" + h.queueOf(e.ID) + "}:t:" + d.ID + ":1"
	testkit.Eventually(t, time.Minute, "the ack is repeated", func() bool {
		return fmt.Sprint(server.Do(t, "EXISTS", key)) == "0"
	})
	if n := len(h.receiver.All()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestStalledRedis freezes Redis for a while in the middle of work: nothing is lost and nothing is sent twice.
func TestStalledRedis(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.work()
	deliver := deliverSome(h)
	first := deliver(100)
	h.server.Pause(t)
	time.Sleep(4 * time.Second) // the length of the stall
	h.server.Resume(t)
	second := deliver(100)
	all := append(first, second...)
	h.ahead = 11 * time.Second
	testkit.Eventually(t, time.Minute, "all arrive", func() bool {
		if _, err := h.sweeper.Sweep(t.Context()); err != nil {
			t.Log(err)
		}
		return len(h.count()) >= len(all)
	})
	h.wantEachOnce(all)
}

func deliverSome(h *harness) func(n int) []models.Delivery {
	return func(n int) []models.Delivery { return h.Publish(h.merchant, n) }
}

func TestRedisAwayAtPublish(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.sweep()
	h.server.Kill(t)
	start := time.Now()
	ds := h.Publish(h.merchant, 20)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("publishing took %v while Redis was away", took)
	}
	if _, err := h.sweeper.Sweep(t.Context()); err == nil {
		t.Error("a sweep succeeded without Redis")
	}
	h.server.Start(t)
	h.work()
	testkit.Eventually(t, time.Minute, "all arrive", func() bool {
		_, _ = h.sweeper.Sweep(t.Context()) // the restarted server is another incarnation: all is looked at
		return len(h.count()) >= len(ds)
	})
	h.wantEachOnce(ds)
}
