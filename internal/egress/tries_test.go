package egress

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// h2Server completes TLS with ALPN h2 and hands each connection to handle after it has read the client's preface.
func h2Server(t testing.TB, ca *authority, handle func(n int, f *http2.Framer)) (*listener, string) {
	cert := ca.issue(t, nil)
	var n atomic.Int32
	l := rawServer(t, func(c net.Conn) {
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert.Certificate},
			NextProtos: []string{"h2", "http/1.1"}})
		defer secure.Close()
		if secure.Handshake() != nil {
			return
		}
		if secure.ConnectionState().NegotiatedProtocol != "h2" {
			if r, _ := readRequest(secure); r != nil {
				_, _ = io.WriteString(secure, okay)
			}
			return
		}
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(secure, preface); err != nil {
			return
		}
		f := http2.NewFramer(secure, bufio.NewReader(secure))
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if f.WriteSettings() == nil {
			handle(int(n.Add(1)), f)
		}
	})
	return l, "https://" + l.Addr().String() + "/hook"
}

// awaitStream reads until a request begins.
func awaitStream(f *http2.Framer) uint32 {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return 0
		}
		if h, ok := frame.(*http2.MetaHeadersFrame); ok {
			return h.StreamID
		}
	}
}

func answerStream(f *http2.Framer, id uint32) {
	var b strings.Builder
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndStream: true,
		EndHeaders: true})
}

// TestDrainingReceivers: a receiver that completes the handshake, ends the connection in one way or another, and does
// so for a bounded number of them sees at most three for a request.
func TestDrainingReceivers(t *testing.T) {
	const bound = 40
	ca := newAuthority(t)
	for name, end := range map[string]func(f *http2.Framer){
		"goaway":           func(f *http2.Framer) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"goaway, unread":   func(f *http2.Framer) { _ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("later")) },
		"closed":           func(*http2.Framer) {},
		"goaway on stream": func(f *http2.Framer) { awaitStream(f); _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"refused stream":   func(f *http2.Framer) { _ = f.WriteRSTStream(awaitStream(f), http2.ErrCodeRefusedStream) },
	} {
		l, url := h2Server(t, ca, func(n int, f *http2.Framer) {
			if n > bound {
				answerStream(f, awaitStream(f))
				return
			}
			end(f)
		})
		c := local(t, Options{RootCAs: ca.pool()})
		r, err := c.Do(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: 3 * time.Second})
		wantKind(t, name, err, KindReset, false)
		if l.seen() > maxDials {
			t.Errorf("%s: %d connections, %v", name, l.seen(), r.Tries)
		}
	}
}

// TestSecondTry: a kept connection that ends before any byte of an answer is followed by one request on a fresh
// connection, which is recorded. A fresh connection that ends is not, and there is no third request.
func TestSecondTry(t *testing.T) {
	var posts atomic.Int32
	alive := atomic.Int32{}
	alive.Store(1 << 20)
	server := rawServer(t, func(c net.Conn) { // closes without a word after one answer
		for i := range 2 {
			if r, _ := readRequest(c); r == nil {
				return
			}
			posts.Add(1)
			if i == 0 && alive.Add(-1) >= 0 {
				_, _ = io.WriteString(c, okay)
				continue
			}
			return
		}
	})
	c := local(t, Options{})
	do := func() (Response, error) { return c.Do(t.Context(), Request{URL: server.url(), Body: []byte("{}")}) }
	if r, err := do(); err != nil || r.Tries != nil || r.Timings.Reused {
		t.Fatalf("%+v %v", r, err)
	}
	r, err := do()
	if err != nil || r.Status != 200 || len(r.Tries) != 2 || posts.Load() != 3 || server.seen() != 2 {
		t.Fatalf("%+v %v, %d posts", r, err, posts.Load())
	}
	if first := r.Tries[0]; !first.RemoteIP.IsLoopback() || !strings.HasPrefix(first.Error, "reset: ") {
		t.Errorf("%+v", first)
	}
	if second := r.Tries[1]; second.Error != "" || !second.RemoteIP.IsLoopback() || second.After <= 0 {
		t.Errorf("%+v", second)
	}

	if r, err := do(); err != nil || r.Tries != nil {
		t.Fatalf("%+v %v", r, err)
	}
	alive.Store(0) // the kept one and the fresh one end
	before := posts.Load()
	r, err = do()
	wantKind(t, "both end", err, KindReset, false)
	if len(r.Tries) != 2 || posts.Load() != before+2 {
		t.Errorf("%+v, %d posts", r.Tries, posts.Load()-before)
	}
	before = posts.Load()
	r, err = do() // on a fresh one
	wantKind(t, "fresh", err, KindReset, false)
	if r.Tries != nil || posts.Load() != before+1 {
		t.Errorf("%+v, %d posts", r.Tries, posts.Load()-before)
	}
}

