package test

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// roles are the processes of a whole gateway.
var roles = []string{"api", "worker", "scanner"}

// poolers are a database behind a real PgBouncer in each of its modes.
type poolers struct {
	*gateway.Gateway
	modes map[string]*testkit.PgBouncer
}

func newPoolers(t *testing.T, c gateway.Chain) *poolers {
	t.Helper()
	p := &poolers{modes: make(map[string]*testkit.PgBouncer)}
	p.Gateway = gateway.New(t, gateway.Options{Chain: c, DatabaseURL: testkit.Postgres(t),
		Env: []string{"WEBHOOK_LANES=2"}})
	for _, mode := range []string{"session", "transaction", "statement"} {
		settings := map[string]string{"pool_mode": mode}
		if mode == "transaction" { // far fewer than clients, so that they share
			settings["default_pool_size"] = "6"
		}
		p.modes[mode] = testkit.StartPgBouncer(t, p.DatabaseURL, settings)
	}
	return p
}

// url is the database through a pooler; execMode and whatever else may follow are added to it.
func (p *poolers) url(mode, options string) string {
	url := p.modes[mode].URL
	if options != "" {
		url += "&" + options
	}
	return url
}

// TestLineThroughPoolers is the whole line through PgBouncer, in every way that docs/postgres.md names: migrations,
// ctripctl, a payment that is made, paid and confirmed, its webhooks, one that is sent again, and a replay.
func TestLineThroughPoolers(t *testing.T) {
	c := startDevnet(t)
	p := newPoolers(t, gethNode(c, 2))
	h := &fixture{t: t, Gateway: p.Gateway, receiver: testkit.NewReceiver(t)}
	for i, way := range []struct{ mode, options string }{
		{"session", ""},
		{"session", "default_query_exec_mode=describe_exec"},
		{"transaction", "default_query_exec_mode=cache_describe"},
		{"transaction", "default_query_exec_mode=exec"},
		{"transaction", "default_query_exec_mode=simple_protocol"},
	} {
		t.Run(way.mode+" "+way.options, func(t *testing.T) {
			h.t = t
			env := "DATABASE_URL=" + p.url(way.mode, way.options)
			if _, err := p.TryCtlWith([]string{env}, "migrate", "up"); err != nil {
				t.Fatal(err)
			}
			if out, err := p.TryCtlWith([]string{env}, "merchant", "list"); err != nil {
				t.Fatalf("%s%v", out, err)
			}
			for _, role := range roles {
				h.Start(role, env)
			}
			h.WaitReady(roles...)
			if i == 0 {
				h.merchant = h.NewMerchant()
				e := h.NewEndpoint(h.merchant, client.WebhookEndpointCreate{URL: h.receiver.URL + "/hooks"})
				h.endpoint, h.secret = e.ID, e.Secret
				h.api = h.API(h.merchant)
			}
			pay := h.create(t.Context(), fmt.Sprintf("pooled-%d", i), "native", "1000000000000")
			if _, err := c.SendNative(t.Context(), c.DemoPayer(), pay.Address, big.NewInt(1e12)); err != nil {
				t.Fatal(err)
			}
			h.expectLine(pay)
			h.sendAgain(pay)
			for _, role := range roles {
				h.Stop(role)
			}
		})
	}
	h.t = t
	h.holdsEverything()
}

// sendAgain sends the events of a payment once more, one by itself and all of them by a replay.
func (h *fixture) sendAgain(pay client.Payment) {
	h.t.Helper()
	of := func(number int) func(testkit.Received) bool {
		return func(r testkit.Received) bool {
			return r.Header.Get("webhook-attempt") == fmt.Sprint(number) && bytes.Contains(r.Body, []byte(pay.ID)) &&
				r.Type() == "payment.confirmed"
		}
	}
	var id string
	if err := h.DB.QueryRow(`SELECT d.id FROM deliveries d JOIN events e ON e.id = d.event_id
		WHERE e.payment_id = $1 AND e.type = 'payment.confirmed'`, pay.ID).Scan(&id); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.api.Redeliver(h.t.Context(), id); err != nil {
		h.t.Fatal(err)
	}
	h.receiver.WaitFor(h.t, of(2), 30*time.Second)
	confirmed := client.EventType("payment.confirmed")
	replay := client.ReplayCreate{EventType: &confirmed}
	if _, err := h.api.ReplayWebhookEndpoint(h.t.Context(), h.endpoint, replay); err != nil {
		h.t.Fatal(err)
	}
	h.receiver.WaitFor(h.t, of(3), 30*time.Second)
}

