package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestRequestOnTheWire(t *testing.T) {
	type seen struct {
		r    *http.Request
		body []byte
	}
	got := make(chan seen, 1)
	server := rawServer(t, func(c net.Conn) {
		r, body := readRequest(c)
		got <- seen{r, body}
		_, _ = io.WriteString(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-A: b\r\nConnection: close\r\n\r\nok")
	})
	c := local(t, Options{})
	body := []byte("{\"a\":\"\u00e9\"}")
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"ctrip-webhook/1"}, "webhook-id": {"evt_1"},
		"Idempotency-Key": {"k"}}
	r, err := c.Do(t.Context(), Request{URL: server.url() + "?q=1", Header: header, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 202 || r.Proto != "HTTP/1.1" || string(r.Body) != "ok" || r.BodyTruncated || r.BodyErr != nil ||
		r.Header.Get("X-A") != "b" || r.RemoteIP.String() != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
	s := <-got
	if s.r.Method != "POST" || s.r.RequestURI != "/hook?q=1" || !bytes.Equal(s.body, body) ||
		s.r.ContentLength != int64(len(body)) || s.r.Host != server.Addr().String() {
		t.Errorf("%+v %s", s.r, s.body)
	}
	for name, want := range map[string]string{"User-Agent": "ctrip-webhook/1", "Webhook-Id": "evt_1",
		"Idempotency-Key": "k"} {
		if s.r.Header.Get(name) != want {
			t.Errorf("%s: %q", name, s.r.Header.Get(name))
		}
	}
	if header.Get("Idempotency-Key") != "k" {
		t.Error("the caller's header was changed")
	}
	tm := r.Timings
	if tm.Reused || tm.Connect <= 0 || tm.FirstByte <= 0 || tm.Total < tm.FirstByte || tm.TLS != 0 {
		t.Errorf("%+v", tm)
	}
}

// TestFaults is the ways in which a receiver can misbehave before its status line is through.
func TestFaults(t *testing.T) {
	big := strings.Repeat("x", 40<<10)
	for name, c := range map[string]struct {
		handle func(net.Conn)
		want   Kind
	}{
		"hangs at once": {hang, KindTimeout},
		"hangs after the request": {func(c net.Conn) {
			readRequest(c)
			hang(c)
		}, KindTimeout},
		"hangs inside the headers": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-")
			hang(c)
		}, KindTimeout},
		"one byte at a time": {func(c net.Conn) {
			readRequest(c)
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(millis(30))
			}
		}, KindTimeout},
		"endless 100s": {func(c net.Conn) {
			readRequest(c)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
					return
				}
			}
		}, KindProtocol},
		"reset": {func(c net.Conn) {
			readRequest(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, KindReset},
		"reset inside the headers": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A: b\r\n")
			_ = c.(*net.TCPConn).SetLinger(0)
		}, KindReset},
		"closed": {func(c net.Conn) { readRequest(c) }, KindReset},
		"half closed": {func(c net.Conn) {
			readRequest(c)
			_ = c.(*net.TCPConn).CloseWrite()
			hang(c)
		}, KindReset},
		"closed inside the headers":  {respond("HTTP/1.1 200 OK\r\nX-A: b\r\n"), KindReset},
		"closed inside a header":     {respond("HTTP/1.1 200 OK\r\nContent-"), KindProtocol},
		"another protocol":           {respond("SSH-2.0-OpenSSH_9.9\r\n"), KindProtocol},
		"malformed status":           {respond("HTTP/1.1 abc OK\r\n\r\n"), KindProtocol},
		"status of two digits":       {respond("HTTP/1.1 20 OK\r\n\r\n"), KindProtocol},
		"negative status":            {respond("HTTP/1.1 -20 OK\r\n\r\n"), KindProtocol},
		"HTTP/9":                     {respond("HTTP/9 200 OK\r\n\r\n"), KindProtocol},
		"header without a colon":     {respond("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), KindProtocol},
		"control characters":         {respond("HTTP/1.1 200 OK\r\nA: \x00\x01\r\n\r\n"), KindProtocol},
		"two lengths":                {respond("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), KindProtocol},
		"negative length":            {respond("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), KindProtocol},
		"one huge header":            {respond("HTTP/1.1 200 OK\r\nX-A: " + big + "\r\n\r\n"), KindProtocol},
		"many headers":               {respond("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: 12345678\r\n", 3000) + "\r\n"), KindProtocol},
		"huge status line":           {respond("HTTP/1.1 200 " + big + "\r\n\r\n"), KindProtocol},
		"nothing but line feeds":     {respond("\n\n\n\n"), KindProtocol},
		"switches protocols unasked": {respond("HTTP/1.1 99 Odd\r\n\r\n"), KindProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := rawServer(t, c.handle)
			start := time.Now()
			r, err := local(t, Options{}).Do(t.Context(), Request{URL: server.url(), Body: []byte("{}"), Timeout: millis(400)})
			wantKind(t, name, err, c.want, false)
			if r.Status != 0 || r.Timings.Total <= 0 || r.RemoteIP.String() != "127.0.0.1" {
				t.Errorf("%+v", r)
			}
			if took := time.Since(start); took > 2*time.Second || c.want == KindTimeout && took < millis(390) {
				t.Errorf("took %v", took)
			}
			if server.seen() != 1 {
				t.Errorf("%d connections", server.seen())
			}
		})
	}
}

// TestBodies: the status line is the verdict, whatever becomes of the body.
func TestBodies(t *testing.T) {
	zeros := func(n int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.CopyN(z, zeroReader{}, int64(n))
		_ = z.Close()
		return b.Bytes()
	}
	zipped := func(b []byte) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}
	limit := 16 << 10
	exact := strings.Repeat("a", limit)
	for name, c := range map[string]struct {
		handle    func(net.Conn)
		length    int
		truncated bool
		want      Kind
	}{
		"none":       {respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0, false, ""},
		"to the end": {respond("HTTP/1.1 200 OK\r\n\r\nabc"), 3, false, ""},
		"exact":      {respond("HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + exact), limit, false, ""},
		"one more":   {respond("HTTP/1.1 200 OK\r\nContent-Length: 16385\r\n\r\n" + exact + "b"), limit, true, ""},
		"chunked":    {respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 3, false, ""},
		"gzip":       {respond(zipped(zeros(5000))), 5000, false, ""},
		"gzip bomb":  {respond(zipped(zeros(32 << 20))), limit, true, ""},
		"not gzip":   {respond(zipped([]byte("plain text, though"))), 0, false, KindProtocol},
		"cut gzip":   {respond(zipped(zeros(5000)[:20])), -1, false, KindReset},
		"cut":        {respond("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), 3, false, KindReset},
		"cut chunk":  {respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"), 3, false, KindReset},
		"bad chunk":  {respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"), 0, false, KindProtocol},
		"endless": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, limit, true, ""},
		"hangs": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			hang(c)
		}, 3, false, KindTimeout},
		"drips": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			for {
				if _, err := io.WriteString(c, "a"); err != nil {
					return
				}
				time.Sleep(millis(30))
			}
		}, -1, false, KindTimeout},
		"reset": {func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			time.Sleep(millis(30)) // a reset may overtake what was sent before it
			_ = c.(*net.TCPConn).SetLinger(0)
		}, 0, false, KindReset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := local(t, Options{}).Do(t.Context(), Request{URL: rawServer(t, c.handle).url(), Timeout: millis(700)})
			if err != nil || r.Status != 200 {
				t.Fatal(r.Status, err)
			}
			if c.length >= 0 && len(r.Body) != c.length || len(r.Body) > limit || r.BodyTruncated != c.truncated {
				t.Errorf("%d bytes, truncated %v", len(r.Body), r.BodyTruncated)
			}
			if c.want == "" && r.BodyErr != nil {
				t.Error(r.BodyErr)
			}
			if c.want != "" {
				wantKind(t, name, r.BodyErr, c.want, false)
			}
			if r.Timings.Total > 2*time.Second {
				t.Error(r.Timings.Total)
			}
		})
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

func TestNoRedirect(t *testing.T) {
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/again", 301+int(hits.Load()-1)%8)
	}))
	defer server.Close()
	c := local(t, Options{})
	for i, want := range []int{301, 302, 303, 304, 305, 306, 307, 308} {
		r, err := c.Do(t.Context(), Request{URL: server.URL, Body: []byte("{}")})
		if err != nil || r.Status != want || hits.Load() != int32(i+1) {
			t.Fatalf("%d %v, %d requests", r.Status, err, hits.Load())
		}
	}
}

