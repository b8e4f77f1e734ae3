package evm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// fakeNode is the eth namespace of a node that knows chain ids and heads.
type fakeNode struct {
	id, head  atomic.Uint64
	listeners atomic.Int64 // subscriptions to new heads
}

func (n *fakeNode) ChainId() string {
	return fmt.Sprintf("0x%x", n.id.Load())
} //nolint:revive // the method is eth_chainId

func (n *fakeNode) GetBlockByNumber(string, bool) map[string]any {
	return map[string]any{
		"number": fmt.Sprintf("0x%x", n.head.Load()), "hash": fmt.Sprintf("0x%064x", n.head.Load()),
		"parentHash": fmt.Sprintf("0x%064x", n.head.Load()-1), "timestamp": "0x1",
	}
}

// serveNode serves a node over HTTP and WebSocket. It counts the WebSocket connections and can break them.
func serveNode(t *testing.T, n *fakeNode) (httpURL, wsURL string, hangUp func()) {
	t.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName("eth", n); err != nil {
		t.Fatal(err)
	}
	ws := server.WebsocketHandler([]string{"*"})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			ws.ServeHTTP(w, r)
			return
		}
		server.ServeHTTP(w, r)
	}))
	conns := &connections{}
	srv.Listener = &watchedListener{srv.Listener, conns}
	srv.Start()
	t.Cleanup(func() {
		server.Stop()
		conns.hangUp()
		srv.Close()
	})
	return srv.URL, "ws" + strings.TrimPrefix(srv.URL, "http"), conns.hangUp
}

