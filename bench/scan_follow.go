package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// distant is a proxy before a node, at which every request takes so much longer.
func distant(t testkit.TB, node string, delay time.Duration) string {
	t.Helper()
	to, err := url.Parse(node)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			until(r.Context(), time.Now().Add(delay))
			proxy.ServeHTTP(w, r)
		})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// follow mines fast blocks, each with a payment, and returns by how many blocks the record was behind at most. It times
// each block until the webhook that says that its payment was detected.
func (h *scanRun) follow() (lag float64) {
	t := h.t
	g := gateway.New(t, gateway.Options{
		Chain: gateway.Chain{Name: "geth", RPC: h.slow[0], Spare: h.slow[1:], ChainID: devnet.ChainID,
			Token: strings.ToLower(h.chain.Token()), PollInterval: fastPoll.String()},
		Env: append([]string{"WEBHOOK_POLL_INTERVAL=" + pollInterval.String()}, boundless...),
	})
	defer g.StopAll()
	for _, name := range []string{"api", "worker", "scanner"} {
		g.Start(name)
	}
	g.WaitReady("api", "worker")
	g.WaitScanned()
	m := g.NewMerchant()
	payments := h.askFor(g, m, int((h.lasting+*h.warmUp)/fastBlock)+1)
	g.NewEndpoint(m, client.WebhookEndpointCreate{URL: h.receiver.endpoint(0)})
	h.receiver.reset()
	warm := time.Now().Add(*h.warmUp)
	mined := make(map[string]time.Time, len(payments)) // by payment
	next := time.Now()
	for _, p := range payments {
		h.mine(p.Address, amountOf)
		at := time.Now()
		var number uint64
		must(t, g.DB.QueryRowContext(t.Context(), "SELECT number FROM chain_cursors").Scan(&number))
		if at.After(warm) {
			mined[p.ID] = at
			lag = max(lag, float64(h.chain.Head().Number-1-number)) // the block of this moment cannot be there yet
		}
		next = next.Add(fastBlock)
		until(t.Context(), next)
	}
	h.waitRecorded(g, h.chain.Head().Number)
	h.r.add("most_blocks_behind", lag)
	h.time(g, mined)
	return lag
}

// amountOf is the amount of every payment, in base units of the token.
const amountOf = 1000

// week is the longest time for which a payment can be open, in seconds.
const week = 604_800

func (h *scanRun) askFor(g *gateway.Gateway, m gateway.Merchant, n int) []client.Payment {
	all := make([]client.Payment, n)
	api, amount, expires := g.API(m), fmt.Sprint(amountOf), week // the chain's clock runs ahead of the wall's
	inParallel(h.t, n, 16, func(i int) (err error) {
		all[i], err = api.CreatePayment(h.t.Context(),
			client.PaymentCreate{Chain: g.Chain, Asset: "DEMO", Amount: &amount, ExpiresIn: &expires},
			client.IdempotencyKey(fmt.Sprintf("scan-%d", i)))
		return err
	})
	return all
}

// time adds how long it took from each block to the receipt of payment.detected.
func (h *scanRun) time(g *gateway.Gateway, mined map[string]time.Time) {
	t := h.t
	h.receiver.wait(len(mined), time.Minute)
	until(t.Context(), time.Now().Add(time.Second))
	seen, _ := h.receiver.sights()
	rows, err := g.DB.QueryContext(t.Context(), "SELECT id, payment_id FROM events WHERE type = 'payment.detected'")
	must(t, err)
	defer rows.Close()
	var took []float64
	for rows.Next() {
		var event, payment string
		must(t, rows.Scan(&event, &payment))
		at, timed := mined[payment]
		if got, ok := seen[event]; ok && timed {
			took = append(took, float64(got.Sub(at).Microseconds())/1000)
		}
	}
	must(t, rows.Err())
	if len(took) < len(mined)*9/10 {
		t.Fatalf("%d of %d payments were told of", len(took), len(mined))
	}
	h.r.add("block_to_webhook_p50_ms", quantile(took, 0.5))
	h.r.add("block_to_webhook_p99_ms", quantile(took, 0.99))
}

// watchedBlocks is how many blocks are timed with each number of watched addresses.
const watchedBlocks = 100

// watched is what a block costs with many watched addresses, as a part of what it costs with few, and what the many
// take of memory.
func (h *scanRun) watched() (ratio, memory float64) {
	few, small := h.blockCost(h.few)
	many, large := h.blockCost(h.many)
	h.r.add("block_ms_few_watched", few)
	h.r.add("block_ms_many_watched", many)
	h.r.add("scanner_mib_few_watched", small)
	h.r.add("scanner_mib_many_watched", large)
	return many / few, max(large-small, 0.001)
}

// blockCost is how long a scanner takes for a block, from its reading to its commit, and how much memory it has.
func (h *scanRun) blockCost(open int) (ms, mib float64) {
	t := h.t
	g := gateway.New(t, gateway.Options{Env: append([]string{"LOG_LEVEL=info"}, boundless...),
		Chain: gateway.Chain{Name: "geth", RPC: h.chain.URL(), ChainID: devnet.ChainID,
			Token: strings.ToLower(h.chain.Token()), PollInterval: "10ms"}})
	defer g.StopAll()
	g.Start("api")
	g.Start("scanner")
	g.WaitReady("api")
	g.WaitScanned()
	m := g.NewMerchant()
	g.NewEndpoint(m, client.WebhookEndpointCreate{URL: h.receiver.endpoint(0)})
	h.askFor(g, m, 1) // its rows are the pattern of the others
	g.Stop("scanner")
	openPayments(t, g, m.ID, open)
	g.Start("scanner-2")
	h.mine(bareAddress(1), 1)
	h.waitRecorded(g, h.chain.Head().Number)
	before := len(took(t, g.LogFile("scanner-2")))
	for range watchedBlocks {
		h.mine(bareAddress(1), 1)
		h.waitRecorded(g, h.chain.Head().Number)
	}
	all := took(t, g.LogFile("scanner-2"))[before:]
	sum := 0.0
	for _, ms := range all {
		sum += ms
	}
	return sum / float64(max(len(all), 1)), rss(t, g.Process("scanner-2").PID())
}

// openPayments gives a merchant so many open payments.
func openPayments(t testkit.TB, g *gateway.Gateway, merchant string, n int) {
	t.Helper()
	columns := oldColumns(n)
	for _, name := range []string{"status", "closed_at", "watch_until", "confirmed_at", "expires_at", "created_at"} {
		delete(columns["payments"], name)
	}
	for _, table := range []string{"events", "deliveries"} {
		delete(columns, table)
	}
	insertLike(t, g, merchant, n, columns)
}

// took are the milliseconds that a scanner says its blocks took.
func took(t testkit.TB, log string) (all []float64) {
	t.Helper()
	text, err := os.ReadFile(log)
	must(t, err)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var line struct {
			Msg  string
			Took float64 `json:"took_ms"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "block.scanned" {
			all = append(all, line.Took)
		}
	}
	return all
}

// rss is how much memory a process has, in MiB.
func rss(t testkit.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
