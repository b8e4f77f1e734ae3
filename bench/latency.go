package main

import (
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// latencyRun is `bench latency`.
type latencyRun struct {
	t        testkit.TB
	r        *report
	receiver *receiver
	harness  *harness
	raw      *raw
	body     int

	shops, inFlight int
	seconds         time.Duration
	warmUp          *time.Duration
}

// latencyRates are the rates offered, events a second.
var latencyRates = []int{500, 2000}

func latency(r *report, args []string) func(testkit.TB) {
	l := &latencyRun{r: r}
	f, pairs := r.flags(5)
	f.DurationVar(&l.seconds, "for", 8*time.Second, "how long each rate is offered")
	l.warmUp = warmUpFlag(f)
	f.IntVar(&l.shops, "endpoints", 512, "endpoints, each of a merchant of its own")
	f.IntVar(&l.inFlight, "in-flight", 64, "in flight at once, at most")
	n := f.Int("n", 10000, "deliveries of the run that says what raw Asynq and the bare client do a second")
	var env settings
	f.Var(&env, "set", "NAME=value for the worker, may be repeated")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		l.t, l.receiver, l.body = t, startReceiver(t), bodySize(t)
		l.harness, l.raw = newHarness(t, l.receiver, env...), newRaw(t, l.receiver)
		shops := l.harness.shops(l.shops, 0)
		for pair := range *pairs {
			t.Logf("pair %d of %d", pair+1, *pairs)
			for _, rate := range latencyRates {
				runs := []func(){func() { l.baseline(rate) }, func() { l.durable(shops, rate) }}
				runs[pair%2]()
				runs[1-pair%2]()
			}
		}
		l.raw.rates(r, *n, l.inFlight, l.body)
		l.report()
	}
}

// baseline is raw Asynq from enqueue to receipt, the better of one and four servers.
func (l *latencyRun) baseline(rate int) {
	var best [2]float64
	for i, servers := range []int{1, 4} {
		p := l.raw.start(servers, l.inFlight, pollInterval, 0, l.body)
		p.tell("go")
		p.line()
		l.receiver.reset()
		from := newStamps()
		warm := count(*l.warmUp, rate)
		n := warm + count(l.seconds, rate)
		pace(l.t, n, rate, func(i int) error {
			id := models.NewID(models.PrefixEvent, time.Now())
			if i >= warm {
				from.set(id, time.Now())
			}
			return l.raw.enqueue(id)
		})
		l.receiver.wait(n, time.Minute)
		to, _ := l.receiver.sights()
		p.stop()
		millis := from.millis(l.t, to)
		p50, p99 := quantile(millis, 0.5), quantile(millis, 0.99)
		if i == 0 || p50 < best[0] {
			best[0] = p50
		}
		if i == 0 || p99 < best[1] {
			best[1] = p99
		}
	}
	l.r.add(fmt.Sprintf("raw_%d_p50_ms", rate), best[0])
	l.r.add(fmt.Sprintf("raw_%d_p99_ms", rate), best[1])
}

// durable is the gateway, from the commit of an event in a transaction of its own to its receipt.
func (l *latencyRun) durable(shops []shop, rate int) {
	w := l.harness
	warm := count(*l.warmUp, rate)
	n := warm + count(l.seconds, rate)
	events := w.load(shops, n, 1)
	w.Start("worker", workerFor(l.inFlight))
	w.WaitReady("worker")
	l.receiver.reset()
	start := time.Now()
	from, real := w.offer(events, warm, rate)
	w.waitDelivered(n)
	w.Stop("worker")
	w.check(events, start)
	to, _ := l.receiver.sights()
	millis := from.millis(l.t, to)
	l.r.add(fmt.Sprintf("durable_%d_offered_per_s", rate), real)
	l.r.add(fmt.Sprintf("durable_%d_p50_ms", rate), quantile(millis, 0.5))
	l.r.add(fmt.Sprintf("durable_%d_p99_ms", rate), quantile(millis, 0.99))
}

func (l *latencyRun) report() {
	r := l.r
	for _, rate := range latencyRates {
		name := func(what string) string {
			return fmt.Sprintf("%s_%d_%s_ms", what[:len(what)-4], rate, what[len(what)-3:])
		}
		r.baseline(name("raw_p50"))
		ratio := max(r.ratio(name("durable_p50"), name("raw_p50")), r.ratio(name("durable_p99"), name("raw_p99")))
		r.atMost(fmt.Sprintf("p50 at %d/s, ms", rate), r.median(name("durable_p50")), 8)
		r.atMost(fmt.Sprintf("p99 at %d/s, ms", rate), r.median(name("durable_p99")), 25)
		r.atMost(fmt.Sprintf("p50 and p99 ÷ raw Asynq at %d/s, the larger", rate), ratio, 1.7)
	}
}
