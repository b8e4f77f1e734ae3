package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// apiRun is `bench api`.
type apiRun struct {
	t         testkit.TB
	r         *report
	few, many *counter
	bare      *bareWriter

	n, connections, fewRows, manyRows, rate, listRate int
	seconds                                           time.Duration
	warmUp                                            *time.Duration
	profiles                                          profiles
}

// counter is a gateway with a database of its own, in which a merchant has many payments or few.
type counter struct {
	name     string
	gateway  *gateway.Gateway
	merchant gateway.Merchant
	endpoint gateway.Endpoint
	buyer    *buyer
	old      int
	pages    map[string]func() string
}

func api(r *report, args []string) func(testkit.TB) {
	a := &apiRun{r: r}
	f, pairs := r.flags(5)
	f.IntVar(&a.n, "n", 10000, "payments of a run that measures how many can be created a second")
	f.IntVar(&a.connections, "connections", 64, "connections to the API, and to Postgres for the bare loop")
	f.IntVar(&a.fewRows, "few", 10_000, "payments that the merchant has in the one database")
	f.IntVar(&a.manyRows, "many", 1_000_000, "payments that it has in the other")
	f.IntVar(&a.rate, "rate", 200, "payments a second of a run that times each")
	f.IntVar(&a.listRate, "list-rate", 100, "pages a second of a run that times each")
	f.DurationVar(&a.seconds, "for", 10*time.Second, "how long these rates are offered")
	a.warmUp = warmUpFlag(f)
	size := f.Int("raw", 10000, "deliveries of the run that says what raw Asynq and the bare client do a second")
	f.StringVar(&a.profiles.dir, "profile", "", "directory for CPU profiles of the API")
	var env settings
	f.Var(&env, "set", "NAME=value for the processes, may be repeated")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		a.t = t
		a.open(env)
		for pair := range *pairs {
			t.Logf("pair %d of %d", pair+1, *pairs)
			a.pair(pair)
		}
		newRaw(t, startReceiver(t)).rates(r, *size, 64, bodySize(t))
		a.report()
	}
}

// open makes two gateways on one Postgres server and one chain. No worker runs: deliveries wait.
func (a *apiRun) open(env []string) {
	t := a.t
	postgres := testkit.PrivatePostgres(t, testkit.PostgresOptions{Durable: true,
		Settings: map[string]string{"max_connections": "300"}})
	chain := startChain(t)
	open := func(name string, old int) *counter {
		dsn, err := postgres.NewDatabase(t.Context())
		must(t, err)
		h := gateway.New(t, gateway.Options{Chain: chain, DatabaseURL: dsn, Env: slices.Concat(boundless, env)})
		h.Start("api")
		h.Start("scanner")
		h.WaitReady("api")
		h.WaitScanned()
		c := &counter{name: name, gateway: h, merchant: h.NewMerchant(), buyer: newBuyer(t, h, a.connections), old: old}
		c.endpoint = h.NewEndpoint(c.merchant, client.WebhookEndpointCreate{URL: "http://127.0.0.1:80/hooks"}) // never called
		c.buyer.keys = []string{c.merchant.Key}
		_, err = c.buyer.create(c.buyer.take(1))
		must(t, err)
		t.Logf("%d payments for the database of %s", old, name)
		age(t, h, c.merchant.ID, old)
		c.listed()
		return c
	}
	a.few, a.many = open("few", a.fewRows), open("many", a.manyRows)
	other := a.few.gateway.NewMerchant()
	a.few.gateway.NewEndpoint(other, client.WebhookEndpointCreate{URL: "http://127.0.0.1:80/hooks"})
	b := newBuyer(t, a.few.gateway, 1)
	b.keys = []string{other.Key}
	_, err := b.create(0)
	must(t, err)
	a.bare = newBareWriter(t, a.few.gateway, other.ID, a.connections)
}

// pair measures everything once, in an order that turns from pair to pair.
func (a *apiRun) pair(pair int) {
	runs := []func(){
		a.created,
		func() { a.r.add("bare_pgx_per_s", a.bare.perSecond(a.n)) },
		func() { a.timeCreation(a.few) },
		func() { a.timeCreation(a.many) },
		func() { a.timePages(a.few) },
		func() { a.timePages(a.many) },
	}
	for i := range runs {
		if pair%2 == 1 {
			i = len(runs) - 1 - i
		}
		runs[i]()
	}
}

// created is how many payments a second the API makes.
func (a *apiRun) created() {
	b := a.few.buyer
	base := b.take(a.n)
	profiled := a.profiles.take(a.t, a.few.gateway, "api")
	start := time.Now()
	inParallel(a.t, a.n, a.connections, func(i int) error { _, err := b.create(base + i); return err })
	a.r.add("created_per_s", float64(a.n)/time.Since(start).Seconds())
	profiled()
}

