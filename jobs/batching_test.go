package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

const batchQueue = "wh:7"

// batchHarness is one lane on a Redis of its own, with Asynq's own tools beside it.
type batchHarness struct {
	t         *testing.T
	redis     *Redis
	plain     redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
	slots     *slots
	lane      *laneClient
}

func newBatchHarness(t *testing.T, all int) *batchHarness {
	t.Helper()
	r, err := Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{testkit.Redis(t).Addr}}, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.wake.close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &batchHarness{t: t, redis: r, plain: r.plain, client: asynq.NewClientFromRedisClient(r.plain),
		inspector: asynq.NewInspectorFromRedisClient(r.plain), slots: &slots{total: all}}
	w.lane = newLaneClient(r, batchQueue, w.slots)
	w.lane.idle = false // an empty lane answers at once
	return w
}

func (w *batchHarness) enqueue(n int) (ids []string) {
	w.t.Helper()
	for i := range n {
		id := fmt.Sprintf("dlv_%02d:1", i)
		if _, err := w.client.Enqueue(asynq.NewTask(TypeSendWebhook, []byte("{}")), asynq.TaskID(id),
			asynq.Queue(batchQueue)); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// dequeue asks as Asynq does, and returns the message, "" when there is none.
func (w *batchHarness) dequeue() string {
	w.t.Helper()
	keys := []string{key(batchQueue, "pending"), key(batchQueue, "paused"), key(batchQueue, "active"),
		key(batchQueue, "lease")}
	msg, err := w.lane.EvalSha(w.t.Context(), asynqDequeue, keys, time.Now().Add(30*time.Second).Unix(),
		key(batchQueue, "t:")).Text()
	if err != nil && err != redis.Nil {
		w.t.Fatal(err)
	}
	return msg
}

// done says as Asynq does that a task is done.
func (w *batchHarness) done(id string) error {
	day := key(batchQueue, "processed:"+time.Now().UTC().Format(time.DateOnly))
	keys := []string{key(batchQueue, "active"), key(batchQueue, "lease"), taskKey(batchQueue, id), day,
		key(batchQueue, "processed")}
	return w.lane.EvalSha(w.t.Context(), asynqDone, keys, id, time.Now().Add(time.Hour).Unix(), int64(1<<62)).Err()
}

func (w *batchHarness) list(what string) []string {
	w.t.Helper()
	ids, err := w.plain.LRange(w.t.Context(), key(batchQueue, what), 0, -1).Result()
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// scriptLog notes which scripts Asynq runs.
type scriptLog struct {
	redis.UniversalClient
	mu   sync.Mutex
	seen []string
}

// EvalSha notes the script.
func (r *scriptLog) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	r.mu.Lock()
	r.seen = append(r.seen, sha)
	r.mu.Unlock()
	return r.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func (r *scriptLog) ran(sha string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.seen, sha)
}

// TestAsynqsScriptsAreThoseWeKnow: the pinned version runs the scripts that are batched; another one's would pass by.
func TestAsynqsScriptsAreThoseWeKnow(t *testing.T) {
	w := newBatchHarness(t, 1)
	seen := &scriptLog{UniversalClient: w.plain}
	srv := asynq.NewServerFromRedisClient(seen, asynq.Config{Concurrency: 1, Queues: map[string]int{batchQueue: 1},
		LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	w.enqueue(1)
	testkit.Eventually(t, 30*time.Second, "Asynq takes a task and says that it is done",
		func() bool { return seen.ran(asynqDequeue) && seen.ran(asynqDone) })
	srv.Shutdown()
}

// TestTakenTasks: one script takes as many as there are slots for, in order, each marked as Asynq marks it; what no
// place was free for goes back in order.
func TestTakenTasks(t *testing.T) {
	w := newBatchHarness(t, 5)
	ids := w.enqueue(8)
	since := make(map[string]string)
	for _, id := range ids {
		since[id] = w.plain.HGet(t.Context(), taskKey(batchQueue, id), "pending_since").Val()
	}
	leave := w.slots.enter()
	defer leave()
	if msg := w.dequeue(); !strings.Contains(msg, ids[0]) {
		t.Fatalf("took %q", msg)
	}
	if active := w.list("active"); len(active) != 4 {
		t.Errorf("%d are active, and four slots were free", len(active))
	}
	for _, id := range ids[:4] {
		h := w.plain.HGetAll(t.Context(), taskKey(batchQueue, id)).Val()
		if score := w.plain.ZScore(t.Context(), key(batchQueue, "lease"), id).Val(); h["state"] != "active" ||
			h["pending_since"] != "" || score < float64(time.Now().Unix()) {
			t.Errorf("%s: %v, lease %v", id, h, score)
		}
	}
	if msg := w.dequeue(); !strings.Contains(msg, ids[1]) {
		t.Errorf("then took %q", msg)
	}
	if err := w.lane.prefetcher.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if active := w.list("active"); len(active) != 2 {
		t.Errorf("still active: %v", active)
	}
	pending := w.list("pending")
	slices.Reverse(pending) // the next one is the last
	if !slices.Equal(pending, ids[2:]) {
		t.Errorf("pending: %v, want %v", pending, ids[2:])
	}
	for _, id := range ids[2:4] {
		h := w.plain.HGetAll(t.Context(), taskKey(batchQueue, id)).Val()
		if h["state"] != "pending" || h["pending_since"] == "" || h["pending_since"] != since[id] {
			t.Errorf("%s: %v", id, h)
		}
	}
	if info, err := w.inspector.GetQueueInfo(batchQueue); err != nil || info.Pending != 6 || info.Active != 2 {
		t.Errorf("the dashboard sees %+v, %v", info, err)
	}
	if msg := w.dequeue(); msg != "" {
		t.Errorf("a closed lane took %q", msg)
	}
}

// TestATakenTaskOfAnotherLeaseStays: what the recoverer gave to somebody else meanwhile is not handed back.
func TestATakenTaskOfAnotherLeaseStays(t *testing.T) {
	w := newBatchHarness(t, 5)
	ids := w.enqueue(3)
	w.dequeue()
	w.plain.ZAdd(t.Context(), key(batchQueue, "lease"), redis.Z{Score: 1, Member: ids[1]})
	if err := w.lane.prefetcher.handBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pending := w.list("pending"); !slices.Equal(pending, ids[2:]) {
		t.Errorf("pending: %v", pending)
	}
}

// TestTakingFromAPausedLane: nothing is taken. An id without a message is dropped, and those behind it are taken.
func TestTakingFromAPausedLane(t *testing.T) {
	w := newBatchHarness(t, 5)
	ids := w.enqueue(3)
	if err := w.inspector.PauseQueue(batchQueue); err != nil {
		t.Fatal(err)
	}
	if msg := w.dequeue(); msg != "" {
		t.Errorf("took %q", msg)
	}
	if err := w.inspector.UnpauseQueue(batchQueue); err != nil {
		t.Fatal(err)
	}
	w.plain.Del(t.Context(), taskKey(batchQueue, ids[0]))
	if msg := w.dequeue(); !strings.Contains(msg, ids[1]) {
		t.Errorf("took %q", msg)
	}
	if active := w.list("active"); slices.Contains(active, ids[0]) || len(active) != 2 {
		t.Errorf("active: %v", active)
	}
}

// TestAcksAreBatched: acks share scripts, each with its own answer, and are counted as Asynq counts them.
func TestAcksAreBatched(t *testing.T) {
	w := newBatchHarness(t, 64)
	ids := w.enqueue(100)
	for range ids {
		w.dequeue()
	}
	errs := make([]error, len(ids))
	missing := w.done("dlv_none:1")
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { errs[i] = w.done(id) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", ids[i], err)
		}
	}
	if missing == nil || missing.Error() != "NOT FOUND" {
		t.Errorf("a task that is not there: %v", missing)
	}
	if err := w.done(ids[0]); err == nil || err.Error() != "NOT FOUND" {
		t.Errorf("done twice: %v", err)
	}
	info, err := w.inspector.GetQueueInfo(batchQueue)
	if err != nil || info.Processed != 100 || info.ProcessedTotal != 100 || info.Active != 0 || info.Size != 0 {
		t.Errorf("the dashboard sees %+v, %v", info, err)
	}
	ttl := w.plain.TTL(t.Context(), key(batchQueue, "processed:"+time.Now().UTC().Format(time.DateOnly))).Val()
	if ttl <= 0 {
		t.Error("the counter of the day does not end")
	}
}

// TestAPlainServerBeside: an Asynq server that knows nothing of this takes from the same lane; each task is worked on
// once.
func TestAPlainServerBeside(t *testing.T) {
	w := newBatchHarness(t, 8)
	var mu sync.Mutex
	times := make(map[string]int)
	handler := asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		mu.Lock()
		defer mu.Unlock()
		times[task.ResultWriter().TaskID()]++
		return nil
	})
	var servers []*asynq.Server
	for _, c := range []redis.UniversalClient{w.plain, w.lane} {
		srv := asynq.NewServerFromRedisClient(c, asynq.Config{Concurrency: 8, Queues: map[string]int{batchQueue: 1},
			LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
		if err := srv.Start(handler); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, srv)
	}
	ids := w.enqueue(200)
	testkit.Eventually(t, 30*time.Second, "all are done", func() bool {
		info, err := w.inspector.GetQueueInfo(batchQueue)
		return err == nil && info.ProcessedTotal == len(ids) && info.Size == 0
	})
	w.redis.wake.close()
	for _, srv := range servers {
		srv.Shutdown()
	}
	for _, id := range ids {
		if times[id] != 1 {
			t.Errorf("%s was worked on %d times", id, times[id])
		}
	}
}

// TestAProcessThatStoodStill hands back what it had taken long ago, and takes anew.
func TestAProcessThatStoodStill(t *testing.T) {
	w := newBatchHarness(t, 3)
	ids := w.enqueue(4)
	w.dequeue()
	w.lane.prefetcher.buffer.at = time.Now().Add(-time.Minute)
	if msg := w.dequeue(); !strings.Contains(msg, ids[1]) {
		t.Errorf("took %q", msg)
	}
	if active := w.list("active"); len(active) != 4 { // the first, and three anew
		t.Errorf("active: %v", active)
	}
}
