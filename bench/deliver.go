package main

import (
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// deliverRun is `bench deliver`.
type deliverRun struct {
	t        testkit.TB
	r        *report
	receiver *receiver
	harness  *harness
	raw      *raw
	body     int

	n, slowN, twoN, bareN       int
	shops, fast, inFlight, wide int
	delay                       time.Duration
	only                        string
	profiles                    profiles
}

func deliver(r *report, args []string) func(testkit.TB) {
	d := &deliverRun{r: r}
	f, pairs := r.flags(5)
	f.IntVar(&d.n, "n", 20000, "deliveries of a run whose receiver answers at once")
	f.IntVar(&d.slowN, "slow", 20000, "deliveries of a run whose receiver answers after --delay")
	f.IntVar(&d.twoN, "two", 6000, "deliveries of a run of one worker against two")
	f.IntVar(&d.bareN, "bare", 40000, "requests of the bare client")
	f.IntVar(&d.shops, "endpoints", 512, "endpoints, each of a merchant of its own")
	f.IntVar(&d.fast, "fast", 256, "in flight at once where the receiver answers at once")
	f.IntVar(&d.inFlight, "in-flight", 64, "in flight at once in each of two workers")
	f.IntVar(&d.wide, "wide", 1000, "in flight at once where it answers after --delay")
	f.DurationVar(&d.delay, "delay", 50*time.Millisecond, "how long the slow receiver takes")
	f.StringVar(&d.only, "only", "", "fast, slow or two: that part alone, for profiling")
	f.StringVar(&d.profiles.dir, "profile", "", "directory for CPU profiles of the workers")
	var env settings
	f.Var(&env, "set", "NAME=value for the workers, may be repeated")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		d.t, d.receiver, d.body = t, startReceiver(t), bodySize(t)
		d.harness, d.raw = newHarness(t, d.receiver, env...), newRaw(t, d.receiver)
		fast, slow := d.harness.shops(d.shops, 0), d.harness.shops(d.shops, d.delay)
		for pair := range *pairs {
			t.Logf("pair %d of %d", pair+1, *pairs)
			d.pair(pair, fast, slow)
		}
		d.report()
	}
}

// pair measures everything once, in an order that turns from pair to pair.
func (d *deliverRun) pair(pair int, fast, slow []shop) {
	runs := []func(){}
	if d.only == "" || d.only == "fast" {
		runs = append(runs,
			func() { d.baseline("raw", d.n, d.fast, 0) },
			func() { d.r.add("durable_per_s", d.durable(fast, d.n, d.fast, 1, "durable")) },
			func() { d.r.add("bare_per_s", bare(d.t, d.receiver, d.bareN, 64, d.body)) })
	}
	if d.only == "" || d.only == "slow" {
		runs = append(runs,
			func() { d.baseline("raw_slow", d.slowN, d.wide, d.delay) },
			func() { d.r.add("durable_slow_per_s", d.durable(slow, d.slowN, d.wide, 1, "durable_slow")) })
	}
	if d.only == "" || d.only == "two" {
		runs = append(runs,
			func() { d.r.add("one_worker_per_s", d.durable(slow, d.twoN, d.inFlight, 1, "one_worker")) },
			func() { d.r.add("two_workers_per_s", d.durable(slow, d.twoN, d.inFlight, 2, "two_workers")) })
	}
	for i := range runs {
		if pair%2 == 1 {
			i = len(runs) - 1 - i
		}
		runs[i]()
	}
}

// baseline is raw Asynq: the better of one and four servers.
func (d *deliverRun) baseline(name string, n, inFlight int, delay time.Duration) {
	best := 0.0
	for _, servers := range []int{1, 4} {
		rate, cpu := d.raw.drain(n, servers, inFlight, delay, d.body)
		d.r.add(fmt.Sprintf("%s_%d_servers_per_s", name, servers), rate)
		d.r.add(fmt.Sprintf("%s_%d_servers_cpu_us", name, servers), float64(cpu.Microseconds())/float64(n))
		best = max(best, rate)
	}
	name = map[string]string{"raw": "raw_asynq_per_s", "raw_slow": "raw_asynq_slow_per_s"}[name]
	d.r.add(name, best)
}

// durable is how many deliveries a second fresh workers make, from before the first row is committed until the last
// task is acked.
func (d *deliverRun) durable(shops []shop, n, inFlight, workers int, name string) float64 {
	w := d.harness
	l := w.load(shops, n, maxBatch)
	var names []string
	for i := range workers {
		names = append(names, fmt.Sprintf("worker-%d", i+1))
		w.Start(names[i], workerFor(inFlight))
	}
	w.WaitReady(names...)
	d.receiver.reset()
	profiled := d.profiles.take(d.t, w.Gateway, names...)
	start := time.Now()
	w.commitAll(l)
	d.r.add(name+"_rows_committed_s", time.Since(start).Seconds())
	w.waitDelivered(n)
	took := time.Since(start)
	d.r.add(name+"_most_in_flight", float64(d.receiver.counts().MaxInFlight))
	profiled()
	var cpu time.Duration
	for _, name := range names {
		w.Stop(name)
		cpu += w.Process(name).CPU()
	}
	d.r.add(name+"_worker_cpu_us", float64(cpu.Microseconds())/float64(n))
	w.check(l, start)
	return float64(n) / took.Seconds()
}

func (d *deliverRun) report() {
	r := d.r
	for _, s := range r.series {
		r.median(s.name)
	}
	r.baseline("raw_asynq_per_s")
	r.baseline("raw_asynq_slow_per_s")
	r.atLeast("durable ÷ raw Asynq, receiver at 0 ms", r.ratio("durable_per_s", "raw_asynq_per_s"), 0.75)
	r.atLeast("durable ÷ raw Asynq, receiver at 50 ms, 1,000 in flight",
		r.ratio("durable_slow_per_s", "raw_asynq_slow_per_s"), 0.85)
	r.atLeast("durable ÷ bare client at 64", r.ratio("durable_per_s", "bare_per_s"), 0.20)
	r.atLeast("two workers ÷ one, receiver at 50 ms, 64 in flight each", r.ratio("two_workers_per_s", "one_worker_per_s"),
		1.6)
}
