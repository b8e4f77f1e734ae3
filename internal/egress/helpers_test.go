package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Resolver == nil {
		o.Resolver = answer(netip.MustParseAddr("127.0.0.1"))
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// local may reach everything on loopback.
func local(t testing.TB, o Options) *Client {
	o.Allow = mustAllow(t, "127.0.0.0/8,::1")
	return newClient(t, o)
}

type resolverFunc func(ctx context.Context, host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return f(ctx, host)
}

func answer(ips ...netip.Addr) Resolver {
	return resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		return append([]netip.Addr(nil), ips...), nil
	})
}

func wantKind(t testing.TB, name string, err error, kind Kind, byForm bool) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || e.ByForm != byForm {
		t.Errorf("%s: %v (%T), want %s", name, err, err, kind)
	}
}

// listener is a TCP server that speaks no protocol of its own.
type listener struct {
	net.Listener
	mu       sync.Mutex
	accepted int
}

func (l *listener) url() string { return "http://" + l.Addr().String() + "/hook" }

func (l *listener) port() string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (l *listener) seen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// rawServer serves each connection with handle, and waits for all of them when the test ends.
func rawServer(t testing.TB, handle func(net.Conn)) *listener {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: raw}
	var wg sync.WaitGroup
	var open sync.Map
	wg.Go(func() {
		for {
			c, err := raw.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.accepted++
			l.mu.Unlock()
			open.Store(c, nil)
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = raw.Close()
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return l
}

// readRequest reads one whole request.
func readRequest(c net.Conn) (*http.Request, []byte) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil, nil
	}
	body, _ := io.ReadAll(req.Body)
	return req, body
}

// respond answers the first request on a connection with raw bytes and closes it.
func respond(raw string) func(net.Conn) {
	return func(c net.Conn) {
		if req, _ := readRequest(c); req != nil {
			_, _ = io.WriteString(c, raw)
		}
	}
}

// hang waits until the other side gives up.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
