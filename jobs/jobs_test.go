package jobs_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// count says how often each webhook-id was received.
func (h *house) count() map[string]int {
	n := make(map[string]int)
	for _, r := range h.receiver.All() {
		n[r.ID()]++
	}
	return n
}

func (h *house) wantEachOnce(ds []models.Delivery) {
	h.t.Helper()
	got := h.count()
	for _, d := range ds {
		h.WaitState(d, models.DeliveryDelivered, 20*time.Second)
		if got[d.EventID] != 1 {
			h.t.Errorf("%s was received %d times", d.EventID, got[d.EventID])
		}
	}
	if len(got) != len(ds) {
		h.t.Errorf("%d events received, %d sent", len(got), len(ds))
	}
}

func (h *house) inspector() *asynq.Inspector {
	i := asynq.NewInspector(asynq.RedisClientOpt{Addr: h.server.Addr})
	h.t.Cleanup(func() { check(h.t, i.Close()) })
	return i
}

func (h *house) queueOf(endpointID string) string {
	return h.client.Queue(models.Delivery{EndpointID: endpointID, State: models.DeliveryPending})
}

func TestDeliversThroughRedis(t *testing.T) {
	h := newHouse(t)
	_, secret := h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	stop := h.work()
	ds := h.Publish(h.merchant, 200)
	h.receiver.WaitCount(t, len(ds), 20*time.Second)
	h.wantEachOnce(ds)
	for _, r := range h.receiver.All() {
		if _, err := webhook.Verify(r.Header, r.Body, []webhook.Secret{secret}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if n := h.sweep(); n != 0 {
		t.Errorf("%d requeued when all is done", n)
	}
	keys := fmt.Sprint(h.server.Do(t, "KEYS", "asynq:{*}:t:*"))
	if keys != "[]" {
		t.Errorf("tasks are left: %s", keys)
	}
}

// TestQuickstartPair is the same on the parts of the quickstart.
func TestQuickstartPair(t *testing.T) {
	server := miniredis.RunT(t)
	h := build(t, storetest.SQLite(t), server.Addr(), nil)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Answers(testkit.Answer{Status: 503}, testkit.Answer{})
	h.produce()
	h.work()
	d := h.Publish(h.merchant, 1)[0]
	if row := h.WaitState(d, models.DeliveryDelivered, 20*time.Second); row.Attempts != 2 || row.Generation != 2 {
		t.Errorf("row %+v", row)
	}
	server.FlushAll()
	if h.sweep() != 0 {
		t.Error("requeued what is delivered")
	}
}

func TestPayloadHoldsOnlyIDs(t *testing.T) {
	h := newHouse(t)
	e, secret := h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	d := h.Publish(h.merchant, 1)[0]
	queue := h.queueOf(e.ID)
	info := h.waitTask(queue, d.ID+":1", asynq.TaskStatePending)
	want := fmt.Sprintf(`{"delivery_id":%q,"generation":1,"event_type":%q,"merchant_id":%q,"endpoint_id":%q}`, d.ID, d.EventType, h.merchant, e.ID)
	if string(info.Payload) != want || info.Type != "send_webhook" || info.MaxRetry != 1000 || info.Timeout != time.Minute {
		t.Errorf("task %+v payload %s", info, info.Payload)
	}
	if dump := fmt.Sprint(h.server.Do(t, "HGETALL", "asynq:{"+queue+"}:t:"+d.ID+":1")); strings.Contains(dump, secret.Reveal()) {
		t.Error("a secret is in Redis")
	}
}

func (h *house) waitTask(queue, id string, state asynq.TaskState) *asynq.TaskInfo {
	h.t.Helper()
	i := h.inspector()
	deadline := time.Now().Add(15 * time.Second)
	for {
		info, err := i.GetTaskInfo(queue, id)
		if err == nil && info.State == state {
			return info
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("task %s in %s is not %s: %+v, %v", id, queue, state, info, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestFailedFirstTryMovesToRetryLane(t *testing.T) {
	h := newHouse(t, func(o *delivery.SenderOptions) {
		o.Schedule = delivery.Schedule{Base: time.Hour, Factor: 1, Max: time.Hour}
	})
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Answers(testkit.Answer{Status: 500})
	h.produce()
	h.work()
	d := h.Publish(h.merchant, 1)[0]
	info := h.waitTask("wh:retry", d.ID+":2", asynq.TaskStateScheduled)
	if wait := time.Until(info.NextProcessAt); wait < 59*time.Minute || wait > 61*time.Minute {
		t.Errorf("due in %v", wait)
	}
	i := h.inspector()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, err := i.GetTaskInfo(h.queueOf(e.ID), d.ID+":1"); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the task of the first try is still there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.ahead = 10 * time.Minute
	if n := h.sweep(); n != 0 {
		t.Errorf("%d requeued while the retry waits in Asynq", n)
	}
}

func TestExhaustedIsDeadAndArchived(t *testing.T) {
	h := newHouse(t, func(o *delivery.SenderOptions) { o.Schedule.Base = time.Millisecond })
	three := new(int)
	*three = 3
	h.Endpoint(h.merchant, h.receiver.URL, func(s *delivery.Settings) { s.MaxAttempts = &three })
	h.receiver.Answers(testkit.Answer{Status: 500})
	h.produce()
	h.work()
	d := h.Publish(h.merchant, 1)[0]
	h.WaitState(d, models.DeliveryDead, 20*time.Second)
	info := h.waitTask("wh:retry", d.ID+":2", asynq.TaskStateArchived)
	if !strings.Contains(info.LastErr, "attempts exhausted") {
		t.Errorf("shown to operators: %q", info.LastErr)
	}
	h.ahead = time.Minute
	h.sweep()
	if row := h.Get(d); row.ArchivedAt == nil || row.Attempts != 3 {
		t.Fatalf("row %+v", row)
	}
	// Run pressed at once: it is archived again, nothing is sent.
	i := h.inspector()
	failed := func() int {
		info, err := i.GetQueueInfo("wh:retry")
		check(t, err)
		return info.Failed
	}
	before := failed()
	check(t, i.RunTask("wh:retry", d.ID+":2"))
	for deadline := time.Now().Add(10 * time.Second); failed() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the task was not taken")
		}
	}
	h.waitTask("wh:retry", d.ID+":2", asynq.TaskStateArchived)
	if n := len(h.receiver.All()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// TestDeadWithoutTaskIsArchived loses the task of a dead delivery, as a crash between commit and ack with a lost Redis would.
func TestDeadWithoutTaskIsArchived(t *testing.T) {
	h := newHouse(t)
	one := new(int)
	*one = 1
	e, _ := h.Endpoint(h.merchant, h.receiver.URL, func(s *delivery.Settings) { s.MaxAttempts = &one })
	h.receiver.Answers(testkit.Answer{Status: 500})
	d := h.Publish(h.merchant, 1)[0]
	if out := h.sender.Attempt(t.Context(), delivery.Task{DeliveryID: d.ID, Generation: 1}); out.Do != delivery.Bury {
		t.Fatalf("outcome %+v", out)
	}
	h.ahead = time.Minute
	h.sweep()
	h.waitTask(h.queueOf(e.ID), d.ID+":1", asynq.TaskStateArchived)
	if row := h.Get(d); row.ArchivedAt == nil {
		t.Error("the row does not know")
	}
}

func TestFlushedRedisLosesNothing(t *testing.T) {
	h := newHouse(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	stopProducer := h.produce()
	h.sweep() // learns the epoch
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
	h := newHouse(t) // and no producer
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
	for name, damage := range map[string]func(h *house, queue, id string){
		"hash deleted":     func(h *house, queue, id string) { h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:t:"+id) },
		"archived by hand": func(h *house, queue, id string) { check(h.t, h.inspector().ArchiveTask(queue, id)) },
		"deleted by hand":  func(h *house, queue, id string) { check(h.t, h.inspector().DeleteTask(queue, id)) },
		"list evicted":     func(h *house, queue, id string) { h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:pending") },
		"active without lease": func(h *house, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
		},
		"active at a dead worker": func(h *house, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
			h.server.Do(h.t, "ZADD", "asynq:{"+queue+"}:lease", fmt.Sprint(time.Now().Add(-11*time.Second).Unix()), id)
		},
		"stranded without a task": func(h *house, queue, id string) {
			h.server.Do(h.t, "RPOPLPUSH", "asynq:{"+queue+"}:pending", "asynq:{"+queue+"}:active")
			h.server.Do(h.t, "DEL", "asynq:{"+queue+"}:t:"+id)
			h.server.Do(h.t, "HSET", "asynq:{"+queue+"}:t:"+id, "state", "active")
			h.server.Do(h.t, "ZADD", "asynq:{"+queue+"}:lease", fmt.Sprint(time.Now().Add(-11*time.Second).Unix()), id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
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
	h := newHouse(t)
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
	h := newHouse(t)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	d := h.Publish(h.merchant, 1)[0]
	for range 2 {
		check(t, h.client.Enqueue(t.Context(), d, time.Now()))
	}
	check(t, h.inspector().ArchiveTask(h.queueOf(e.ID), d.ID+":1"))
	check(t, h.client.Enqueue(t.Context(), d, time.Now()))
	lost, err := h.client.Lost(t.Context(), []models.Delivery{d})
	check(t, err)
	if !lost[0] {
		t.Error("an archived task of a pending delivery is not seen as lost")
	}
}

// TestLimiterDoesNotSpendAttempts holds more deliveries than the endpoint may have in flight.
func TestLimiterDoesNotSpendAttempts(t *testing.T) {
	h := newHouse(t, func(o *delivery.SenderOptions) { o.MaxInFlight = 1 })
	one := new(int)
	*one = 1 // a limiter error on the last attempt must not bury it
	h.Endpoint(h.merchant, h.receiver.URL, func(s *delivery.Settings) { s.MaxAttempts = &one })
	var now, most atomic.Int64
	h.receiver.Script(func(testkit.Received) testkit.Answer {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(20 * time.Millisecond) // the receiver works
		return testkit.Answer{}
	})
	h.produce()
	h.work()
	ds := h.Publish(h.merchant, 12)
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
	if most.Load() != 1 {
		t.Errorf("%d in flight", most.Load())
	}
	for _, d := range ds {
		if row := h.Get(d); row.Attempts != 1 {
			t.Errorf("attempts %d", row.Attempts)
		}
	}
}

// TestFailedAckIsRepeated cuts the servers' connection to Redis while a request is under way, so that its ack fails: the
// syncer must repeat it, and the receiver must not see a second request.
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
	deadline := time.Now().Add(25 * time.Second)
	for fmt.Sprint(server.Do(t, "EXISTS", key)) != "0" {
		if time.Now().After(deadline) {
			t.Fatal("the ack was never repeated")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := len(h.receiver.All()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestStalledRedis freezes Redis for a while in the middle of work: nothing is lost and nothing is sent twice.
func TestStalledRedis(t *testing.T) {
	h := newHouse(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.work()
	deliver := deliverSome(h)
	first := deliver(100)
	h.server.Pause(t)
	time.Sleep(4 * time.Second)
	h.server.Resume(t)
	second := deliver(100)
	all := append(first, second...)
	deadline := time.Now().Add(30 * time.Second)
	for len(h.count()) < len(all) && time.Now().Before(deadline) {
		h.ahead = 11 * time.Second
		if _, err := h.sweeper.Sweep(t.Context()); err != nil {
			t.Log(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.wantEachOnce(all)
}

func deliverSome(h *house) func(n int) []models.Delivery {
	return func(n int) []models.Delivery { return h.Publish(h.merchant, n) }
}

func TestRedisAwayAtPublish(t *testing.T) {
	h := newHouse(t)
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
	deadline := time.Now().Add(20 * time.Second)
	for len(h.count()) < len(ds) && time.Now().Before(deadline) {
		_, _ = h.sweeper.Sweep(t.Context()) // the restarted server has another epoch: all is looked at
		time.Sleep(100 * time.Millisecond)
	}
	h.wantEachOnce(ds)
}

func TestStopHandsOverWithoutLoss(t *testing.T) {
	h := newHouse(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Delay: 30 * time.Millisecond} })
	h.produce()
	stop := h.work()
	ds := h.Publish(h.merchant, 300)
	h.receiver.WaitCount(t, 50, 10*time.Second)
	stop()
	if n := len(h.receiver.All()); n == len(ds) {
		t.Fatal("everything was delivered before the stop: the test shows nothing")
	}
	h.work()
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
}

func TestDrainArchive(t *testing.T) {
	h := newHouse(t)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	ds := h.Publish(h.merchant, 12)
	for _, d := range ds {
		check(t, h.client.Enqueue(t.Context(), d, time.Now()))
		check(t, h.inspector().ArchiveTask(h.queueOf(e.ID), d.ID+":1"))
	}
	n, err := h.client.DrainArchive(t.Context(), 5)
	check(t, err)
	if left := fmt.Sprint(h.server.Do(t, "ZCARD", "asynq:{"+h.queueOf(e.ID)+"}:archived")); n != 7 || left != "5" {
		t.Errorf("drained %d, left %s", n, left)
	}
}

func TestInspect(t *testing.T) {
	h := newHouse(t)
	check(t, h.redis.Ping(t.Context()))
	got, err := h.redis.Inspect(t.Context())
	check(t, err)
	if got.EvictionPolicy != "noeviction" || got.AppendOnly || got.Version == "" || got.RunID == "" || got.UsedMemory == 0 {
		t.Errorf("settings %+v", got)
	}
}

// proxy forwards TCP and can be cut.
type proxy struct {
	addr  string
	mu    sync.Mutex
	down  bool
	away  int // connections refused while it was down
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	p := &proxy{addr: l.Addr().String(), conns: make(map[net.Conn]bool)}
	t.Cleanup(func() { l.Close(); p.cut(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || !p.keep(in, out) {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					buffer := make([]byte, 16<<10)
					for {
						n, err := pair[0].Read(buffer)
						if _, e := pair[1].Write(buffer[:n]); e != nil || err != nil {
							pair[0].Close()
							pair[1].Close()
							return
						}
					}
				}()
			}
		}
	}()
	return p
}

func (p *proxy) keep(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		p.away++
		for _, c := range cs {
			c.Close()
		}
		return false
	}
	for _, c := range cs {
		p.conns[c] = true
	}
	return true
}

// cutFor is how many connections were refused since it went down.
func (p *proxy) cutFor() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away
}

func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if down {
		for c := range p.conns {
			c.Close()
		}
		clear(p.conns)
	}
}
