package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// shops are how many clients make payments at the same time.
const shops = 3

// fleet is a gateway under load.
type fleet struct {
	*gateway.Gateway
	t        *testing.T
	chain    *devnet.Chain
	receiver *testkit.Receiver
	key      string
	url      atomic.Pointer[string] // of the API that takes requests
	made     atomic.Int64
	paid     atomic.Int64
	// expanding is true while an API of v0.1.0 runs on the new schema; stale counts what it says of its plans then.
	expanding atomic.Bool
	stale     atomic.Int64
	stop      chan struct{}
	load      sync.WaitGroup
}

func startChain(t *testing.T) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, c.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// newFleet starts the older version.
func newFleet(t *testing.T, old string) *fleet {
	t.Helper()
	f := &fleet{t: t, chain: startChain(t), receiver: testkit.NewReceiver(t), stop: make(chan struct{})}
	f.Gateway = gateway.New(t, gateway.Options{
		Chain:       gateway.Chain{Name: "geth", RPC: f.chain.URL(), ChainID: devnet.ChainID},
		DatabaseURL: testkit.Postgres(t), Programs: old,
		Env: []string{"WEBHOOK_LANES=2", "API_RATE=100000", "API_BURST=100000", "MAX_OPEN_PAYMENTS=100000"},
	})
	for _, name := range []string{"api", "worker", "scanner"} {
		f.StartFrom(old, name)
	}
	f.WaitReady("api", "worker", "scanner")
	f.WaitScanned()
	m := f.NewMerchant()
	f.key = m.Key
	f.NewEndpoint(m, client.WebhookEndpointCreate{URL: f.receiver.URL + "/hooks"})
	f.url.Store(&f.APIURL)
	return f
}

// sell makes payments until the fleet stops, and pays some of them. Whatever is not made at the first try is an error,
// but for what v0.1.0 itself answers in the moment in which its tables get new columns: its statements read every
// column, and their plans end then. The same request succeeds when it is repeated.
func (f *fleet) sell(shop int) {
	for i := 0; ; i++ {
		select {
		case <-f.stop:
			return
		case <-time.After(60 * time.Millisecond):
		}
		api, err := client.New(client.Options{URL: *f.url.Load(), Key: f.key, HTTPClient: f.Client})
		if err != nil {
			f.t.Error(err)
			return
		}
		amount, order := "1000000000000", fmt.Sprintf("shop-%d-%d", shop, i)
		in := client.PaymentCreate{Chain: f.Chain, Asset: "native", Amount: &amount, OrderID: &order}
		p, err := api.CreatePayment(f.t.Context(), in, client.IdempotencyKey(order))
		for again := 0; err != nil && again < 20 && f.expanding.Load() && strings.Contains(err.Error(), "internal"); again++ {
			f.stale.Add(1)
			p, err = api.CreatePayment(f.t.Context(), in, client.IdempotencyKey(order))
		}
		if err != nil {
			f.t.Errorf("%s: %v", order, err)
			continue
		}
		f.made.Add(1)
		if i%20 == 0 {
			if _, err := f.chain.SendNative(f.t.Context(), f.chain.DemoPayer(), p.Address, big.NewInt(1e12)); err != nil {
				f.t.Errorf("pay %s: %v", order, err)
				continue
			}
			f.paid.Add(1)
		}
	}
}

// more waits until the load has made some more payments.
func (f *fleet) more() {
	f.t.Helper()
	want := f.made.Load() + 60
	testkit.Eventually(f.t, time.Minute, "more payments are made", func() bool { return f.made.Load() >= want })
}

// replace starts a process of this tree beside one of before, lets both work, and stops the older one.
func (f *fleet) replace(role string, env ...string) {
	f.t.Helper()
	f.Start(role+"-new", env...)
	f.WaitReady(role + "-new")
	f.more()
	if role == "api" { // the balancer
		url := "http://" + env[0][len("API_ADDR="):]
		f.url.Store(&url)
		f.more() // so that nobody waits for the older one any more
		f.expanding.Store(false)
	}
	f.Stop(role)
	f.more()
}

// TestRollingUpgrade: the schema is expanded under the older version's processes, which go on; then each of them is
// replaced. No request fails, every event is sent once, every payment that was paid is confirmed.
func TestRollingUpgrade(t *testing.T) {
	old := oldPrograms(t)
	f := newFleet(t, old)
	for shop := range shops {
		f.load.Go(func() { f.sell(shop) })
	}
	defer f.load.Wait()
	stop := sync.OnceFunc(func() { close(f.stop) })
	defer stop()
	f.more()
	f.Upgrade()
	f.expanding.Store(true)
	f.Ctl("migrate", "up")
	f.more()
	f.replace("scanner")
	f.replace("worker")
	f.replace("api", "API_ADDR="+testkit.FreeAddr(t))
	stop()
	f.load.Wait()
	f.settled()
	for _, name := range []string{"api", "worker", "scanner", "api-new", "worker-new", "scanner-new"} {
		log, err := os.ReadFile(f.LogFile(name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(log) {
			plan := name == "api" && bytes.Contains(line, []byte("cached plan must not change"))
			if bytes.Contains(line, []byte(`"level":"ERROR"`)) && !plan {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// settled waits until everything is delivered and confirmed, and counts.
func (f *fleet) settled() {
	f.t.Helper()
	count := func(query string) (n int64) {
		f.t.Helper()
		if err := f.DB.QueryRow(query).Scan(&n); err != nil {
			f.t.Fatal(err)
		}
		return n
	}
	testkit.Eventually(f.t, 2*time.Minute, "what was paid is confirmed", func() bool {
		return count("SELECT count(*) FROM payments WHERE status = 'confirmed'") == f.paid.Load()
	})
	testkit.Eventually(f.t, 2*time.Minute, "everything is delivered", func() bool {
		return count("SELECT count(*) FROM deliveries WHERE state <> 'delivered'") == 0
	})
	times := make(map[string]int)
	for _, r := range f.receiver.All() {
		times[r.ID()]++
	}
	events := count("SELECT count(*) FROM events")
	lost, twice := events-int64(len(times)), 0
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	f.t.Logf("%d payments, %d paid, %d events; lost %d, twice %d; v0.1.0 answered %d requests 500 while columns were added",
		f.made.Load(), f.paid.Load(), events, lost, twice, f.stale.Load())
	if lost != 0 || twice != 0 || count("SELECT count(*) FROM payments") != f.made.Load() {
		f.t.Errorf("%d lost, %d twice, %d payments on record", lost, twice, count("SELECT count(*) FROM payments"))
	}
	if n := count("SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM event_log l WHERE l.event_id = e.id)"); n != 0 {
		f.t.Errorf("%d events have no position", n)
	}
	if n := count(`SELECT count(*) FROM event_heads h WHERE h.last <>
		(SELECT count(*) FROM event_log l WHERE l.merchant_id = h.merchant_id)`); n != 0 {
		f.t.Error("positions have holes")
	}
}
