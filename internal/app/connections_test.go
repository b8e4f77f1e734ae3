package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// listening serves h as the process does, and returns where.
func listening(t *testing.T, cfg config.Config, limits connectionLimits, h http.Handler) (addr string, a *App) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a = &App{cfg: cfg, log: slog.New(slog.DiscardHandler), metrics: telemetry.NewMetrics()}
	if err := a.serve("test listener", l, "", h, limits); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.parts[0].run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), a
}

func dial(t *testing.T, addr, from string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestReadersWhoDoNotReadAreCutOff: clients that ask and never read lose their connections, whether the answer is one
// long one or many short ones that they asked for ahead.
func TestReadersWhoDoNotReadAreCutOff(t *testing.T) {
	const clients = 20
	failed := make(chan error, clients)
	body := bytes.Repeat([]byte("x"), 64<<20)
	cfg := config.Config{API: config.API{Timeout: 100 * time.Millisecond, AnswerTimeout: 200 * time.Millisecond}}
	addr, _ := listening(t, cfg, connectionLimits{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			if _, err := w.Write(body[:1<<20]); err != nil {
				failed <- err
			}
			return
		}
		_, err := w.Write(body)
		failed <- err
	}))
	for i := range clients {
		conn, ask := dial(t, addr, "127.0.0.1"), "GET /long HTTP/1.1\r\nHost: x\r\n\r\n"
		if i%2 == 0 {
			ask = strings.Repeat("GET /short HTTP/1.1\r\nHost: x\r\n\r\n", 200)
		}
		if _, err := io.WriteString(conn, ask); err != nil {
			t.Fatal(err)
		}
	}
	for range clients {
		select {
		case err := <-failed:
			if !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
				t.Errorf("an answer that nobody read ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("an answer that nobody reads goes on for ever")
		}
	}
}

// refusedAtOnce reports whether the other side closes the connection before anything was asked; it does not wait for
// one that stays.
func refusedAtOnce(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return true
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	return err != nil
}

func TestConnectionLimits(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	limits := connectionLimits{total: 5, perAddress: 2, exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}}
	addr, a := listening(t, config.Config{}, limits, page)
	var open []net.Conn
	for _, c := range []struct {
		from    string
		refused bool
	}{{"127.0.0.1", false}, {"127.0.0.1", false}, {"127.0.0.1", true}, {"127.0.0.2", false}, {"127.0.0.9", false},
		{"127.0.0.9", false}, {"127.0.0.9", true}, {"127.0.0.3", true}} {
		conn := dial(t, addr, c.from)
		if got := refusedAtOnce(t, conn); got != c.refused {
			t.Fatalf("connection %d, from %s: refused %v", len(open)+1, c.from, got)
		}
		open = append(open, conn)
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, "a connection that ended makes room", func() bool {
		return !refusedAtOnce(t, dial(t, addr, "127.0.0.1"))
	})
	w := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`{limit="address",listener="test"}`, `{limit="total",listener="test"}`} {
		if !strings.Contains(w.Body.String(), "ctrip_connections_refused_total"+want) {
			t.Errorf("not counted: %s", want)
		}
	}
	l := limitListener(nil, connectionLimits{perAddress: 1})
	for remote, want := range map[string]string{"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::",
		"[::ffff:192.0.2.1]:5": "192.0.2.1"} {
		at, err := net.ResolveTCPAddr("tcp", remote)
		if err != nil {
			t.Fatal(err)
		}
		if _, group := l.groupOf(at); group.String() != want {
			t.Errorf("%s shares the limit of %s, want %s", remote, group, want)
		}
	}
}
