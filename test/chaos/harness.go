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

// settings of the gateway: retries and breakers that recover within seconds, so that a run is short, and limits out of
// the way. Everything else is as it ships.
var environment = []string{
	"LOG_LEVEL=info", fmt.Sprintf("WEBHOOK_LANES=%d", lanes), "WEBHOOK_CONCURRENCY=96", "WEBHOOK_TIMEOUT=5s",
	"WEBHOOK_MAX_ATTEMPTS=200", "WEBHOOK_RETRY_BASE=500ms", "WEBHOOK_RETRY_FACTOR=1.5", "WEBHOOK_RETRY_MAX=4s",
	"WEBHOOK_BREAKER_OPEN=1s", "WEBHOOK_BREAKER_OPEN_MAX=4s",
	"WEBHOOK_SLOW_ABOVE=400ms", "API_RATE=1000000", "API_BURST=1000000", "MAX_OPEN_PAYMENTS=1000000",
}

// processes are those of the gateway.
var processes = append([]string{"scanner", "api"}, workers...)

// merchant is a merchant with its endpoints.
type merchant struct {
	gateway.Merchant
	endpoints []string // by id
}

// harness is a gateway with everything that can go wrong around it.
type harness struct {
	*gateway.Gateway
	t          testkit.TB
	receiver   *receiver
	points     breakpoints
	redis      map[string]*proxy // by process
	postgres   map[string]*proxy
	tasks      map[string]*tasks // of workers
	merchants  []merchant
	endpoints  []string
	load       *load
	injections []Injection
	behaviours sync.WaitGroup       // of the receiver, which end by themselves
	down       map[string]time.Time // when to start a process again
	restarted  int                  // processes that ended by themselves
}

func newHarness(t testkit.TB, p Plan) *harness {
	t.Helper()
	h := &harness{t: t, redis: make(map[string]*proxy), postgres: make(map[string]*proxy), tasks: make(map[string]*tasks),
		down: make(map[string]time.Time)}
	t.Cleanup(func() { // after the processes are stopped
		for _, proxies := range []map[string]*proxy{h.redis, h.postgres} {
			everywhere(proxies, (*proxy).close)
		}
	})
	h.receiver = newReceiver(t, p.Seed, &h.points, h.sender)
	h.Gateway = gateway.New(t, gateway.Options{Chain: startChain(t), Env: environment})
	transport := &http.Transport{MaxIdleConnsPerHost: makers, MaxConnsPerHost: makers}
	h.Client = &http.Client{Timeout: 15 * time.Second, Transport: transport}
	t.Cleanup(h.Client.CloseIdleConnections)
	database, err := url.Parse(h.DatabaseURL)
	if err != nil {
		t.Fatal("the database URL does not parse")
	}
	server := database.Host
	for _, name := range processes {
		taken := newTasks()
		h.tasks[name] = taken
		h.redis[name] = newProxy(t, h.Redis.Addr, func() wire { return newRedisWire(&h.points, taken, name) })
		h.postgres[name] = newProxy(t, server, func() wire { return newPostgresWire(&h.points, name) })
		database.Host = h.postgres[name].addr
		h.Start(name, "DATABASE_URL="+database.String(), "REDIS_URL=redis://"+h.redis[name].addr+"/0")
	}
	h.WaitScanned()
	h.WaitReady(processes...)
	for range merchants {
		m := merchant{Merchant: h.NewMerchant()}
		for range endpointsPerMerchant {
			name := fmt.Sprintf("endpoint-%d", len(h.endpoints)+1)
			e := h.NewEndpoint(m.Merchant, client.WebhookEndpointCreate{URL: h.receiver.url + name})
			h.receiver.Know(name, e.Secret)
			m.endpoints = append(m.endpoints, name)
			h.endpoints = append(h.endpoints, name)
		}
		h.merchants = append(h.merchants, m)
	}
	// One endpoint takes batches.
	if _, err := h.DB.Exec(
		"UPDATE webhook_endpoints SET batch_max_events = 10, batch_max_wait_ms = 200 WHERE url LIKE '%/endpoint-1'"); err != nil {
		t.Fatal(err)
	}
	h.load = newLoad(h, p.Events)
	return h
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
func (h *harness) sender(webhookID, endpoint string) string {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
	defer cancel()
	rows, err := h.DB.QueryContext(ctx, `SELECT d.id FROM deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
		WHERE e.url = $1 AND (d.event_id = $2 OR d.event_id IS NULL AND d.batch_id = $2)`, h.receiver.url+endpoint, webhookID)
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
			if h.tasks[name].Has(id) {
				return name
			}
		}
	}
	return ""
}

// signalKill sends SIGKILL to a process without waiting for its end, from whatever goroutine.
func (h *harness) signalKill(name string) { _ = h.Process(name).Signal(syscall.SIGKILL) } // it may have ended

// restartLater starts a process that was killed again after a while, and returns what it had in work.
func (h *harness) restartLater(name string, back time.Duration) *Work {
	h.Kill(name)
	h.down[name] = time.Now().Add(back)
	return h.tasks[name].Close()
}

// inWork is what all workers have in work.
func (h *harness) inWork() *Work {
	all := &Work{}
	for _, name := range workers {
		one := h.tasks[name].Work()
		all.Held, all.Active = append(all.Held, one.Held...), append(all.Active, one.Active...)
	}
	return all
}

// wait waits, and meanwhile starts again what is down, whoever ended it.
func (h *harness) wait(d time.Duration, until <-chan struct{}) bool {
	for deadline := time.Now().Add(d); ; {
		h.supervise()
		left := time.Until(deadline)
		if left <= 0 || h.t.Context().Err() != nil {
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

// supervise starts again what has ended, as a supervisor does.
func (h *harness) supervise() {
	for _, name := range processes {
		back, down := h.down[name]
		if down {
			if time.Now().After(back) {
				delete(h.down, name)
				h.Restart(name)
			}
			continue
		}
		select {
		case <-h.Process(name).Done():
			h.t.Logf("%s ended by itself with %d", name, h.Process(name).ExitCode())
			h.restarted++
			h.restartLater(name, 500*time.Millisecond)
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
func (h *harness) some(n int) []string {
	return slices.DeleteFunc(slices.Clone(h.endpoints),
		func(name string) bool { return (len(name)+int(name[len(name)-1])+n)%3 == 0 })
}
