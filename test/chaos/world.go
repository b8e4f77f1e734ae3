package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

const (
	merchants            = 4
	endpointsPerMerchant = 2
	lanes                = 4
	tick                 = 50 * time.Millisecond // how often what is down is looked for
)

// settings of the gateway: retries and breakers that recover within seconds, so that a run is short, and limits out of the
// way. Everything else is as it ships.
var environment = []string{
	"LOG_LEVEL=info", fmt.Sprintf("WEBHOOK_LANES=%d", lanes), "WEBHOOK_CONCURRENCY=96", "WEBHOOK_TIMEOUT=5s", "WEBHOOK_MAX_ATTEMPTS=200",
	"WEBHOOK_RETRY_BASE=500ms", "WEBHOOK_RETRY_FACTOR=1.5", "WEBHOOK_RETRY_MAX=4s", "WEBHOOK_BREAKER_OPEN=1s", "WEBHOOK_BREAKER_OPEN_MAX=4s",
	"WEBHOOK_SLOW_ABOVE=400ms", "API_RATE=1000000", "API_BURST=1000000", "MAX_OPEN_PAYMENTS=1000000",
}

// processes are those of the house.
var processes = append([]string{"scanner", "api"}, workers...)

// merchant is a merchant of the house with its endpoints.
type merchant struct {
	gateway.Merchant
	endpoints []string // by id
}

// world is the house with everything that can go wrong around it.
type world struct {
	*gateway.House
	t         testkit.TB
	receiver  *receiver
	traps     traps
	redis     map[string]*proxy // by process
	postgres  map[string]*proxy
	tasks     map[string]*tasks // of workers
	merchants []merchant
	endpoints []string
	load      *load
	strikes   []Strike
	moods     sync.WaitGroup       // moods of the receiver that end later
	down      map[string]time.Time // when to start a process again
	revived   int                  // processes that ended by themselves
}

func newWorld(t testkit.TB, p Plan) *world {
	t.Helper()
	w := &world{t: t, redis: make(map[string]*proxy), postgres: make(map[string]*proxy), tasks: make(map[string]*tasks), down: make(map[string]time.Time)}
	t.Cleanup(func() { // after the processes are stopped
		for _, proxies := range []map[string]*proxy{w.redis, w.postgres} {
			everywhere(proxies, (*proxy).close)
		}
	})
	w.receiver = newReceiver(t, p.Seed, &w.traps, w.sender)
	w.House = gateway.New(t, gateway.Options{Chain: startChain(t), Env: environment})
	w.Client = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: makers, MaxConnsPerHost: makers}}
	t.Cleanup(w.Client.CloseIdleConnections)
	database, err := url.Parse(w.DatabaseURL)
	if err != nil {
		t.Fatal("the database URL does not parse")
	}
	server := database.Host
	for _, name := range processes {
		taken := newTasks()
		w.tasks[name] = taken
		w.redis[name] = newProxy(t, w.Redis.Addr, func() wire { return newRedisWire(&w.traps, taken, name) })
		w.postgres[name] = newProxy(t, server, func() wire { return newPostgresWire(&w.traps, name) })
		database.Host = w.postgres[name].addr
		w.Start(name, "DATABASE_URL="+database.String(), "REDIS_URL=redis://"+w.redis[name].addr+"/0")
	}
	w.WaitScanned()
	w.WaitReady(processes...)
	for range merchants {
		m := merchant{Merchant: w.NewMerchant()}
		for range endpointsPerMerchant {
			name := fmt.Sprintf("endpoint-%d", len(w.endpoints)+1)
			e := w.NewEndpoint(m.Merchant, client.WebhookEndpointCreate{URL: w.receiver.url + name})
			w.receiver.Know(name, e.Secret)
			m.endpoints = append(m.endpoints, name)
			w.endpoints = append(w.endpoints, name)
		}
		w.merchants = append(w.merchants, m)
	}
	// One endpoint takes batches.
	if _, err := w.DB.Exec("UPDATE webhook_endpoints SET batch_max_events = 10, batch_max_wait_ms = 200 WHERE url LIKE '%/endpoint-1'"); err != nil {
		t.Fatal(err)
	}
	w.load = newLoad(w, p.Events)
	return w
}

// startChain runs the chain whose blocks the API wants to see before it makes payments. Nobody pays on it.
func startChain(t testkit.TB) gateway.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, c.Close()); err != nil {
			t.Error(err)
		}
	})
	return gateway.Chain{Name: "geth", RPC: c.URL(), ChainID: devnet.ChainID, PollInterval: "1s"}
}

// sender finds the worker that has the delivery of a request in work. The name of an endpoint ends its URL.
func (w *world) sender(webhookID, endpoint string) string {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	rows, err := w.DB.QueryContext(ctx, `SELECT d.id FROM deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
		WHERE e.url = $1 AND (d.event_id = $2 OR d.event_id IS NULL AND d.batch_id = $2)`, w.receiver.url+endpoint, webhookID)
	if err != nil {
		return ""
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if rows.Scan(&id) != nil {
			return ""
		}
		for _, name := range workers {
			if w.tasks[name].Has(id) {
				return name
			}
		}
	}
	return ""
}

// shoot kills a process without waiting for its end, from whatever goroutine.
func (w *world) shoot(name string) { _ = w.Process(name).Signal(syscall.SIGKILL) } // it may have ended

// buried ends the books of a process that was shot, and starts it again later.
func (w *world) buried(name string, back time.Duration) *Work {
	w.Kill(name)
	w.down[name] = time.Now().Add(back)
	return w.tasks[name].Close()
}

// inWork is what all workers have in work.
func (w *world) inWork() *Work {
	all := &Work{}
	for _, name := range workers {
		one := w.tasks[name].Work()
		all.Held, all.Active = append(all.Held, one.Held...), append(all.Active, one.Active...)
	}
	return all
}

// wait waits, and meanwhile starts again what is down, whoever ended it.
func (w *world) wait(d time.Duration, until <-chan struct{}) bool {
	for deadline := time.Now().Add(d); ; {
		w.keep()
		left := time.Until(deadline)
		if left <= 0 || w.t.Context().Err() != nil {
			return false
		}
		timer := time.NewTimer(min(left, tick))
		select {
		case <-until:
			timer.Stop()
			return true
		case <-timer.C:
		}
	}
}

// keep does what a supervisor does.
func (w *world) keep() {
	for _, name := range processes {
		back, down := w.down[name]
		if down {
			if time.Now().After(back) {
				delete(w.down, name)
				w.Restart(name)
			}
			continue
		}
		select {
		case <-w.Process(name).Done():
			w.t.Logf("%s ended by itself with %d", name, w.Process(name).ExitCode())
			w.revived++
			w.buried(name, 500*time.Millisecond)
		default:
		}
	}
}

// everywhere does something at the proxies of one kind.
func everywhere(proxies map[string]*proxy, f func(*proxy)) {
	for _, p := range proxies {
		f(p)
	}
}

// some is a part of the endpoints, chosen by a number.
func (w *world) some(n int) []string {
	return slices.DeleteFunc(slices.Clone(w.endpoints), func(name string) bool { return (len(name)+int(name[len(name)-1])+n)%3 == 0 })
}
