package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Resolver turns a name into addresses; *net.Resolver is one. It is asked once for each connection.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxDials is how many connections one request may open, whatever the receiver does with them.
	maxDials = 3
	// maxAddresses is how many addresses of a family one dial tries.
	maxAddresses = 4
)

// fallbackDelay is the head start of the preferred address family (RFC 8305).
const fallbackDelay = 300 * time.Millisecond

// conn is a connection that knows where it went and how long that took.
type conn struct {
	net.Conn
	remote            netip.Addr
	dns, connect, tls time.Duration
}

// dialer opens the connections of one pool.
type dialer struct {
	who      Tenant
	host     string // the name that one dial is for, "" for a literal address
	searches bool   // the name may need the search list of resolv.conf
	policy   *policy
	resolver Resolver
	proxy    *url.URL
	roots    *x509.CertPool // for an https proxy
	tls      *tls.Config
	timeout  time.Duration

	maxHeader int64 // of what a proxy or a probe reads
}

// withoutHTTP2 is a dialer that does not offer it.
func (d *dialer) withoutHTTP2() *dialer {
	plain := *d
	plain.tls = d.tls.Clone()
	plain.tls.NextProtos = []string{"http/1.1"}
	return &plain
}

// withDeadline bounds a dial by the request that asked for it: net/http runs dials apart from the request's context,
// which it passes on without its end.
func (d *dialer) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if a := attemptOf(ctx); a != nil {
		return context.WithDeadline(ctx, a.deadline)
	}
	return context.WithTimeout(ctx, d.timeout)
}

// dialPlain is Transport.DialContext.
func (d *dialer) dialPlain(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := d.withDeadline(ctx)
	defer cancel()
	c, _, err := d.open(ctx, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialTLS is Transport.DialTLSContext.
func (d *dialer) dialTLS(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := d.withDeadline(ctx)
	defer cancel()
	c, host, err := d.open(ctx, address)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = host
	start := time.Now()
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		if ctx.Err() != nil { // closing the connection at the deadline looks like any other network error
			err = ctx.Err()
		}
		return nil, &handshakeError{err}
	}
	c.tls = time.Since(start)
	return secure, nil
}

// open resolves, checks and connects.
func (d *dialer) open(ctx context.Context, address string) (*conn, string, error) {
	if !attemptOf(ctx).mayDial() {
		return nil, "", errTooManyDials
	}
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, "", err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		named := *d
		named.host = host
		if d.policy.allowsName(d.who, destination{host, port}) {
			_, public := publicsuffix.PublicSuffix(host)
			named.searches = !public
		}
		d = &named
	}
	start := time.Now()
	ips, err := d.resolve(ctx, host)
	if err != nil {
		return nil, "", err
	}
	resolved := time.Now()
	for _, ip := range ips {
		if what := d.policy.refuseAt(d.who, destination{d.host, port}, ip); what != "" {
			return nil, "", &blockedError{"the host resolves to " + what}
		}
	}
	raw, remote, err := d.race(ctx, ips, port)
	if err != nil {
		return nil, "", err
	}
	return &conn{Conn: raw, remote: remote, dns: resolved.Sub(start), connect: time.Since(resolved)}, host, nil
}

func splitAddress(address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("split address: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port: %w", err)
	}
	return host, uint16(port), nil
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	// The final dot keeps the search list of resolv.conf out of it; localhost stands in a file, without one, and a name
	// of their own network that the operator allowed may need the list.
	name := host
	if _, system := d.resolver.(*net.Resolver); system && host != "localhost" && !d.searches {
		name += "."
	}
	ips, err := d.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if Classify(err) != KindTimeout {
			err = asDNSError(err)
		}
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no addresses", IsNotFound: true}
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// race tries the addresses in order, those of the other family after a short while beside them.
func (d *dialer) race(ctx context.Context, ips []netip.Addr, port uint16) (net.Conn, netip.Addr, error) {
	var first, second []netip.Addr
	for _, ip := range ips {
		list := &second
		if ip.Is4() == ips[0].Is4() {
			list = &first
		}
		if len(*list) < maxAddresses {
			*list = append(*list, ip)
		}
	}
	if len(second) == 0 {
		return d.inOrder(ctx, first, port)
	}
	type outcome struct {
		conn   net.Conn
		remote netip.Addr
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan outcome, 2)
	try := func(list []netip.Addr) {
		c, remote, err := d.inOrder(ctx, list, port)
		results <- outcome{c, remote, err}
	}
	go try(first)
	delay := time.NewTimer(fallbackDelay)
	defer delay.Stop()
	running, started := 1, false
	var firstErr error
	for {
		select {
		case <-delay.C:
		case o := <-results:
			running--
			if o.err == nil {
				if running > 0 { // the loser's connection is closed when it comes
					go func() {
						if late := <-results; late.conn != nil {
							_ = late.conn.Close()
						}
					}()
				}
				return o.conn, o.remote, nil
			}
			if firstErr == nil {
				firstErr = o.err
			}
		}
		if !started {
			started = true
			running++
			go try(second)
		}
		if running == 0 {
			return nil, netip.Addr{}, firstErr
		}
	}
}