// timeCreation offers payments at a rate, and times each.
func (a *apiRun) timeCreation(c *counter) {
	warm := count(*a.warmUp, a.rate)
	n := warm + count(a.seconds, a.rate)
	base := c.buyer.take(n)
	millis := make([]float64, n)
	pace(a.t, n, a.rate, func(i int) error {
		start := time.Now()
		_, err := c.buyer.create(base + i)
		millis[i] = millisSince(start)
		return err
	})
	a.r.add("create_"+c.name+"_p50_ms", quantile(millis[warm:], 0.5))
	a.r.add("create_"+c.name+"_p99_ms", quantile(millis[warm:], 0.99))
}

// timePages offers pages of every kind at a rate, and times each.
func (a *apiRun) timePages(c *counter) {
	var kinds []string
	for kind := range c.pages {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	warm := count(*a.warmUp, a.listRate)
	n := warm + count(a.seconds, a.listRate)
	millis := make([]float64, n)
	pace(a.t, n, a.listRate, func(i int) error {
		var page struct {
			Data []struct{} `json:"data"`
		}
		kind := kinds[i%len(kinds)]
		path := c.pages[kind]()
		start := time.Now()
		err := c.buyer.call(c.merchant.Key, http.MethodGet, path, "", nil, http.StatusOK, &page)
		millis[i] = millisSince(start)
		if err == nil && len(page.Data) == 0 {
			err = fmt.Errorf("%s is empty", path)
		}
		return err
	})
	a.r.add("list_"+c.name+"_p50_ms", quantile(millis[warm:], 0.5))
	a.r.add("list_"+c.name+"_p99_ms", quantile(millis[warm:], 0.99))
	for k, kind := range kinds {
		var own []float64
		for i := warm; i < n; i++ {
			if i%len(kinds) == k {
				own = append(own, millis[i])
			}
		}
		a.r.add("list_"+c.name+"_"+kind+"_p50_ms", quantile(own, 0.5))
	}
}

// listed fills the kinds of pages: each filter, a page in the middle, and kinds of rows of which there are few.
func (c *counter) listed() {
	anyOld := func() int { return 1 + rand.IntN(c.old) }
	monthAgo := time.Now().UTC().Add(-31 * 24 * time.Hour)
	middle := "&created_after=" + monthAgo.Format(time.RFC3339) + "&created_before=" +
		monthAgo.Add(15*24*time.Hour).Format(time.RFC3339)
	fixed := map[string]string{
		"payments":                "payments?limit=50",
		"payments_middle":         "payments?limit=50" + middle,
		"payments_expired":        "payments?limit=50&status=expired",
		"payments_of_chain":       "payments?limit=50&chain=" + c.gateway.Chain,
		"events":                  "events?limit=50",
		"events_of_rare_type":     "events?limit=50&type=payment.reorged",
		"events_from_the_first":   "events?limit=50&after=",
		"deliveries":              "deliveries?limit=50",
		"deliveries_middle":       "deliveries?limit=50" + middle,
		"deliveries_of_endpoint":  "deliveries?limit=50&endpoint_id=" + c.endpoint.ID,
		"deliveries_dead":         "deliveries?limit=50&state=dead",
		"deliveries_of_rare_type": "deliveries?limit=50&event_type=payment.reorged",
	}
	c.pages = map[string]func() string{
		"payments_of_order":   func() string { return fmt.Sprintf("/api/v1/payments?order_id=old-%d", anyOld()) },
		"events_of_payment":   func() string { return fmt.Sprintf("/api/v1/events?payment_id=pay_%026d", anyOld()) },
		"deliveries_of_event": func() string { return fmt.Sprintf("/api/v1/deliveries?event_id=evt_%026d", anyOld()) },
	}
	for kind, path := range fixed {
		c.pages[kind] = func() string { return "/api/v1/" + path }
	}
	var first struct {
		Next string `json:"next_cursor"`
	}
	must(c.buyer.t, c.buyer.call(c.merchant.Key, http.MethodGet, "/api/v1/payments?limit=50"+middle, "", nil,
		http.StatusOK, &first))
	c.pages["payments_by_cursor"] = func() string {
		return "/api/v1/payments?limit=50&cursor=" + url.QueryEscape(first.Next)
	}
}

func (a *apiRun) report() {
	r := a.r
	for _, s := range r.series {
		r.median(s.name)
	}
	r.baseline("bare_pgx_per_s")
	for kind := range a.many.pages {
		r.Results["list_"+kind+"_many_to_few"] = round(r.ratio("list_many_"+kind+"_p50_ms", "list_few_"+kind+"_p50_ms"))
	}
	r.atLeast(fmt.Sprintf("payments created over REST ÷ a bare pgx loop, %d connections", a.connections),
		r.ratio("created_per_s", "bare_pgx_per_s"), 0.5)
	for _, what := range []string{"create", "list"} {
		r.atMost(fmt.Sprintf("%s p99 at %d payments ÷ at %d", what, a.manyRows, a.fewRows),
			r.ratio(what+"_many_p99_ms", what+"_few_p99_ms"), 1.3)
	}
}

func millisSince(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }
