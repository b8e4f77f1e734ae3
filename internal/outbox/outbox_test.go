package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// tasks is a queue in memory that can be damaged. The real one is tested in jobs, on a real Redis.
type tasks struct {
	mu          sync.Mutex
	incarnation string
	have        map[string]bool // "<delivery>:<generation>"
	order       []string
	due         map[string]time.Time // by delivery, of the last time it was enqueued
	expired     []string
	archived    []string
	err         error
	block       chan struct{}
}

func newTasks() *tasks {
	return &tasks{incarnation: "1", have: make(map[string]bool), due: make(map[string]time.Time)}
}

func name(d models.Delivery) string { return fmt.Sprintf("%s:%d", d.ID, d.Generation) }

func (q *tasks) Enqueue(ctx context.Context, d models.Delivery, at time.Time) error {
	if q.block != nil {
		select {
		case <-q.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.have[name(d)] = true
	q.order = append(q.order, d.ID)
	q.due[d.ID] = at
	return nil
}

func (q *tasks) MissingTasks(_ context.Context, ds []models.Delivery) ([]bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := make([]bool, len(ds))
	for i, d := range ds {
		lost[i] = !q.have[name(d)]
	}
	return lost, q.err
}

func (q *tasks) ExpiredLeases(context.Context) ([]string, error) { return q.expired, q.err }

func (q *tasks) RedisIncarnation(context.Context) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.incarnation, q.err
}

func (q *tasks) Archive(_ context.Context, d models.Delivery) error {
	q.archived = append(q.archived, d.ID)
	return q.err
}

func (q *tasks) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.have)
	q.incarnation += "'"
}

func sweeper(t *testing.T, s *store.Store, q *tasks, now func() time.Time) *outbox.Sweeper {
	t.Helper()
	sw, err := outbox.NewSweeper(outbox.SweeperOptions{Store: s, Tasks: q, Batch: 7, Interval: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return sw
}

func sweep(t *testing.T, s *outbox.Sweeper, want int) {
	t.Helper()
	if r, err := s.Sweep(t.Context()); err != nil || r.Requeued() != want {
		t.Fatalf("requeued %+v, %v; want %d", r, err, want)
	}
}

func TestSweep(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		m := w.Merchant()
		w.Endpoint(m, "https://shop.example/")
		q := newTasks()
		ahead := time.Duration(0)
		sw := sweeper(t, s, q, func() time.Time { return time.Now().Add(ahead) })
		ds := w.Publish(m, 20)
		sweep(t, sw, 20) // the first incarnation that is seen: everything is looked at
		sweep(t, sw, 0)
		ahead += 15 * time.Second
		sweep(t, sw, 0) // due for a look, but alive
		delete(q.have, ds[3].ID+":2")
		sweep(t, sw, 0) // not due for another look
		ahead += 5 * time.Minute
		q.order = nil
		sweep(t, sw, 1)
		if got := w.Get(ds[3]); got.Generation != 3 {
			t.Errorf("row %+v", got)
		}
		q.flush()
		sweep(t, sw, 20)
		sweep(t, sw, 0)
		q.expired = []string{ds[5].ID, "dlv_unknown"}
		sweep(t, sw, 0) // its task was enqueued again meanwhile
		q.mu.Lock()
		delete(q.have, name(w.Get(ds[5])))
		q.mu.Unlock()
		sweep(t, sw, 1)

		// While the queue is away nothing is claimed, and afterwards nothing has to be waited for.
		ahead += 5 * time.Minute
		clear(q.have)
		q.expired, q.err = nil, errors.New("away")
		if _, err := sw.Sweep(t.Context()); err == nil {
			t.Error("a sweep succeeded without its queue")
		}
		q.err = nil
		sweep(t, sw, 20)
	})
}

// TestRebuildWaitsForWhatIsUnderWay: when Redis lost everything, a request may be under way for any delivery, and is
// never overtaken by a second one.
func TestRebuildWaitsForWhatIsUnderWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		m := w.Merchant()
		w.Endpoint(m, "https://shop.example/")
		timeout := new(30_000)
		patient, _ := w.Endpoint(m, "https://patient.example/", func(set *endpoints.Settings) { set.TimeoutMS = &timeout })
		q := newTasks()
		now := time.Now().UTC().Add(time.Second).Truncate(time.Microsecond)
		sw := sweeper(t, s, q, func() time.Time { return now })
		ds := w.Publish(m, 3)
		sweep(t, sw, 6)
		for _, d := range ds {
			if q.due[d.ID].After(now) {
				t.Errorf("the first Redis of a database: due %v", q.due[d.ID].Sub(now))
			}
		}
		q.flush()
		sweep(t, sw, 6)
		for _, d := range ds {
			wait := 11 * time.Second
			if d.EndpointID == patient.ID {
				wait = 31 * time.Second
			}
			if got := q.due[d.ID].Sub(now); got != wait {
				t.Errorf("after a loss: due in %v, want %v", got, wait)
			}
		}
	})
}