// TestChainIDIsCheckedOnEveryConnection: a node that comes back on another chain is refused, over HTTP and WebSocket,
// and taken again when it is right.
func TestChainIDIsCheckedOnEveryConnection(t *testing.T) {
	var n fakeNode
	httpURL, wsURL, hangUp := serveNode(t, &n)
	for name, url := range map[string]string{"http": httpURL, "ws": wsURL} {
		t.Run(name, func(t *testing.T) {
			n.id.Store(1337)
			n.head.Store(7)
			p := newPool(t, otherToken, nil, url)
			if h, err := p.Head(t.Context()); err != nil || h.Number != 7 {
				t.Fatalf("head %d, %v", h.Number, err)
			}
			n.id.Store(1)
			hangUp()
			// A WebSocket client learns from a failed call that it lost the connection; no call may succeed.
			var err error
			for range 20 {
				if _, err = p.Head(t.Context()); err == nil {
					t.Fatal("a node of another chain was believed")
				} else if errors.Is(err, evm.ErrWrongChain) {
					break
				}
			}
			if !errors.Is(err, evm.ErrWrongChain) || !strings.Contains(err.Error(), "chain id 1, want 1337") {
				t.Fatalf("got %v", err)
			}
			n.id.Store(1337)
			if _, err := p.Head(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestHeadDoesNotWaitForever: a provider that hangs delays the head a little, once.
func TestHeadDoesNotWaitForever(t *testing.T) {
	var n fakeNode
	n.id.Store(1337)
	n.head.Store(7)
	good, _, _ := serveNode(t, &n)
	ended := make(chan struct{})
	var hung atomic.Int32
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hung.Add(1)
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	t.Cleanup(func() { close(ended); hanging.Close() })
	p := newPool(t, otherToken, func(o *evm.Options) { o.Timeout = time.Minute }, hanging.URL, good)
	for range 3 {
		start := time.Now()
		if h, err := p.Head(t.Context()); err != nil || h.Number != 7 || time.Since(start) > 30*time.Second {
			t.Fatalf("head %d after %s, %v", h.Number, time.Since(start), err)
		}
	}
	if hung.Load() != 1 {
		t.Errorf("the provider that hangs was asked %d times", hung.Load())
	}
}

// TestHeadIsTheHighest: of several providers the one that is ahead counts.
func TestHeadIsTheHighest(t *testing.T) {
	var behind, ahead fakeNode
	for i, n := range []*fakeNode{&behind, &ahead} {
		n.id.Store(1337)
		n.head.Store(uint64(7 + i))
	}
	one, _, _ := serveNode(t, &behind)
	two, _, _ := serveNode(t, &ahead)
	if h, err := newPool(t, otherToken, nil, one, two).Head(t.Context()); err != nil || h.Number != 8 {
		t.Fatalf("head %d, %v", h.Number, err)
	}
}

// TestTimeout: a question has an end, and the error says so.
func TestTimeout(t *testing.T) {
	ended := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	t.Cleanup(func() { close(ended); hanging.Close() })
	p := newPool(t, otherToken, func(o *evm.Options) { o.Timeout = 20 * time.Millisecond }, hanging.URL)
	if _, err := p.Block(t.Context(), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Block(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestFailover: a provider that fails is not asked again before its cool-down has passed, and then is.
func TestFailover(t *testing.T) {
	var n fakeNode
	n.id.Store(1337)
	n.head.Store(7)
	good, _, _ := serveNode(t, &n)
	asked := 0
	bad := newProxy(t, good, func(string, json.RawMessage, json.RawMessage) (json.RawMessage, int) {
		asked++
		return nil, http.StatusServiceUnavailable
	})
	now := time.Now()
	p := newPool(t, otherToken, func(o *evm.Options) { o.Now = func() time.Time { return now } }, bad.URL, good)
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{0, 1}, {9 * time.Second, 1}, {2 * time.Second, 2}, {11 * time.Second, 2}, {10 * time.Second, 3}} {
		now = now.Add(step.wait)
		if _, err := p.Header(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if asked != step.want {
			t.Fatalf("%s later: asked %d times, want %d", step.wait, asked, step.want)
		}
	}
}

// TestErrorsHideKeys: neither what is returned nor what is logged has the secret parts of a URL, though the provider
// repeats them.
func TestErrorsHideKeys(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask message
		json.NewDecoder(r.Body).Decode(&ask)
		switch {
		case strings.HasPrefix(r.URL.Path, "/json"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"bad key %s?%s"}}`, ask.ID, r.URL.Path,
				r.URL.RawQuery)
		default:
			http.Error(w, r.URL.String(), http.StatusUnauthorized)
		}
	}))
	defer echo.Close()
	host := strings.TrimPrefix(echo.URL, "http://")
	for name, url := range map[string]string{
		"body of an HTTP error": echo.URL + "/v2/CanarySecretKey",
		"JSON-RPC error":        echo.URL + "/json/CanarySecretKey?token=CanarySecretKey",
		"nobody there":          "http://user:CanarySecretKey@127.0.0.1:1/CanarySecretKey",
		"no WebSocket":          "ws://" + host + "/CanarySecretKey",
	} {
		var logged strings.Builder
		p := newPool(t, otherToken, func(o *evm.Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) }, url)
		_, err := p.Block(t.Context(), 1)
		if err == nil || strings.Contains(err.Error(), "CanarySecretKey") || !strings.Contains(err.Error(), "127.0.0.1:") {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(logged.String(), "provider.failed") || strings.Contains(logged.String(), "CanarySecretKey") {
			t.Errorf("%s: logged %s", name, logged.String())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := evm.Options{Name: "x", ChainID: 1, URLs: []string{"http://localhost"}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler)}
	for name, change := range map[string]func(*evm.Options){
		"no name":    func(o *evm.Options) { o.Name = "" },
		"no URL":     func(o *evm.Options) { o.URLs = nil },
		"a file":     func(o *evm.Options) { o.URLs = []string{"/var/run/geth.ipc"} },
		"a scheme":   func(o *evm.Options) { o.URLs = []string{"ftp://secret-host/key"} },
		"a token":    func(o *evm.Options) { o.Tokens = []string{"0x12"} },
		"multicall3": func(o *evm.Options) { o.Multicall = "0x12" },
	} {
		o := good
		change(&o)
		if _, err := evm.New(o); err == nil || strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evm.New(good); err != nil {
		t.Error(err)
	}
}

// connections are those of a server; hangUp ends them all.
type connections struct {
	mu   sync.Mutex
	open []net.Conn
}

func (c *connections) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
	c.open = nil
}

type watchedListener struct {
	net.Listener
	conns *connections
}

func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.conns.mu.Lock()
		defer l.conns.mu.Unlock()
		l.conns.open = append(l.conns.open, conn)
	}
	return conn, err
}
