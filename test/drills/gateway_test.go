package drills

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// The chains: one that lives, one that stands still, and one of which nobody has heard yet.
const (
	living, quiet, dark = "living", "quiet", "dark"

	livingID, quietID, darkID = devnet.ChainID, 4001, 4002
)

// drill is a gateway with everything that can break, and a Prometheus that watches it.
type drill struct {
	*gateway.Gateway
	*watcher
	t *testing.T

	chain, still *devnet.Chain // of living; of quiet and dark
	trouble      trouble
	mining       atomic.Bool
	receiver     *testkit.Receiver
	deaf         atomic.Bool // the receivers answer 500
	rejecting    atomic.Bool // and 401
	proxy        *stall      // before the Redis of the narrow API
	shop, other  gateway.Merchant
	ends         []gateway.Endpoint // of shop
	end          gateway.Endpoint   // of other
}

// trouble is what the providers do.
type trouble struct {
	away       atomic.Bool // dark's answer nothing
	blocksGone atomic.Bool // living's give no block by its number
	noBalances atomic.Bool // living's give no balances
	lies       atomic.Pointer[[2]string]
}

// answer changes what a provider of the living chain says. Only the liar moves money to another recipient.
func (tr *trouble) answer(liar bool) evmtest.Change {
	topic := func(a string) string { return "0x" + strings.Repeat("0", 24) + strings.ToLower(a[2:]) }
	return func(method string, params, result json.RawMessage) (json.RawMessage, int) {
		byNumber := method == "eth_getBlockByNumber" && !bytes.Contains(params, []byte(`"latest"`)) ||
			method == "eth_getBlockReceipts"
		switch {
		case byNumber && tr.blocksGone.Load():
			return nil, http.StatusTooManyRequests
		case (method == "eth_getBalance" || method == "eth_call") && tr.noBalances.Load():
			return json.RawMessage(`{"code":-32000,"message":"missing trie node"}`), 0
		}
		if lie := tr.lies.Load(); liar && lie != nil {
			result = json.RawMessage(strings.ReplaceAll(string(result), topic(lie[0]), topic(lie[1])))
		}
		return result, 0
	}
}

// as is a provider of the quiet chain under a chain id, which may be away.
func (tr *trouble) as(id int, away *atomic.Bool) evmtest.Change {
	return func(method string, _, result json.RawMessage) (json.RawMessage, int) {
		switch {
		case away != nil && away.Load():
			return nil, http.StatusServiceUnavailable
		case method == "eth_chainId":
			return json.RawMessage(fmt.Sprintf(`"0x%x"`, id)), 0
		}
		return result, 0
	}
}

func startChain(t *testing.T) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (d *drill) mine(c *devnet.Chain, blocks int) {
	d.t.Helper()
	for range blocks {
		if _, err := c.Mine(); err != nil {
			d.t.Error(err)
		}
	}
}

// newDrill starts everything. The living chain has a block every 250 ms while it is mining.
func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{t: t, chain: startChain(t), still: startChain(t), receiver: testkit.NewReceiver(t)}
	d.trouble.away.Store(true)
	d.mine(d.still, 14)
	d.mine(d.chain, 5)
	first := evmtest.NewProxy(t, d.chain.URL(), d.trouble.answer(true)).URL
	second := evmtest.NewProxy(t, d.chain.URL(), d.trouble.answer(false)).URL
	still := evmtest.NewProxy(t, d.still.URL(), d.trouble.as(quietID, nil)).URL
	gone := evmtest.NewProxy(t, d.still.URL(), d.trouble.as(darkID, &d.trouble.away)).URL
	chains := filepath.Join(t.TempDir(), "chains.yaml")
	entry := "- {name: %s, chain_id: %d, rpc_urls: [%s], finality: {depth: 3}, poll_interval: 200ms, block_time: 1s, " +
		"test: true, proofs: off, start_block: 1, tokens: [{symbol: DEMO, contract: %q, decimals: 18}]}\n"
	text := fmt.Sprintf(entry, living, livingID, first+", "+second, d.chain.Token()) +
		fmt.Sprintf(entry, quiet, quietID, still, d.still.Token()) + fmt.Sprintf(entry, dark, darkID, gone, d.still.Token())
	if err := os.WriteFile(chains, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Gateway = gateway.New(t, gateway.Options{Env: []string{"CHAINS_FILE=" + chains, "WEBHOOK_LANES=2",
		"WATCH_INTERVAL=1s", "WEBHOOK_SWEEP_INTERVAL=1s", "WEBHOOK_RETRY_BASE=1s", "WEBHOOK_RETRY_FACTOR=1",
		"WEBHOOK_RETRY_MAX=1s", "WEBHOOK_MAX_ATTEMPTS=200", "WEBHOOK_BREAKER_ATTEMPTS=20", "WEBHOOK_BREAKER_OPEN=5s",
		"WEBHOOK_BREAKER_OPEN_MAX=5s"}})
	d.proxy = newStall(t, d.Redis.Addr)
	d.exec("CREATE ROLE stuck LOGIN SUPERUSER PASSWORD '" + passwordOf(d.DatabaseURL) + "'")
	d.Start("api")
	d.Start("worker")
	d.Start("scanner")
	d.Start("api-stuck", "API_ADDR="+testkit.FreeAddr(t), "DATABASE_URL="+as(d.DatabaseURL, "stuck"))
	d.Start("api-narrow", "API_ADDR="+testkit.FreeAddr(t), "REDIS_URL="+d.proxy.url(), "REDIS_POOL_SIZE=2",
		"DB_MAX_OPEN_CONNS=2", "API_MAX_CONNECTIONS=40")
	d.WaitReady("api", "worker", "api-stuck", "api-narrow")
	d.watcher = watchAlerts(t, d.OpsURL("api"), d.OpsURL("worker"), d.OpsURL("scanner"), d.OpsURL("api-stuck"),
		d.OpsURL("api-narrow"))
	d.keepMining()
	d.makeMerchants()
	return d
}