// TestDeniedRedirects: no denied address can be reached by way of a receiver that points to it, whatever the form.
func TestDeniedRedirects(t *testing.T) {
	var location atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	lookups := 0
	c := local(t, Options{Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		lookups++
		return nil, errors.New("no look-up was expected")
	})})
	targets := []string{"http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
		"http://localhost./", "http://u:p@10.0.0.1/", "//169.254.169.254/", "gopher://10.0.0.1/", "http://metadata.internal/"}
	for _, s := range deniedAddresses {
		targets = append(targets, "http://"+bracket(netip.MustParseAddr(s))+"/")
	}
	for _, target := range targets {
		location.Store(target)
		r, err := c.Do(t.Context(), Request{URL: server.URL, Body: []byte("{}")})
		if err != nil || r.Status != http.StatusTemporaryRedirect || lookups != 0 {
			t.Errorf("%s: %d, %v, %d look-ups", target, r.Status, err, lookups)
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	server := rawServer(t, hang)
	_ = server.Close()
	_, err := local(t, Options{}).Do(t.Context(), Request{URL: server.url()})
	wantKind(t, "refused", err, KindConnect, false)
}

// TestSentOnce: a receiver that closes a fresh connection without answering gets each POST once, even with the headers
// that net/http takes as leave to try again.
func TestSentOnce(t *testing.T) {
	var posts atomic.Int32
	server := rawServer(t, func(c net.Conn) {
		if r, _ := readRequest(c); r != nil {
			posts.Add(1)
		}
	})
	c := local(t, Options{})
	for i := range 3 {
		r, err := c.Do(t.Context(), Request{URL: server.url(),
			Header: http.Header{"Idempotency-Key": {"k"}, "X-Idempotency-Key": {"k"}}, Body: []byte("{}")})
		wantKind(t, "closed", err, KindReset, false)
		if posts.Load() != int32(i+1) || r.Timings.Reused || r.Tries != nil {
			t.Fatalf("%d POSTs for %d requests", posts.Load(), i+1)
		}
	}
}

func TestCanceled(t *testing.T) {
	reached := make(chan struct{})
	server := rawServer(t, func(c net.Conn) {
		readRequest(c)
		close(reached)
		hang(c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	_, err := local(t, Options{}).Do(ctx, Request{URL: server.url()})
	var e *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Fatalf("%v (%T)", err, err)
	}
}

// TestEarlierDeadline: the deadline of the context counts as well.
func TestEarlierDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), millis(100))
	defer cancel()
	_, err := local(t, Options{}).Do(ctx, Request{URL: rawServer(t, hang).url()})
	wantKind(t, "deadline", err, KindTimeout, false)
}

func TestEveryStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
	}))
	defer server.Close()
	c := local(t, Options{})
	for status := 200; status <= 599; status++ {
		r, err := c.Do(t.Context(), Request{URL: fmt.Sprintf("%s/%d", server.URL, status)})
		if err != nil || r.Status != status {
			t.Fatalf("%d: %d %v", status, r.Status, err)
		}
	}
}
