package egress

import (
	"context"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil)
	raw := tlsServer(t, cert, func(s *httptest.Server) { s.EnableHTTP2 = true })
	c := local(t, Options{RootCAs: ca.pool()})
	r, err := c.Probe(t.Context(), Tenant{}, raw+"/hook?token=x", TLSSettings{SPKIPins: []string{cert.pin}})
	if err != nil {
		t.Fatal(err)
	}
	if r.TLSVersion != "TLS 1.3" || r.Protocol != "h2" || r.Subject != "CN=leaf" || r.Issuer != "CN=test authority" ||
		!r.RemoteIP.IsLoopback() ||
		!slices.Equal(r.SPKI, []string{cert.pin, pinOf(ca.cert)}) || !r.NotAfter.Equal(cert.Leaf.NotAfter) ||
		r.NotAfter.Location() != time.UTC || r.Port80 == "" {
		t.Errorf("%+v", r)
	}
	_, err = c.Probe(t.Context(), Tenant{}, raw, TLSSettings{SPKIPins: []string{pinOf(newAuthority(t).cert)}})
	wantKind(t, "pin", err, KindTLS, false)
	_, err = c.Probe(t.Context(), Tenant{}, raw, TLSSettings{CAPEM: "x"})
	wantKind(t, "settings", err, KindTLS, false)
	_, err = c.Probe(t.Context(), Tenant{}, "https://10.0.0.1/", TLSSettings{})
	wantKind(t, "form", err, KindBlocked, true)
	_, err = newClient(t, Options{Resolver: answer(netip.MustParseAddr("10.0.0.1"))}).Probe(t.Context(), Tenant{},
		"https://hooks.example.com/", TLSSettings{})
	wantKind(t, "address", err, KindBlocked, false)
	plain := rawServer(t, hang)
	if r, err := c.Probe(t.Context(), Tenant{}, plain.url(), TLSSettings{}); err != nil || r.TLSVersion != "" ||
		!r.RemoteIP.IsLoopback() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestProbeOfPort80(t *testing.T) {
	closed := rawServer(t, hang)
	_ = closed.Close()
	for name, x := range map[string]struct {
		server *listener
		want   Plaintext
	}{
		"nobody":            {closed, PlaintextRefused},
		"hangs up":          {rawServer(t, func(c net.Conn) { readRequest(c) }), PlaintextRefused},
		"silent":            {rawServer(t, hang), PlaintextRefused},
		"redirects":         {rawServer(t, respond("HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/\r\n\r\n")), PlaintextRedirected},
		"redirects to http": {rawServer(t, respond("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\n\r\n")), PlaintextAnswered},
		"answers":           {rawServer(t, respond("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), PlaintextAnswered},
		"endless headers":   {rawServer(t, respond("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("x", 64<<10))), PlaintextAnswered},
	} {
		c := local(t, Options{Timeout: millis(300)})
		d, err := c.newDialer(Tenant{}, TLSSettings{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), millis(300))
		got := d.probePlain(ctx, &url.URL{Scheme: "https", Host: "127.0.0.1", Path: "/secret"}, x.server.port())
		cancel()
		if got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	d := &dialer{policy: &policy{}, timeout: time.Second}
	if got := d.probePlain(t.Context(), &url.URL{Host: "10.0.0.1"}, "80"); got != PlaintextUnknown {
		t.Error(got)
	}
}