func (d *drill) keepMining() {
	over, ended := make(chan struct{}), make(chan struct{})
	d.mining.Store(true)
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				if d.mining.Load() {
					d.mine(d.chain, 1)
				}
			}
		}
	}()
	d.t.Cleanup(func() { close(over); <-ended })
}

func (d *drill) makeMerchants() {
	d.t.Helper()
	d.receiver.Script(func(r testkit.Received) testkit.Answer {
		switch {
		case d.rejecting.Load() && strings.HasPrefix(r.Path, "/rejects"):
			return testkit.Answer{Status: http.StatusUnauthorized}
		case d.deaf.Load() && strings.HasPrefix(r.Path, "/deaf"):
			return testkit.Answer{Status: http.StatusInternalServerError}
		}
		return testkit.Answer{}
	})
	d.shop, d.other = d.NewMerchant(), d.NewMerchant()
	for i := range 8 {
		d.ends = append(d.ends, d.NewEndpoint(d.shop, client.WebhookEndpointCreate{
			URL: fmt.Sprintf("%s/rejects/%d", d.receiver.URL, i)}))
	}
	d.end = d.NewEndpoint(d.other, client.WebhookEndpointCreate{URL: d.receiver.URL + "/deaf"})
}

// as is a database URL of another role, with the same password.
func as(dsn, role string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	password, _ := u.User.Password()
	u.User = url.UserPassword(role, password)
	return u.String()
}

// passwordOf is the password of a database URL.
func passwordOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	password, _ := u.User.Password()
	return password
}

// create makes a payment in the token for a merchant.
func (d *drill) create(m gateway.Merchant) client.Payment {
	d.t.Helper()
	amount := "1000"
	var p client.Payment
	var err error
	for range 50 {
		p, err = d.API(m).CreatePayment(context.Background(), client.PaymentCreate{Chain: living, Asset: "DEMO",
			Amount: &amount})
		if err == nil {
			return p
		}
		time.Sleep(200 * time.Millisecond)
	}
	d.t.Error(err)
	return p
}

func (d *drill) pay(address string) {
	d.t.Helper()
	if _, err := d.chain.SendToken(context.Background(), d.chain.DemoPayer(), address, thousand); err != nil {
		d.t.Error(err)
	}
}

func (d *drill) exec(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.DB.ExecContext(context.Background(), statement, args...); err != nil {
		d.t.Errorf("%s: %v", statement, err)
	}
}

// waitSQL waits until a query counts something.
func (d *drill) waitSQL(what, query string, args ...any) {
	d.t.Helper()
	d.until(patience, what, func() bool {
		var n int
		return d.DB.QueryRow(query, args...).Scan(&n) == nil && n > 0
	})
}

// text is the one value of a query.
func (d *drill) text(query string, args ...any) string {
	d.t.Helper()
	var s sql.NullString
	if err := d.DB.QueryRow(query, args...).Scan(&s); err != nil {
		d.t.Errorf("%s: %v", query, err)
	}
	return s.String
}

// apiURL is where a further API listens, as it logs itself.
func (d *drill) apiURL(name string) string {
	d.t.Helper()
	log, err := os.ReadFile(d.LogFile(name))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var l struct{ Listener, Addr string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Listener == "API listener" {
			return "http://" + l.Addr
		}
	}
	d.t.Fatalf("%s does not say where it listens", name)
	return ""
}

// stall is a TCP proxy that can hold everything up.
type stall struct {
	listener net.Listener
	held     atomic.Bool
}

func newStall(t *testing.T, to string) *stall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stall{listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go s.pass(in, out)
			go s.pass(out, in)
		}
	}()
	return s
}

func (s *stall) url() string { return "redis://" + s.listener.Addr().String() + "/0" }

func (s *stall) pass(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for s.held.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// many makes n requests at once, as a merchant or with any key, and drops the answers.
func many(n int, from string, request func(c *http.Client) (*http.Request, error)) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext,
		MaxIdleConnsPerHost: n},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	done := make(chan struct{})
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			req, err := request(c)
			if err != nil {
				return
			}
			if res, err := c.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}()
	}
	for range n {
		<-done
	}
}
