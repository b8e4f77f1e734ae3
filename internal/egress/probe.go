package egress

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Plaintext says what port 80 of a host did when it was asked without TLS.
type Plaintext string

// What a probe finds on port 80. Refused, which is also no answer at all, is what it should be; a redirect to https is
// tolerable.
const (
	PlaintextRefused    Plaintext = "refused"
	PlaintextRedirected Plaintext = "redirected"
	PlaintextAnswered   Plaintext = "answered"
	PlaintextUnknown    Plaintext = "unknown" // the probe itself was blocked, or failed in another way
)

// ProbeResult is what [Client.Probe] found.
type ProbeResult struct {
	RemoteIP   netip.Addr
	TLSVersion string    // "TLS 1.3"; "" for http
	Protocol   string    // "h2", "http/1.1"; what ALPN agreed on
	Subject    string    // of the server's certificate
	Issuer     string    // of the server's certificate
	NotAfter   time.Time // the earliest end of validity in the verified chain, UTC
	SPKI       []string  // base64 SHA-256 of each key in the verified chain, server first: what may be pinned
	Port80     Plaintext
}

// Probe connects to the host of an endpoint under the same rules as [Client.Do], completes the TLS handshake with its
// settings, sends nothing, and then asks port 80 for the head of "/". The error is that of the connection to the
// endpoint, an *[Error].
func (c *Client) Probe(ctx context.Context, who Tenant, raw string, settings TLSSettings) (ProbeResult, error) {
	target, err := c.target(who, raw)
	if err != nil {
		return ProbeResult{}, &Error{Kind: KindBlocked, Err: err, ByForm: true}
	}
	d, err := c.newDialer(who, settings)
	if err != nil {
		return ProbeResult{}, &Error{Kind: KindTLS, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	u := target.request.URL
	address := net.JoinHostPort(u.Hostname(), portText(u))
	var out ProbeResult
	if u.Scheme == "https" {
		out, err = d.probeTLS(ctx, address)
	} else {
		out, err = d.probeTCP(ctx, address)
	}
	if err != nil {
		return ProbeResult{}, &Error{Kind: Classify(err), Err: err}
	}
	out.Port80 = d.probePlain(ctx, u, "80")
	return out, nil
}

func portText(u *url.URL) string {
	port, _ := portOf(u) // the target was checked
	return fmt.Sprint(port)
}

func (d *dialer) probeTCP(ctx context.Context, address string) (ProbeResult, error) {
	c, err := d.dialPlain(ctx, "tcp", address)
	if err != nil {
		return ProbeResult{}, err
	}
	defer c.Close()
	return ProbeResult{RemoteIP: c.(*conn).remote}, nil
}

func (d *dialer) probeTLS(ctx context.Context, address string) (ProbeResult, error) {
	c, err := d.dialTLS(ctx, "tcp", address)
	if err != nil {
		return ProbeResult{}, err
	}
	defer c.Close()
	secure := c.(*tls.Conn)
	state := secure.ConnectionState()
	out := ProbeResult{
		RemoteIP: secure.NetConn().(*conn).remote, TLSVersion: tls.VersionName(state.Version),
		Protocol: state.NegotiatedProtocol, Subject: plain(state.PeerCertificates[0].Subject.String()),
		Issuer: plain(state.PeerCertificates[0].Issuer.String()),
	}
	for _, cert := range state.VerifiedChains[0] {
		if out.NotAfter.IsZero() || cert.NotAfter.Before(out.NotAfter) {
			out.NotAfter = cert.NotAfter.UTC()
		}
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		out.SPKI = append(out.SPKI, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return out, nil
}

// probePlain asks without TLS; neither path nor query goes out, because either may hold a token.
func (d *dialer) probePlain(ctx context.Context, u *url.URL, port string) Plaintext {
	c, err := d.dialPlain(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		if kind := Classify(err); kind == KindConnect || kind == KindTimeout || kind == KindReset {
			return PlaintextRefused
		}
		return PlaintextUnknown
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if c.SetDeadline(deadline) != nil {
		return PlaintextUnknown
	}
	req := &http.Request{Method: http.MethodHead, URL: &url.URL{Path: "/"}, Host: u.Hostname(),
		Header: http.Header{"User-Agent": {"ctrip-webhook/1"}, "Accept": {"*/*"}, "Connection": {"close"}}}
	if strings.Contains(req.Host, ":") {
		req.Host = "[" + req.Host + "]"
	}
	if req.Write(c) != nil {
		return PlaintextRefused
	}
	resp, err := http.ReadResponse(bufio.NewReader(&limited{c, d.maxHeader}), req)
	switch {
	case err != nil && Classify(err) == KindProtocol:
		return PlaintextAnswered
	case err != nil:
		return PlaintextRefused
	case resp.StatusCode >= 300 && resp.StatusCode <= 399 &&
		strings.HasPrefix(strings.ToLower(resp.Header.Get("Location")), "https://"):
		return PlaintextRedirected
	}
	return PlaintextAnswered
}

// limited ends a connection after so many bytes.
type limited struct {
	net.Conn
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("headers too long")
	}
	n, err := l.Conn.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