// TestNoSecondTry: after a timeout, after a byte of an answer, and after a cancellation.
func TestNoSecondTry(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(net.Conn)
		kind Kind
	}{
		"silence":     {hang, KindTimeout},
		"half a line": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 2") }, KindProtocol},
		"not HTTP":    {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0\r\n\r\n") }, KindProtocol},
	} {
		var posts atomic.Int32
		server := rawServer(t, func(conn net.Conn) {
			for i := range 2 {
				if r, _ := readRequest(conn); r == nil {
					return
				}
				if posts.Add(1); i == 0 {
					_, _ = io.WriteString(conn, okay)
					continue
				}
				c.end(conn)
			}
		})
		client := local(t, Options{})
		post(t, client, Request{URL: server.url(), Body: []byte("{}")})
		r, err := client.Do(t.Context(), Request{URL: server.url(), Body: []byte("{}"), Timeout: 300 * time.Millisecond})
		wantKind(t, name, err, c.kind, false)
		if !r.Timings.Reused || r.Tries != nil || posts.Load() != 2 {
			t.Errorf("%s: %+v, %d posts", name, r, posts.Load())
		}
	}
}

// TestGoAwayBetweenRequests: a connection that a receiver drains while it is kept is replaced, whether the next
// request sees that or not.
func TestGoAwayBetweenRequests(t *testing.T) {
	ca := newAuthority(t)
	l, url := h2Server(t, ca, func(n int, f *http2.Framer) {
		answerStream(f, awaitStream(f))
		if n%2 == 1 {
			id := awaitStream(f)
			_ = f.WriteGoAway(id-2, http2.ErrCodeNo, nil)
			return
		}
		answerStream(f, awaitStream(f))
		_, _ = io.Copy(io.Discard, nothing{f})
	})
	c := local(t, Options{RootCAs: ca.pool()})
	for i := range 3 {
		if r := post(t, c, Request{URL: url, Body: []byte("{}")}); r.Proto != "HTTP/2.0" {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if l.seen() > 3 {
		t.Errorf("%d connections", l.seen())
	}
}

// nothing reads frames until there are none.
type nothing struct{ *http2.Framer }

func (n nothing) Read([]byte) (int, error) {
	_, err := n.ReadFrame()
	return 0, err
}

// TestHTTP1Required: a host that refuses HTTP/2 is spoken to in HTTP/1.1, at once and for an hour.
func TestHTTP1Required(t *testing.T) {
	ca := newAuthority(t)
	var refused atomic.Int32
	_, url := h2Server(t, ca, func(_ int, f *http2.Framer) {
		if id := awaitStream(f); id != 0 {
			refused.Add(1)
			_ = f.WriteRSTStream(id, http2.ErrCodeHTTP11Required)
		}
	})
	c := local(t, Options{RootCAs: ca.pool()})
	first := post(t, c, Request{URL: url, Body: []byte("{}")})
	if first.Proto != "HTTP/1.1" || len(first.Tries) != 2 || !strings.Contains(first.Tries[0].Error, "HTTP_1_1_REQUIRED") {
		t.Errorf("%+v", first)
	}
	for _, merchant := range []string{"", "mer_b"} {
		r := post(t, c, Request{Tenant: Tenant{Merchant: merchant}, URL: url, Body: []byte("{}")})
		if r.Proto != "HTTP/1.1" || r.Tries != nil {
			t.Errorf("%+v", r)
		}
	}
	if refused.Load() != 1 {
		t.Errorf("asked %d times over HTTP/2", refused.Load())
	}
	host := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/hook")
	if now := time.Now(); !c.wantHTTP1.has(host, now) || c.wantHTTP1.has(host, now.Add(http1For+time.Second)) {
		t.Error("not remembered for an hour")
	}
	for i := range maxHosts + 10 {
		c.wantHTTP1.add(strings.Repeat("x", i), time.Now())
	}
	if len(c.wantHTTP1.until) > maxHosts {
		t.Error(len(c.wantHTTP1.until))
	}
}

// TestConnectionsGrowOld: however busy a connection is, requests move to another one when it is old, and none that is
// under way is cut.
func TestConnectionsGrowOld(t *testing.T) {
	ca := newAuthority(t)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		var mu sync.Mutex
		seen := make(map[string]bool)
		release := make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.RemoteAddr] = true
			mu.Unlock()
			if r.URL.Path == "/long" {
				<-release
			}
		})
		server := httptest.NewUnstartedServer(handler)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil).Certificate}}
		server.EnableHTTP2 = proto == "HTTP/2.0"
		server.StartTLS()
		c := local(t, Options{RootCAs: ca.pool(), MaxConnAge: 200 * time.Millisecond})
		long := make(chan error, 1)
		go func() {
			_, err := c.Do(t.Context(), Request{URL: server.URL + "/long", Body: []byte("{}"), Timeout: time.Minute})
			long <- err
		}()
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(seen)
		}
		for deadline := time.Now().Add(30 * time.Second); count() < 6 && time.Now().Before(deadline); {
			if r := post(t, c, Request{URL: server.URL, Body: []byte("{}")}); r.Proto != proto || r.Tries != nil {
				t.Fatalf("%+v", r)
			}
		}
		if count() < 6 {
			t.Errorf("%s: %d connections", proto, count())
		}
		close(release)
		if err := <-long; err != nil {
			t.Errorf("%s: a request under way was cut: %v", proto, err)
		}
		c.Close()
		server.Close()
	}
}