// TestSweepersShareTheWork runs several on one database: each row is enqueued at most once a round.
func TestSweepersShareTheWork(t *testing.T) {
	s := storetest.Postgres(t)
	w := deliverytest.New(t, s)
	m := w.Merchant()
	w.Endpoint(m, "https://shop.example/")
	q := newTasks()
	now := func() time.Time { return time.Now().Add(time.Minute) }
	sweep(t, sweeper(t, s, q, now), 0)
	ds := w.Publish(m, 100)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := sweeper(t, s, q, now).Sweep(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(q.order) != len(ds) {
		t.Errorf("%d rows were enqueued %d times", len(ds), len(q.order))
	}
	for _, d := range ds {
		if row := w.Get(d); row.Generation != 2 || !q.have[d.ID+":2"] {
			t.Errorf("row %+v", row)
		}
	}
}

// TestRunSweeps holds that the sweeper is wired: Run makes passes by itself, and goes on after a failed one.
func TestRunSweeps(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	m := w.Merchant()
	w.Endpoint(m, "https://shop.example/")
	q := newTasks()
	d := w.Publish(m, 1)[0]
	stop := deliverytest.Run(t, sweeper(t, w.Store, q, time.Now).Run)
	testkit.Eventually(t, time.Minute, "it is swept", func() bool { return w.Get(d).Generation == 2 })
	q.flush()
	testkit.Eventually(t, time.Minute, "it is swept after a loss", func() bool { return w.Get(d).Generation == 3 })
	stop()
}

func TestProducerNeverBlocks(t *testing.T) {
	q := newTasks()
	q.block = make(chan struct{})
	p, err := outbox.NewProducer(outbox.ProducerOptions{Enqueuer: q, Queue: 10, Workers: 2,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	stop := deliverytest.Run(t, p.Run)
	ds := make([]models.Delivery, 1000)
	for i := range ds {
		ds[i] = models.Delivery{ID: fmt.Sprint(i), Generation: 1}
	}
	start := time.Now()
	p.Offer(ds)
	if took := time.Since(start); took > time.Second {
		t.Errorf("Offer took %v", took)
	}
	close(q.block)
	stop() // what it still has is enqueued first
	if n := int64(len(q.order)); n+p.Dropped() != 1000 || n < 10 {
		t.Errorf("%d enqueued, %d dropped", n, p.Dropped())
	}
}

func TestProducerLogsStateChangesOnly(t *testing.T) {
	q := newTasks()
	q.err = errors.New("connection refused")
	var log strings.Builder
	p, err := outbox.NewProducer(outbox.ProducerOptions{Enqueuer: q, Workers: 1,
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	stop := deliverytest.Run(t, p.Run)
	p.Offer(make([]models.Delivery, 500))
	testkit.Eventually(t, time.Minute, "all are dropped", func() bool { return p.Dropped() == 500 })
	q.mu.Lock()
	q.err = nil
	q.mu.Unlock()
	testkit.Eventually(t, time.Minute, "it tries again", func() bool {
		p.Offer([]models.Delivery{{ID: "x", Generation: 1}})
		return p.Dropped() == 0
	})
	stop()
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "producer.redis_away") ||
		!strings.Contains(log.String(), "producer.redis_back") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func ExampleProducer_Offer() {
	q := newTasks()
	p, err := outbox.NewProducer(outbox.ProducerOptions{Enqueuer: q, Workers: 1, Logger: slog.New(slog.DiscardHandler),
		Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	p.Offer([]models.Delivery{{ID: "dlv_1", Generation: 1}, {ID: "dlv_2", Generation: 1}}) // store.OnCommit(p.Offer)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_ = p.Run(ctx) // a stopping producer enqueues what it has
	fmt.Println(q.order)
	// Output: [dlv_1 dlv_2]
}
