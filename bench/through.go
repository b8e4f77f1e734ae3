package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// throughRun is `bench through`.
type throughRun struct {
	t        testkit.TB
	r        *report
	receiver *receiver
	gateway  *gateway.Gateway
	buyer    *buyer

	n, connections, merchants, rate int
	seconds                         time.Duration
	warmUp                          *time.Duration
	profiles                        profiles
}

func through(r *report, args []string) func(testkit.TB) {
	h := &throughRun{r: r}
	f, pairs := r.flags(5)
	f.IntVar(&h.n, "n", 20000, "payments of a run")
	f.IntVar(&h.connections, "connections", 64, "connections to the API")
	f.IntVar(&h.merchants, "merchants", 8, "merchants, each with a key and an endpoint")
	f.IntVar(&h.rate, "rate", 200, "payments a second of the run that times each")
	f.DurationVar(&h.seconds, "for", 10*time.Second, "how long that rate is offered")
	h.warmUp = warmUpFlag(f)
	size := f.Int("raw", 10000, "deliveries of the run that says what raw Asynq and the bare client do a second")
	f.StringVar(&h.profiles.dir, "profile", "", "directory for CPU profiles of api and worker")
	var env settings
	f.Var(&env, "set", "NAME=value for the processes, may be repeated")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		h.t, h.receiver = t, startReceiver(t)
		h.open(env)
		for pair := range *pairs {
			t.Logf("run %d of %d", pair+1, *pairs)
			h.flood()
			h.steady()
		}
		h.gateway.StopAll()
		for _, name := range []string{"api", "worker", "scanner"} {
			r.add(name+"_cpu_us", float64(h.gateway.Process(name).CPU().Microseconds())/float64(h.buyer.next))
		}
		newRaw(t, h.receiver).rates(r, *size, 64, bodySize(t))
		r.atLeast("payments created to payment.created received, per second", r.median("through_per_s"), 2000)
		r.atMost(fmt.Sprintf("request to receipt at %d/s, p99 in ms", h.rate), r.median("through_p99_ms"), 30)
	}
}

// open starts api, worker and scanner on a chain of geth's own code, and makes the merchants.
func (h *throughRun) open(env []string) {
	t := h.t
	h.gateway = gateway.New(t, gateway.Options{
		Chain: startChain(t),
		Env: slices.Concat([]string{fmt.Sprintf("WEBHOOK_LANES=%d", lanes), "WEBHOOK_POLL_INTERVAL=" +
			pollInterval.String()}, boundless, env),
	})
	for _, name := range []string{"api", "worker", "scanner"} {
		h.gateway.Start(name)
	}
	h.gateway.WaitReady("api", "worker")
	h.gateway.WaitScanned()
	h.buyer = newBuyer(t, h.gateway, h.connections)
	for range h.merchants {
		m := h.gateway.NewMerchant()
		h.gateway.NewEndpoint(m, client.WebhookEndpointCreate{URL: h.receiver.endpoint(0)})
		h.buyer.keys = append(h.buyer.keys, m.Key)
	}
}

// flood makes n payments as fast as the connections can.
func (h *throughRun) flood() {
	h.receiver.reset()
	base := h.buyer.take(h.n)
	profiled := h.profiles.take(h.t, h.gateway, "api", "worker")
	start := time.Now()
	inParallel(h.t, h.n, h.connections, func(i int) error { _, err := h.buyer.create(base + i); return err })
	h.r.add("created_per_s", float64(h.n)/time.Since(start).Seconds())
	h.receiver.wait(h.n, 5*time.Minute)
	seen, requests := h.receiver.sights()
	if len(seen) != h.n || requests != h.n {
		h.t.Fatalf("%d payments made %d requests with %d ids", h.n, requests, len(seen))
	}
	var last time.Time
	for _, at := range seen {
		if at.After(last) {
			last = at
		}
	}
	h.r.add("through_per_s", float64(h.n)/last.Sub(start).Seconds())
	h.settle()
	profiled()
}

// steady makes payments at a rate, and times each from the start of its request to the receipt of its event.
func (h *throughRun) steady() {
	h.receiver.reset()
	warm := count(*h.warmUp, h.rate)
	n := warm + count(h.seconds, h.rate)
	base := h.buyer.take(n)
	asked := newStamps() // by payment
	pace(h.t, n, h.rate, func(i int) error {
		start := time.Now()
		id, err := h.buyer.create(base + i)
		if err == nil && i >= warm {
			asked.set(id, start)
		}
		return err
	})
	h.receiver.wait(n, time.Minute)
	seen, _ := h.receiver.sights()
	h.settle()
	events := h.events(asked)
	millis := events.millis(h.t, seen)
	h.r.add("through_p50_ms", quantile(millis, 0.5))
	h.r.add("through_p99_ms", quantile(millis, 0.99))
}

// events turns moments by payment into moments by the id of the payment's one event.
func (h *throughRun) events(byPayment *stamps) *stamps {
	rows, err := h.gateway.DB.QueryContext(h.t.Context(),
		"SELECT id, payment_id FROM events WHERE type = 'payment.created'")
	must(h.t, err)
	defer rows.Close()
	byEvent := newStamps()
	for rows.Next() {
		var id, payment string
		must(h.t, rows.Scan(&id, &payment))
		if at, ok := byPayment.at[payment]; ok {
			byEvent.set(id, at)
		}
	}
	must(h.t, rows.Err())
	if len(byEvent.at) != len(byPayment.at) {
		h.t.Fatalf("%d payments have %d events", len(byPayment.at), len(byEvent.at))
	}
	return byEvent
}

// settle waits until every delivery is recorded and acked.
func (h *throughRun) settle() {
	testkit.Eventually(h.t, time.Minute, "every delivery is recorded", func() bool {
		var pending bool
		err := h.gateway.DB.QueryRowContext(h.t.Context(),
			"SELECT EXISTS (SELECT 1 FROM deliveries WHERE state = 'pending')").Scan(&pending)
		return err == nil && !pending
	})
	waitIdle(h.t, h.gateway.Redis)
}