// TestNamesMove: the name of a busy connection is looked up again when the connection is old, and the table is asked.
func TestNamesMove(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	var now atomic.Value
	now.Store(netip.MustParseAddr("127.0.0.1"))
	c := newClient(t, Options{
		Allow: mustAllow(t, "127.0.0.1, hooks.example.com:"+port), MaxConnAge: 200 * time.Millisecond,
		Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{now.Load().(netip.Addr)}, nil
		}),
	})
	url := "http://hooks.example.com:" + port
	post(t, c, Request{URL: url, Body: []byte("{}")})
	now.Store(netip.MustParseAddr("169.254.169.254"))
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		_, err := c.Do(t.Context(), Request{URL: url, Body: []byte("{}")})
		var e *Error
		if errors.As(err, &e) && e.Kind == KindBlocked {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("the old address was used for ever")
}

// TestAddressesOfOneDial: a name with many addresses that all refuse costs a few connections.
func TestAddressesOfOneDial(t *testing.T) {
	ips := make([]netip.Addr, 50)
	for i := range ips {
		ips[i] = netip.AddrFrom4([4]byte{8, 8, 8, byte(i + 1)})
	}
	p := newTunnels(t, "")
	c := newClient(t, Options{Proxy: &url.URL{Scheme: "http", Host: p.Addr().String()}, Resolver: answer(ips...)})
	_, err := c.Do(t.Context(), Request{URL: "http://hooks.example.com/"})
	wantKind(t, "many", err, KindConnect, false)
	if len(p.asked) != maxAddresses || !strings.Contains(err.Error(), "it answered 502") {
		t.Error(len(p.asked), err)
	}
}