// TestPoolersRefused: what cannot work does not start, and says what to set.
func TestPoolersRefused(t *testing.T) {
	p := newPoolers(t, gateway.Chain{})
	const prepared, statement = "default_query_exec_mode=cache_describe", "pool_mode=transaction"
	cases := []struct{ mode, options, says string }{
		{"transaction", "", prepared},
		{"transaction", "default_query_exec_mode=cache_statement", prepared},
		{"transaction", "default_query_exec_mode=describe_exec", "use cache_describe"},
		{"transaction", "search_path=public", "ALTER ROLE"},
		{"session", "options=-c%20statement_timeout%3D5s", "ALTER ROLE"},
		{"session", "statement_cache_capacity=0", "default_query_exec_mode=exec"},
		{"transaction", "default_query_exec_mode=cache_describe&description_cache_capacity=0", "default_query_exec_mode=exec"},
	}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		cases = append(cases, struct{ mode, options, says string }{"statement", "default_query_exec_mode=" + mode, statement})
	}
	for i, c := range cases {
		env := "DATABASE_URL=" + p.url(c.mode, c.options)
		out, err := p.TryCtlWith([]string{env}, "merchant", "list")
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %q: ctripctl says %s%v", c.mode, c.options, out, err)
		}
		name := fmt.Sprintf("%s-%d", roles[i%len(roles)], i)
		p.Start(name, env)
		select {
		case <-p.Process(name).Done():
		case <-time.After(30 * time.Second):
			t.Errorf("%s %q: it runs", c.mode, c.options)
		}
		code := p.Process(name).ExitCode()
		p.Kill(name)
		if log := lines(t, p.LogFile(name)); code <= 0 || !bytes.Contains(log, []byte(c.says)) {
			t.Errorf("%s %q: it ended with %d and says\n%s", c.mode, c.options, code, log)
		}
	}
	// Migrations may go past the pooler.
	env := []string{"DATABASE_URL=" + p.url("transaction", ""), "DATABASE_MIGRATE_URL=" + p.DatabaseURL}
	if out, err := p.TryCtlWith(env, "migrate", "up"); err != nil {
		t.Errorf("%s%v", out, err)
	}
}

// TestPoolerChangedUnderProcesses: a pooler whose mode is changed to one in which DATABASE_URL cannot work makes
// processes unready that run, and their log says what to set. They go on when it is changed back.
func TestPoolerChangedUnderProcesses(t *testing.T) {
	h := gateway.New(t, gateway.Options{DatabaseURL: testkit.Postgres(t)})
	pooler := testkit.StartPgBouncer(t, h.DatabaseURL, map[string]string{"pool_mode": "session"})
	h.Start("worker", "DATABASE_URL="+pooler.URL)
	h.WaitReady("worker")
	pooler.Reload(t, map[string]string{"pool_mode": "statement"})
	testkit.Eventually(t, time.Minute, "the log says what to set", func() bool {
		return bytes.Contains(lines(t, h.LogFile("worker")), []byte("pool_mode=transaction"))
	})
	testkit.Eventually(t, 30*time.Second, "it is not ready", func() bool { return readiness(h, "worker") == 503 })
	pooler.Reload(t, map[string]string{"pool_mode": "session"})
	h.WaitReady("worker")
}

// readiness is what a process answers when it is asked whether it is ready, 0 where it does not answer.
func readiness(h *gateway.Gateway, name string) int {
	res, err := h.Client.Get(h.OpsURL(name) + "/readyz")
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
