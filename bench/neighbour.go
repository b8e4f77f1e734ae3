package main

import (
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// hang is longer than any timeout of a request.
const hang = 10 * time.Minute

// neighbourRun is `bench neighbour`.
type neighbourRun struct {
	t        testkit.TB
	r        *report
	receiver *receiver
	harness  *harness

	healthy, rate, queued int
	seconds               time.Duration
	warmUp                *time.Duration
}

func neighbour(r *report, args []string) func(testkit.TB) {
	n := &neighbourRun{r: r}
	f, pairs := r.flags(5)
	f.IntVar(&n.healthy, "healthy", 99, "healthy endpoints")
	f.IntVar(&n.rate, "rate", 200, "events a second to all of them")
	f.IntVar(&n.queued, "queued", 10000, "deliveries queued for the endpoint that hangs")
	f.DurationVar(&n.seconds, "for", 14*time.Second,
		"how long the rate is offered; the endpoint that hangs is given up after 10s")
	n.warmUp = warmUpFlag(f)
	size := f.Int("n", 10000, "deliveries of the run that says what raw Asynq and the bare client do a second")
	var env settings
	f.Var(&env, "set", "NAME=value for the worker, may be repeated")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		n.t, n.receiver = t, startReceiver(t)
		n.harness = newHarness(t, n.receiver, env...)
		shops := n.harness.shops(n.healthy, 0)
		for pair := range *pairs {
			t.Logf("pair %d of %d", pair+1, *pairs)
			runs := []func(){func() { n.run(shops, "alone", nil) }, func() { n.run(shops, "beside", n.harness.shops(1, hang)) }}
			runs[pair%2]()
			runs[1-pair%2]()
		}
		newRaw(t, n.receiver).rates(r, *size, 64, bodySize(t))
		r.baseline("alone_p50_ms")
		r.atMost("healthy p99 beside a hanging endpoint ÷ without", r.ratio("beside_p99_ms", "alone_p99_ms"), 1.5)
	}
}

// run times what healthy endpoints get, with a fresh worker, beside the bad one or without it.
func (n *neighbourRun) run(shops []shop, name string, bad []shop) {
	w := n.harness
	warm := count(*n.warmUp, n.rate)
	all := warm + count(n.seconds, n.rate)
	events := w.load(shops, all, 1)
	w.Start("worker")
	w.WaitReady("worker")
	n.receiver.reset()
	inLane := make(map[string]bool) // merchants whose endpoint shares the lane of the bad one
	if bad != nil {
		lane := w.lane(bad[0])
		for _, s := range shops {
			inLane[s.merchant] = w.lane(s) == lane
		}
		before := w.enqueued.Load()
		w.commitAll(w.load(bad, n.queued, maxBatch))
		testkit.Eventually(n.t, time.Minute, "the deliveries to the endpoint that hangs are queued", func() bool {
			return w.enqueued.Load() == before+int64(n.queued)
		})
	}
	from, _ := w.offer(events, warm, n.rate)
	n.receiver.wait(all, time.Minute)
	to, _ := n.receiver.sights()
	n.held(bad)
	millis := from.millis(n.t, to)
	n.r.add(name+"_p50_ms", quantile(millis, 0.5))
	n.r.add(name+"_p99_ms", quantile(millis, 0.99))
	if bad != nil {
		shared := newStamps()
		for _, d := range events.deliveries {
			if at, ok := from.at[d.EventID]; ok && inLane[d.MerchantID] {
				shared.set(d.EventID, at)
			}
		}
		n.r.add("beside_same_lane_share", float64(len(shared.at))/float64(len(from.at)))
		n.r.add("beside_same_lane_p99_ms", quantile(shared.millis(n.t, to), 0.99))
	}
	w.Kill("worker") // it would wait for the requests that hang
	w.clear()
}

// held makes sure that the bad endpoint was there all the time: nothing of it was delivered.
func (n *neighbourRun) held(bad []shop) {
	if bad == nil {
		return
	}
	var waiting int
	must(n.t, n.harness.DB.QueryRowContext(n.t.Context(),
		"SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'pending'",
		bad[0].endpoint.ID).Scan(&waiting))
	if waiting != n.queued {
		n.t.Fatalf("%d of %d deliveries to the endpoint that hangs are still waiting", waiting, n.queued)
	}
}

// lane is the queue of an endpoint's first tries.
func (w *harness) lane(s shop) string {
	return w.tasks.Queue(models.Delivery{EndpointID: s.endpoint.ID, State: models.DeliveryPending})
}

// clear throws away what was not delivered, and what is in Redis.
func (w *harness) clear() {
	w.t.Helper()
	w.Redis.Flush(w.t)
	for _, q := range []string{
		"DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE state <> 'delivered')",
		"DELETE FROM deliveries WHERE state <> 'delivered'",
	} {
		if _, err := w.DB.ExecContext(w.t.Context(), q); err != nil {
			w.t.Fatal(err)
		}
	}
}