// TestCertificateWords: what is wrong with a chain is said so that a merchant can mend it.
func TestCertificateWords(t *testing.T) {
	root := newAuthority(t)
	middle := root.intermediate(t, "Example Issuing CA")
	full := middle.issue(t, nil)
	for name, c := range map[string]struct {
		sent  [][]byte
		words string
	}{
		"only its own":  {full.Certificate.Certificate[:1], "the server sends only its own certificate; that of Example Issuing CA is missing (use the full chain)"},
		"its own twice": {[][]byte{full.Certificate.Certificate[0], full.Certificate.Certificate[0]}, "that of Example Issuing CA is missing"},
		"another along": {[][]byte{full.Certificate.Certificate[0], newAuthority(t).cert.Raw}, "certificate of Example Issuing CA, which is missing"},
	} {
		cert := full.Certificate
		cert.Certificate = c.sent
		raw := tlsServer(t, leaf{Certificate: cert}, nil)
		_, err := local(t, Options{RootCAs: root.pool()}).Do(t.Context(), Request{URL: raw, Body: []byte("{}")})
		wantKind(t, name, err, KindTLS, false)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cert := full.Certificate
	cert.Certificate = [][]byte{full.Certificate.Certificate[0], middle.cert.Raw}
	if _, err := local(t, Options{RootCAs: root.pool()}).Do(t.Context(),
		Request{URL: tlsServer(t, leaf{Certificate: cert}, nil)}); err != nil {
		t.Error(err)
	}
	for text, sent := range map[string][]byte{"certificate of test authority, which is missing": nil,
		"lead to test authority, an unknown authority": root.cert.Raw} {
		cert := cert
		if sent != nil {
			cert.Certificate = append(cert.Certificate, sent)
		}
		_, err := local(t, Options{RootCAs: x509.NewCertPool()}).Do(t.Context(),
			Request{URL: tlsServer(t, leaf{Certificate: cert}, nil)})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Error(err)
		}
	}
}

// TestCipherWords: a server that takes RSA key exchange only, or only old versions of TLS, learns what we offer.
func TestCipherWords(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert := leaf{Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
	for name, change := range map[string]func(*tls.Config){
		"RSA": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
	} {
		raw := tlsServer(t, cert, func(s *httptest.Server) { change(s.TLS) })
		_, err := local(t, Options{RootCAs: ca.pool()}).Do(t.Context(), Request{URL: raw})
		wantKind(t, name, err, KindTLS, false)
		if err == nil || !strings.Contains(err.Error(), "not RSA key exchange") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProxiesThatAnswer: what an egress proxy says in the receiver's place is no verdict of the receiver's.
func TestProxiesThatAnswer(t *testing.T) {
	public := netip.MustParseAddr("8.8.8.8")
	do := func(p *listener) (Response, error) {
		c := newClient(t, Options{Proxy: &url.URL{Scheme: "http", Host: p.Addr().String()}, Resolver: answer(public)})
		return c.Do(t.Context(), Request{URL: "http://hooks.example.com/", Body: []byte("{}")})
	}
	for answer, words := range map[string]string{
		"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n": "it wants a user and password (407)",
		"HTTP/1.1 403 Forbidden\r\n\r\n":                     "does not allow CONNECT to this address or port (403)",
		"HTTP/1.1 594 Non Successful\r\n\r\n":                "it answered 594",
		"":                                                   "the egress proxy could not connect",
	} {
		r, err := do(rawServer(t, respond(answer)))
		wantKind(t, answer, err, KindConnect, false)
		if r.Status != 0 || err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %d %v", answer, r.Status, err)
		}
	}
	for header, own := range map[string]bool{
		"X-Squid-Error: ERR_DNS_FAIL 0": true, "Proxy-Status: squid; error=destination_unavailable": true,
		"Proxy-Authenticate: Basic": true, "Proxy-Status: cdn": false, "Server: nginx": false,
	} {
		inside := rawServer(t, respond("HTTP/1.1 503 Service Unavailable\r\n"+header+"\r\nContent-Length: 0\r\n\r\n"))
		r, err := do(newTunnels(t, inside.Addr().String()).listener)
		if own {
			wantKind(t, header, err, KindConnect, false)
			if r.Status != 0 || !strings.Contains(err.Error(), "the receiver was not asked") {
				t.Errorf("%s: %d %v", header, r.Status, err)
			}
		} else if err != nil || r.Status != 503 {
			t.Errorf("%s: %d %v", header, r.Status, err)
		}
	}
}
