package test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// binDir is where the binaries of this run are.
var binDir string

// binaries builds what is shipped, once.
var binaries = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", binDir+"/", "./cmd/api", "./cmd/worker", "./cmd/scanner", "./cmd/ctripctl")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ctrip-test-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// node is a chain that a house can follow.
type node struct {
	name, rpc    string
	chainID      int
	token        string // contract, "" for none
	depth        int
	pollInterval string
}

// house is a whole gateway of processes, with one merchant that has one endpoint.
type house struct {
	t        *testing.T
	bin      string
	env      []string
	apiURL   string
	opsURL   string
	db       *sql.DB
	redis    *testkit.RedisServer
	receiver *testkit.Receiver
	key      string
	secret   webhook.Secret
	chain    string
	client   *http.Client

	mu    sync.Mutex
	procs map[string]*proc
}

// proc is one running binary.
type proc struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// newHouse sets everything up and starts api, worker and scanner.
func newHouse(t *testing.T, n node, extra ...string) *house {
	t.Helper()
	if err := binaries(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dsn := testkit.Postgres(t)
	h := &house{
		t: t, bin: binDir, redis: testkit.Redis(t, testkit.RedisOptions{AppendOnly: true}), receiver: testkit.NewReceiver(t), chain: n.name,
		procs: make(map[string]*proc), client: &http.Client{Timeout: 15 * time.Second},
	}
	var err error
	if h.db, err = sql.Open("pgx", dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	tokens := ""
	if n.token != "" {
		tokens = fmt.Sprintf("\n  tokens: [{symbol: DEMO, contract: %q, decimals: 18}]", n.token)
	}
	chains := fmt.Sprintf("- name: %s\n  chain_id: %d\n  rpc_urls: [%q]\n  finality: {depth: %d}\n  poll_interval: %s\n  block_time: 1s\n  test: true%s\n",
		n.name, n.chainID, n.rpc, n.depth, n.pollInterval, tokens)
	if err := os.WriteFile(filepath.Join(dir, "chains.yaml"), []byte(chains), 0o600); err != nil {
		t.Fatal(err)
	}
	api, ops := freeAddr(t), freeAddr(t)
	h.apiURL, h.opsURL = "http://"+api, "http://"+ops
	h.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "ENV=test", "DATABASE_URL=" + dsn, "REDIS_URL=" + h.redis.URL,
		"CHAINS_FILE=" + filepath.Join(dir, "chains.yaml"), "PUBLIC_URL=" + h.apiURL, "API_ADDR=" + api,
		"MASTER_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "OPERATOR_TOKEN=operator-token-of-the-end-to-end-tests",
		"WEBHOOK_ALLOW=127.0.0.0/8", "WEBHOOK_LANES=2", "LOG_LEVEL=info",
	}, extra...)
	h.ctl("migrate", "up")
	for name, opsAddr := range map[string]string{"api": ops, "worker": freeAddr(t), "scanner": freeAddr(t)} {
		h.start(name, "OPS_ADDR="+opsAddr)
	}
	t.Cleanup(h.stopAll)
	h.waitReady()
	h.makeMerchant()
	return h
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a binary with its log in a file of its own.
func (h *house) start(name string, env ...string) {
	h.t.Helper()
	log, err := os.OpenFile(filepath.Join(h.t.TempDir(), name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	p := &proc{cmd: exec.Command(filepath.Join(h.bin, name)), log: log, done: make(chan struct{})}
	p.cmd.Env = append(append([]string(nil), h.env...), env...)
	p.cmd.Dir = filepath.Dir(log.Name())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	h.mu.Lock()
	h.procs[name] = p
	h.mu.Unlock()
}

// killAndRestart ends a binary with SIGKILL and starts it again with the same environment.
func (h *house) killAndRestart(name string) {
	h.t.Helper()
	h.mu.Lock()
	p := h.procs[name]
	h.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		h.t.Fatal(err)
	}
	<-p.done
	h.start(name, p.cmd.Env[len(h.env):]...)
}

// stopAll asks every binary to stop and holds it to exit code 0.
func (h *house) stopAll() {
	for name, p := range h.procs {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(50 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
			h.t.Errorf("%s did not stop", name)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			h.t.Errorf("%s ended with %d", name, code)
		}
		p.log.Close()
		if h.t.Failed() {
			h.t.Logf("last lines of %s:\n%s", name, tail(p.log.Name()))
		}
	}
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// ctl runs ctripctl and returns what it printed.
func (h *house) ctl(args ...string) []byte {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(h.bin, "ctripctl"), args...)
	cmd.Env = h.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("ctripctl %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return out
}

func (h *house) makeMerchant() {
	h.t.Helper()
	xpub, err := devnet.NewXPub()
	if err != nil {
		h.t.Fatal(err)
	}
	var m struct {
		Merchant struct {
			ID string `json:"id"`
		} `json:"merchant"`
	}
	decode(h.t, h.ctl("merchant", "create", "--name", "Shop", "--xpub", xpub, "--json"), &m)
	var k struct {
		Secret string `json:"secret"`
	}
	decode(h.t, h.ctl("key", "create", "--merchant", m.Merchant.ID, "--name", "test", "--json"), &k)
	h.key = k.Secret
	var e struct {
		Secret string `json:"secret"`
	}
	if status := h.call(http.MethodPost, "/api/v1/webhook_endpoints", "", map[string]any{"url": h.receiver.URL + "/hooks", "events": []string{"*"}}, &e); status != http.StatusCreated {
		h.t.Fatalf("create endpoint: %d", status)
	}
	if h.secret, err = webhook.ParseSecret(e.Secret); err != nil {
		h.t.Fatal(err)
	}
}

// waitReady waits until the API is ready and the scanner has recorded a block.
func (h *house) waitReady() {
	h.t.Helper()
	eventually(h.t, 60*time.Second, "the gateway is ready", func() bool {
		res, err := h.client.Get(h.opsURL + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		var n int
		err = h.db.QueryRow("SELECT count(*) FROM chain_cursors").Scan(&n)
		return res.StatusCode == http.StatusOK && err == nil && n > 0
	})
}

// call is one API request; a failed connection is status 0.
func (h *house) call(method, path, idempotencyKey string, in, out any) int {
	h.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			h.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, h.apiURL+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := h.client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0
	}
	if res.StatusCode < 300 && out != nil {
		decode(h.t, b, out)
	} else if res.StatusCode >= 400 && res.StatusCode < 500 {
		h.t.Logf("%s %s: %d %s", method, path, res.StatusCode, b)
	}
	return res.StatusCode
}

// payment is what a test needs of the API's answer.
type payment struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Status  string `json:"status"`
}

// create makes a payment, however often the API dies meanwhile: the idempotency key makes it one.
func (h *house) create(ctx context.Context, key, asset, amount string) payment {
	h.t.Helper()
	var p payment
	for ctx.Err() == nil {
		status := h.call(http.MethodPost, "/api/v1/payments", key, map[string]any{"chain": h.chain, "asset": asset, "amount": amount, "order_id": key}, &p)
		if status == http.StatusCreated {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Errorf("payment %s could not be made", key)
	return p
}

func (h *house) status(id string) string {
	h.t.Helper()
	var p payment
	h.call(http.MethodGet, "/api/v1/payments/"+id, "", nil, &p)
	return p.Status
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

// eventually asks again and again until it is so.
func eventually(t *testing.T, patience time.Duration, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// holdsEverything holds what the receiver has against what the record says was to be sent.
func (h *house) holdsEverything() {
	h.t.Helper()
	rows, err := h.db.Query("SELECT id, coalesce(payment_id, ''), type, sequence FROM events")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	got := make(map[string][]byte)
	for _, r := range h.receiver.All() {
		if first, ok := got[r.ID()]; ok && !bytes.Equal(first, r.Body) {
			h.t.Errorf("%s came with two bodies", r.ID())
		}
		got[r.ID()] = r.Body
	}
	sent, byPlace := 0, make(map[string]string)
	for rows.Next() {
		var id, pay, kind string
		var sequence int
		if err := rows.Scan(&id, &pay, &kind, &sequence); err != nil {
			h.t.Fatal(err)
		}
		sent++
		if _, ok := got[id]; !ok {
			h.t.Errorf("%s (%s of %s) was never received", id, kind, pay)
		}
		place := fmt.Sprintf("%s %d", pay, sequence)
		if other, ok := byPlace[place]; ok && pay != "" {
			h.t.Errorf("%s has two ids: %s and %s", place, other, id)
		}
		byPlace[place] = id
		delete(got, id)
	}
	for id := range got {
		h.t.Errorf("%s was received and is on no record", id)
	}
	h.t.Logf("%d events, %d requests", sent, len(h.receiver.All()))
}