// inOrder connects to the first address that answers, leaving each its share of the time that is left.
func (d *dialer) inOrder(ctx context.Context, ips []netip.Addr, port uint16) (net.Conn, netip.Addr, error) {
	var firstErr error
	for i, ip := range ips {
		share := ctx
		cancel := context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && i < len(ips)-1 {
			share, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(len(ips)-i), time.Second))
		}
		c, err := d.connect(share, netip.AddrPortFrom(ip, port))
		cancel()
		if err == nil {
			return c, ip, nil
		}
		if firstErr == nil {
			firstErr = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.Addr{}, firstErr
}

// connect opens one connection to one address that was checked before, and checks it again where the socket is made, or
// where the proxy is asked to make it.
func (d *dialer) connect(ctx context.Context, to netip.AddrPort) (c net.Conn, err error) {
	a := attemptOf(ctx)
	if !a.mayConnect() {
		return nil, errTooManyDials
	}
	defer func() { a.connected(err) }()
	if d.proxy != nil {
		if what := d.policy.refuseAt(d.who, destination{d.host, to.Port()}, to.Addr()); what != "" {
			return nil, &blockedError{"the host resolves to " + what}
		}
		return d.throughProxy(ctx, to)
	}
	nd := net.Dialer{KeepAlive: -1, Control: d.control}
	return nd.DialContext(ctx, "tcp", to.String())
}

// control sees the address that the socket will really connect to.
func (d *dialer) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return &blockedError{"not an address"}
	}
	if what := d.policy.refuseAt(d.who, destination{d.host, to.Port()}, to.Addr()); what != "" {
		return &blockedError{"the host resolves to " + what}
	}
	return nil
}

// throughProxy asks the operator's proxy for a tunnel to the checked address itself.
func (d *dialer) throughProxy(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	port := d.proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[d.proxy.Scheme]
	}
	var nd net.Dialer
	raw, err := nd.DialContext(ctx, "tcp", net.JoinHostPort(d.proxy.Hostname(), port))
	if err != nil {
		return nil, &proxyError{err}
	}
	c, err := d.tunnel(ctx, raw, to)
	if err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &proxyError{err}
	}
	return c, nil
}

func (d *dialer) tunnel(ctx context.Context, c net.Conn, to netip.AddrPort) (net.Conn, error) {
	if d.proxy.Scheme == "https" {
		secure := tls.Client(c, &tls.Config{ServerName: d.proxy.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: d.roots})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c = secure
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if d.proxy.Scheme == "socks5" {
		if err := socks(c, d.proxy.User, to); err != nil {
			return nil, err
		}
		return c, c.SetDeadline(time.Time{})
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to.String()}, Host: to.String(),
		Header: http.Header{}}
	if u := d.proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(c); err != nil {
		return nil, err
	}
	// One byte at a time, so that nothing of the tunnel is read ahead.
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{&limited{c, d.maxHeader}}, 16), req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, proxyAnswer(resp.StatusCode)
	}
	return c, c.SetDeadline(time.Time{})
}

// oneByte hands out single bytes, so that a buffer over it never holds more than was asked for.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.Conn.Read(p[:1])
}

// asDNSError makes whatever a resolver says a *net.DNSError.
func asDNSError(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return err
	}
	return &net.DNSError{Err: "lookup failed", UnwrapErr: err}
}
