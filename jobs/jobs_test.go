package jobs_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// count says how often each webhook-id was received.
func (h *harness) count() map[string]int {
	n := make(map[string]int)
	for _, r := range h.receiver.All() {
		n[r.ID()]++
	}
	return n
}

func (h *harness) wantEachOnce(ds []models.Delivery) {
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

func (h *harness) inspector() *asynq.Inspector {
	i := asynq.NewInspector(asynq.RedisClientOpt{Addr: h.server.Addr})
	h.t.Cleanup(func() { check(h.t, i.Close()) })
	return i
}

func (h *harness) queueOf(endpointID string) string {
	return h.client.Queue(models.Delivery{EndpointID: endpointID, State: models.DeliveryPending})
}

func TestDeliversThroughRedis(t *testing.T) {
	h := newHarness(t)
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
	h := newHarness(t)
	e, secret := h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	d := h.Publish(h.merchant, 1)[0]
	queue := h.queueOf(e.ID)
	info := h.waitTask(queue, d.ID+":1", asynq.TaskStatePending)
	want := fmt.Sprintf(`{"delivery_id":%q,"generation":1,"event_type":%q,"merchant_id":%q,"endpoint_id":%q}`, d.ID,
		d.EventType, h.merchant, e.ID)
	if string(info.Payload) != want || info.Type != "send_webhook" || info.MaxRetry != 1000 ||
		info.Timeout != time.Minute {
		t.Errorf("task %+v payload %s", info, info.Payload)
	}
	if dump := fmt.Sprint(h.server.Do(t, "HGETALL", "asynq:{"+queue+"}:t:"+d.ID+":1")); strings.Contains(dump,
		secret.Reveal()) {
		t.Error("a secret is in Redis")
	}
}

func (h *harness) waitTask(queue, id string, state asynq.TaskState) *asynq.TaskInfo {
	h.t.Helper()
	i := h.inspector()
	var info *asynq.TaskInfo
	testkit.Eventually(h.t, time.Minute, fmt.Sprintf("task %s in %s is %s", id, queue, state), func() (is bool) {
		var err error
		info, err = i.GetTaskInfo(queue, id)
		return err == nil && info.State == state
	})
	return info
}

func TestFailedFirstTryMovesToRetryLane(t *testing.T) {
	h := newHarness(t, func(o *delivery.SenderOptions) {
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
	testkit.Eventually(t, time.Minute, "the task of the first try is gone", func() bool {
		_, err := i.GetTaskInfo(h.queueOf(e.ID), d.ID+":1")
		return err != nil
	})
	h.ahead = 10 * time.Minute
	if n := h.sweep(); n != 0 {
		t.Errorf("%d requeued while the retry waits in Asynq", n)
	}
}

func TestExhaustedIsDeadAndArchived(t *testing.T) {
	h := newHarness(t, func(o *delivery.SenderOptions) { o.Schedule.Base = time.Millisecond })
	three := new(int)
	*three = 3
	h.Endpoint(h.merchant, h.receiver.URL, func(s *endpoints.Settings) { s.MaxAttempts = &three })
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
	testkit.Eventually(t, time.Minute, "the task is taken", func() bool { return failed() > before })
	h.waitTask("wh:retry", d.ID+":2", asynq.TaskStateArchived)
	if n := len(h.receiver.All()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// TestDeadWithoutTaskIsArchived loses the task of a dead delivery, as a crash between commit and ack with a lost Redis
// would.
func TestDeadWithoutTaskIsArchived(t *testing.T) {
	h := newHarness(t)
	one := new(int)
	*one = 1
	e, _ := h.Endpoint(h.merchant, h.receiver.URL, func(s *endpoints.Settings) { s.MaxAttempts = &one })
	h.receiver.Answers(testkit.Answer{Status: 500})
	d := h.Publish(h.merchant, 1)[0]
	if out := h.sender.Attempt(t.Context(), delivery.Task{DeliveryID: d.ID, Generation: 1}); out.Do != delivery.Archive {
		t.Fatalf("outcome %+v", out)
	}
	h.ahead = time.Minute
	h.sweep()
	h.waitTask(h.queueOf(e.ID), d.ID+":1", asynq.TaskStateArchived)
	if row := h.Get(d); row.ArchivedAt == nil {
		t.Error("the row does not know")
	}
}

// TestLimiterDoesNotSpendAttempts holds more deliveries than the endpoint may have in flight.
func TestLimiterDoesNotSpendAttempts(t *testing.T) {
	h := newHarness(t, func(o *delivery.SenderOptions) { o.MaxInFlight = 1 })
	one := new(int)
	*one = 1 // a limiter error on the last attempt must not bury it
	h.Endpoint(h.merchant, h.receiver.URL, func(s *endpoints.Settings) { s.MaxAttempts = &one })
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

func TestStopHandsOverWithoutLoss(t *testing.T) {
	h := newHarness(t)
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
	h := newHarness(t)
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
	h := newHarness(t)
	check(t, h.redis.Ping(t.Context()))
	got, err := h.redis.Inspect(t.Context())
	check(t, err)
	if got.EvictionPolicy != "noeviction" || got.AppendOnly || got.Version == "" || got.RunID == "" ||
		got.UsedMemory == 0 {
		t.Errorf("settings %+v", got)
	}
}
