package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// remoteAddrs answers with the address of the caller, which tells connections apart.
func remoteAddrs(t testing.TB) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_,
			_ = io.WriteString(w, r.RemoteAddr)
	}))
	t.Cleanup(s.Close)
	return s
}

func post(t testing.TB, c *Client, r Request) Response {
	t.Helper()
	out, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConnectionsAreReused(t *testing.T) {
	s, c := remoteAddrs(t), local(t, Options{})
	first := post(t, c, Request{URL: s.URL + "/a", Body: []byte("{}")})
	second := post(t, c, Request{URL: s.URL + "/b", Body: []byte("{}")})
	if first.Timings.Reused || !second.Timings.Reused || string(first.Body) != string(second.Body) ||
		second.Timings.Connect != 0 || !second.RemoteIP.IsLoopback() {
		t.Errorf("%+v %s %s", second.Timings, first.Body, second.Body)
	}
}

// TestConnectionsAreNotShared: neither between merchants, nor between TLS settings, nor with the deployment's own
// endpoint.
func TestConnectionsAreNotShared(t *testing.T) {
	s, c := remoteAddrs(t), local(t, Options{})
	ca := newAuthority(t)
	seen := make(map[string]int)
	requests := []Request{
		{Tenant: Tenant{Merchant: "mer_a"}}, {Tenant: Tenant{Merchant: "mer_b"}}, {Tenant: Tenant{Merchant: "mer_a", Default: true}},
		{Tenant: Tenant{Merchant: "mer_a"}, TLS: TLSSettings{CAPEM: ca.pem}}, {Tenant: Tenant{Merchant: "mer_a"}, TLS: TLSSettings{SPKIPins: []string{pinOf(ca.cert)}}},
	}
	for range 3 {
		for _, r := range requests {
			r.URL = s.URL
			seen[string(post(t, c, r).Body)]++
		}
	}
	if len(seen) != len(requests) {
		t.Errorf("%d connections for %d pools", len(seen), len(requests))
	}
}

func TestKeysOfSettings(t *testing.T) {
	settings := []TLSSettings{{}, {CAPEM: "a"}, {ClientCertPEM: "a"}, {ClientKeyPEM: "a"}, {SPKIPins: []string{"a"}},
		{SPKIPins: []string{"a", "b"}},
		{SPKIPins: []string{"ab"}}, {CAPEM: "a1:b"}, {CAPEM: "a", ClientCertPEM: "b"}}
	seen := make(map[[32]byte]bool)
	for _, s := range settings {
		seen[s.key()] = true
	}
	if len(seen) != len(settings) {
		t.Errorf("%d keys for %d settings", len(seen), len(settings))
	}
}

func TestPoolsAreBounded(t *testing.T) {
	s, c := remoteAddrs(t), local(t, Options{MaxPools: 2})
	use := func(merchant string) bool {
		return post(t, c, Request{Tenant: Tenant{Merchant: merchant}, URL: s.URL}).Timings.Reused
	}
	if use("a") || use("b") || !use("a") {
		t.Fatal("two pools do not fit")
	}
	use("c") // b was not used for longest
	if len(c.pools) != 2 || c.recent.Len() != 2 {
		t.Fatalf("%d pools", len(c.pools))
	}
	if !use("a") || use("b") {
		t.Error("the wrong pool made way")
	}
}

func TestTargetsAreBounded(t *testing.T) {
	c := newClient(t, Options{})
	for i := range maxTargets + 10 {
		if _, err := c.target(Tenant{}, fmt.Sprintf("https://hooks.example.com/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.targets) > maxTargets {
		t.Error(len(c.targets))
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	gone := make(chan struct{})
	server := rawServer(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		hang(c)
		close(gone)
	})
	post(t, local(t, Options{IdleTimeout: millis(50)}), Request{URL: server.url()})
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("an idle connection stays open")
	}
}

func TestClose(t *testing.T) {
	s, c := remoteAddrs(t), local(t, Options{})
	post(t, c, Request{URL: s.URL})
	c.Close()
	c.Close()
	if _, err := c.Do(t.Context(), Request{URL: s.URL}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestRulesOfANewClient: rules come with the process. One that starts with stricter rules has no connection of the one
// before it, however long the receiver would have kept that alive.
func TestRulesOfANewClient(t *testing.T) {
	s, before := remoteAddrs(t), local(t, Options{})
	if first, again := post(t, before, Request{URL: s.URL}),
		post(t, before, Request{URL: s.URL}); !bytes.Equal(first.Body, again.Body) {
		t.Fatal("the connection was not kept alive")
	}
	_, err := newClient(t, Options{}).Do(t.Context(), Request{URL: s.URL})
	wantKind(t, "without the rule", err, KindBlocked, true)
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"negative": {Timeout: -1}, "body": {MaxBodyBytes: -1}, "ftp": {Proxy: &url.URL{Scheme: "ftp", Host: "p"}}, "socks": {Proxy: &url.URL{Scheme: "socks4", Host: "p"}}, "no host": {Proxy: &url.URL{Scheme: "http"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s, c := remoteAddrs(t), local(t, Options{MaxPools: 3})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 20 {
				r, err := c.Do(t.Context(), Request{Tenant: Tenant{Merchant: fmt.Sprint((i + j) % 5)},
					URL: fmt.Sprintf("%s/%d", s.URL, j), Body: []byte("{}")})
				if err != nil || r.Status != 200 {
					t.Error(r.Status, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestEnvironmentProxyIsIgnored: with HTTP_PROXY set, nothing is sent to it, and the address check sees the real
// address.
func TestEnvironmentProxyIsIgnored(t *testing.T) {
	proxy := rawServer(t, hang)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	t.Setenv("NO_PROXY", "")
	if u, err := http.ProxyFromEnvironment(httptest.NewRequest("POST", "https://hooks.example.com/", nil)); err != nil ||
		u == nil {
		t.Fatal("the environment was read before this test could set it:", u, err)
	}
	c := local(t, Options{Resolver: answer(netip.MustParseAddr("10.0.0.1"))})
	for _, raw := range []string{"http://hooks.example.com/", "https://hooks.example.com/"} {
		_, err := c.Do(t.Context(), Request{URL: raw})
		wantKind(t, raw, err, KindBlocked, false)
	}
	if proxy.seen() != 0 {
		t.Error("the proxy of the environment was used")
	}
}

// tunnels is an HTTP proxy that carries CONNECT to loopback, whatever the address asked for.
type tunnels struct {
	*listener
	mu    sync.Mutex
	asked []string
}

func newTunnels(t testing.TB, to string) *tunnels {
	p := &tunnels{}
	p.listener = rawServer(t, func(c net.Conn) {
		r, _ := readRequest(c)
		if r == nil {
			return
		}
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		if to == "" {
			_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(out, c)
			_ = out.Close()
		}()
		_, _ = io.Copy(c, out)
	})
	return p
}

// TestEgressProxy: the proxy is asked for the checked address, never for the name, and never for a denied one.
func TestEgressProxy(t *testing.T) {
	ca := newAuthority(t)
	raw := tlsServer(t, ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"hooks.example.com"} }), nil)
	p := newTunnels(t, strings.TrimPrefix(raw, "https://"))
	public := netip.MustParseAddr("8.8.8.8")
	proxy := &url.URL{Scheme: "http", Host: p.Addr().String(), User: url.UserPassword("u", "p")}
	c := newClient(t, Options{Proxy: proxy, Resolver: answer(public), RootCAs: ca.pool()})
	r := post(t, c, Request{URL: "https://hooks.example.com/", Body: []byte("{}")})
	if r.Status != 200 || r.RemoteIP != public || fmt.Sprint(p.asked) != "[CONNECT 8.8.8.8:443 Basic dTpw]" {
		t.Errorf("%+v %v", r, p.asked)
	}
	c = newClient(t, Options{Proxy: proxy, Resolver: answer(public, netip.MustParseAddr("10.0.0.1"))})
	_, err := c.Do(t.Context(), Request{URL: "https://hooks.example.com/"})
	wantKind(t, "denied", err, KindBlocked, false)
	if len(p.asked) != 1 {
		t.Error(p.asked)
	}
	for name, host := range map[string]string{"502": newTunnels(t, "").Addr().String(),
		"garbage": rawServer(t, respond("SSH\r\n\r\n")).Addr().String()} {
		c = newClient(t, Options{Proxy: &url.URL{Scheme: "http", Host: host}, Resolver: answer(public)})
		_, err = c.Do(t.Context(), Request{URL: "https://hooks.example.com/"})
		wantKind(t, name, err, KindConnect, false)
	}
	c = newClient(t, Options{Proxy: &url.URL{Scheme: "http", Host: rawServer(t, hang).Addr().String()},
		Resolver: answer(public)})
	_, err = c.Do(t.Context(), Request{URL: "https://hooks.example.com/", Timeout: millis(100)})
	wantKind(t, "hanging", err, KindTimeout, false)
}

// TestEgressProxyKeepsTheTable: whatever is denied without a proxy is denied with one, as a literal, as an answer,
// beside public answers, and should it ever get as far as a dial; the proxy hears of none of it, of no other port, and
// of no name that changed its address after a request went through.
func TestEgressProxyKeepsTheTable(t *testing.T) {
	p := newTunnels(t, "")
	proxy := &url.URL{Scheme: "http", Host: p.Addr().String()}
	public := netip.MustParseAddr("8.8.8.8")
	for _, s := range deniedAddresses {
		bad := netip.MustParseAddr(s)
		for _, answers := range [][]netip.Addr{{bad}, {public, bad}, {bad, public}} {
			c := newClient(t, Options{Proxy: proxy, Resolver: answer(answers...)})
			_, err := c.Do(t.Context(), Request{URL: "https://hooks.example.com/"})
			wantKind(t, s, err, KindBlocked, false)
			_, err = c.Do(t.Context(), Request{URL: "https://" + bracket(bad) + "/"})
			wantKind(t, s, err, KindBlocked, true)
		}
		d := &dialer{policy: &policy{}, proxy: proxy}
		if _, err := d.connect(t.Context(), netip.AddrPortFrom(bad, 443)); Classify(err) != KindBlocked {
			t.Errorf("%s: %v", s, err)
		}
	}
	d := &dialer{policy: &policy{}, proxy: proxy}
	if _, err := d.connect(t.Context(), netip.AddrPortFrom(public, 22)); Classify(err) != KindBlocked {
		t.Errorf("port 22: %v", err)
	}
	if len(p.asked) != 0 {
		t.Errorf("the proxy was asked for %v", p.asked)
	}

	through := newTunnels(t,
		rawServer(t, respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).Addr().String())
	lookups := 0
	c := newClient(t, Options{Proxy: &url.URL{Scheme: "http", Host: through.Addr().String()},
		Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			if lookups++; lookups == 1 {
				return []netip.Addr{public}, nil
			}
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
		})})
	if r := post(t, c, Request{URL: "http://hooks.example.com/"}); r.Status != 200 || r.RemoteIP != public {
		t.Errorf("%+v", r)
	}
	_, err := c.Do(t.Context(), Request{URL: "http://hooks.example.com/"})
	wantKind(t, "rebound", err, KindBlocked, false)
	if fmt.Sprint(through.asked) != "[CONNECT 8.8.8.8:80 ]" {
		t.Error(through.asked)
	}
}

// TestEgressProxyOverTLS: the way to the proxy is verified like any other, and the password is not sent before that.
func TestEgressProxyOverTLS(t *testing.T) {
	ca := newAuthority(t)
	asked := make(chan string, 1)
	raw := tlsServer(t, ca.issue(t, nil), func(s *httptest.Server) {
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			respond("HTTP/1.1 204 No Content\r\n\r\n")(c)
		})
	})
	proxy, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	proxy.User = url.UserPassword("u", "p")
	o := Options{Proxy: proxy, Resolver: answer(netip.MustParseAddr("8.8.8.8"))}
	_, err = newClient(t, o).Do(t.Context(), Request{URL: "http://hooks.example.com/"})
	wantKind(t, "a proxy of no known authority", err, KindConnect, false)
	if len(asked) != 0 {
		t.Errorf("an unverified proxy was told %s", <-asked)
	}
	o.RootCAs = ca.pool()
	if r := post(t, newClient(t, o), Request{URL: "http://hooks.example.com/"}); r.Status != 204 ||
		<-asked != "CONNECT 8.8.8.8:80 Basic dTpw" {
		t.Errorf("%+v", r)
	}
}

// TestFallback: an address that does not answer does not hide one that does, of either family.
func TestFallback(t *testing.T) {
	s := remoteAddrs(t)
	port := s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	v4, dead4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.9.9.9"), netip.IPv6Loopback()
	for _, order := range [][]netip.Addr{{v6, v4}, {v4, v6}, {dead4, v4}, {v6, dead4, v4}} {
		c := local(t, Options{Resolver: answer(order...)})
		r := post(t, c, Request{URL: "http://localhost:" + port})
		if r.Status != 200 || r.RemoteIP != v4 {
			t.Errorf("%v: %+v", order, r)
		}
	}
	c := local(t, Options{Resolver: answer(dead4, v6)})
	_, err := c.Do(t.Context(), Request{URL: "http://localhost:" + port})
	wantKind(t, "all dead", err, KindConnect, false)
}

// TestSystemResolver: localhost resolves from the hosts file of the machine.
func TestSystemResolver(t *testing.T) {
	s := remoteAddrs(t)
	c := local(t, Options{Resolver: net.DefaultResolver})
	if r := post(t, c, Request{URL: strings.Replace(s.URL, "127.0.0.1", "localhost", 1)}); r.Status != 200 ||
		!r.RemoteIP.IsLoopback() {
		t.Errorf("%+v", r)
	}
	_, err := c.Do(t.Context(), Request{URL: "https://no-such-host.invalid/", Timeout: 3 * time.Second})
	if kind := Classify(err); kind != KindDNS && kind != KindTimeout { // a timeout where no name server can be reached
		t.Error(err)
	}
}

// TestDialEndsWithItsRequest: net/http detaches dials from requests; ours still end in time.
func TestDialEndsWithItsRequest(t *testing.T) {
	ended := make(chan error, 1)
	c := newClient(t, Options{Resolver: resolverFunc(func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})})
	_, err := c.Do(t.Context(), Request{URL: "https://hooks.example.com/", Timeout: millis(50)})
	wantKind(t, "look-up", err, KindTimeout, false)
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func benchmark(b *testing.B, do func() error) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

var benchBody = []byte(strings.Repeat("x", 1500))

func benchServer(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_,
			_ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(s.Close)
	return s.URL + "/hook"
}

func BenchmarkDo(b *testing.B) {
	raw, c := benchServer(b), local(b, Options{})
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"ctrip-webhook/1"}}
	benchmark(b, func() error {
		_, err := c.Do(context.Background(), Request{Tenant: Tenant{Merchant: "mer_1"}, URL: raw, Header: header,
			Body: benchBody})
		return err
	})
}

// BenchmarkBare is the yardstick: net/http with nothing around it.
func BenchmarkBare(b *testing.B) {
	raw := benchServer(b)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	benchmark(b, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", raw, strings.NewReader(string(benchBody)))
		if err != nil {
			return err
		}
		req.Header["Content-Type"], req.Header["User-Agent"] = []string{"application/json"}, []string{"ctrip-webhook/1"}
		r, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, r.Body)
		return r.Body.Close()
	})
}
