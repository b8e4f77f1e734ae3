package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestClassify(t *testing.T) {
	sys := func(op string, errno syscall.Errno) error {
		return &net.OpError{Op: op, Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 443},
			Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}, Err: os.NewSyscallError(op, errno)}
	}
	for _, c := range []struct {
		name string
		err  error
		want Kind
	}{
		{"nil", nil, ""},
		{"own", &Error{Kind: KindDNS, Err: io.EOF}, KindDNS},
		{"blocked", &net.OpError{Op: "dial", Err: &blockedError{"a private address"}}, KindBlocked},
		{"url", &URLError{Reason: "has no host"}, KindBlocked},
		{"deadline", context.DeadlineExceeded, KindTimeout},
		{"deadline in a handshake", &handshakeError{context.DeadlineExceeded}, KindTimeout},
		{"deadline in a look-up", &net.DNSError{Err: "x", UnwrapErr: context.DeadlineExceeded}, KindTimeout},
		{"os deadline", os.ErrDeadlineExceeded, KindTimeout},
		{"dial timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, KindTimeout},
		{"ETIMEDOUT while dialing", sys("connect", syscall.ETIMEDOUT), KindTimeout},
		{"ETIMEDOUT while reading", sys("read", syscall.ETIMEDOUT), KindTimeout},
		{"no such host", &net.DNSError{Err: "no such host", Name: "h", Server: "10.0.0.2:53", IsNotFound: true}, KindDNS},
		{"name server silent", &net.DNSError{Err: "i/o timeout", Server: "10.0.0.2:53", IsTimeout: true}, KindDNS},
		{"SERVFAIL", &net.DNSError{Err: "server misbehaving", Server: "10.0.0.2:53", IsTemporary: true}, KindDNS},
		{"dial in DNS", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "x"}}, KindDNS},
		{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, KindConnect},
		{"refused, bare", syscall.ECONNREFUSED, KindConnect},
		{"unreachable", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, KindConnect},
		{"no ports left", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, KindConnect},
		{"reset while dialing", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}, KindConnect},
		{"too many files", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, KindConnect},
		{"proxy", &proxyError{errors.New("CONNECT answered 502")}, KindConnect},
		{"proxy's name", &proxyError{&net.DNSError{Err: "no such host"}}, KindConnect},
		{"proxy's certificate", &proxyError{x509.UnknownAuthorityError{}}, KindConnect},
		{"reset", sys("read", syscall.ECONNRESET), KindReset},
		{"broken pipe", sys("write", syscall.EPIPE), KindReset},
		{"aborted", sys("read", syscall.ECONNABORTED), KindReset},
		{"reset in a handshake", &handshakeError{sys("read", syscall.ECONNRESET)}, KindReset},
		{"EOF", io.EOF, KindReset},
		{"EOF, wrapped", fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", io.ErrUnexpectedEOF), KindReset},
		{"closed", net.ErrClosed, KindReset},
		{"closed while idle", errors.New("http: server closed idle connection"), KindReset},
		{"h2 stream", errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"), KindReset},
		{"h2 goaway", errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1"), KindReset},
		{"h2 lost", errors.New("http2: client connection lost"), KindReset},
		{"EOF in a handshake", &handshakeError{io.EOF}, KindTLS},
		{"handshake", &handshakeError{errors.New("tls: no supported versions")}, KindTLS},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, KindTLS},
		{"authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, KindTLS},
		{"host name", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, KindTLS},
		{"expired", x509.CertificateInvalidError{Reason: x509.Expired}, KindTLS},
		{"authority, bare", x509.UnknownAuthorityError{}, KindTLS},
		{"not TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, KindTLS},
		{"pin", &handshakeError{errPin}, KindTLS},
		{"settings", &TLSFieldError{"ca_pem", "holds no PEM certificate"}, KindTLS},
		{"malformed", errors.New(`malformed HTTP response "SSH-2.0-x"`), KindProtocol},
		{"headers", errors.New("net/http: server response headers exceeded 32768 bytes; aborted"), KindProtocol},
		{"unknown", errors.New("?"), KindProtocol},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.err == nil {
			continue
		}
		text := (&Error{Kind: Classify(c.err), Err: c.err}).Error()
		if !strings.HasPrefix(text, string(c.want)+": ") || strings.Contains(text, "10.") || strings.Contains(text, "\n") ||
			len(text) > 260 {
			t.Errorf("%s: %q", c.name, text)
		}
	}
}

// TestErrorTexts: what a hostile server says is cut and cleaned, and names of our network stay at home.
func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("malformed \x1b[31m\r\n\x00" + strings.Repeat("é", 300)), "protocol: malformed .[31m..." + strings.Repeat("é", 91) + "…"},
		{&net.DNSError{Err: "no such host", Name: "secret-host", Server: "10.0.0.2:53", IsNotFound: true}, "dns: no such host"},
		{&net.OpError{Op: "read", Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "reset: connection reset by peer"},
		{&blockedError{"the host resolves to a private address"}, "blocked: the host resolves to a private address"},
		{context.DeadlineExceeded, "timeout: no answer in time"},
		{&URLError{Reason: "must use port 80 or 443"}, "blocked: the URL must use port 80 or 443"},
	} {
		if got := (&Error{Kind: Classify(c.err), Err: c.err}).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestErrorsHoldNoSecrets lets requests with a secret in every place fail in every way that is quickly done.
func TestErrorsHoldNoSecrets(t *testing.T) {
	const secret = "s3cr3t"
	refused := rawServer(t, hang)
	_ = refused.Close()
	odd := rawServer(t, respond("220 smtp\r\n"))
	c := local(t, Options{})
	for _, raw := range []string{
		"http://127.0.0.1:" + refused.port() + "/s3cr3t?token=s3cr3t", "http://127.0.0.1:" + odd.port() + "/s3cr3t?token=s3cr3t",
		"https://127.0.0.1:" + odd.port() + "/s3cr3t?token=s3cr3t", "https://user:s3cr3t@127.0.0.1/s3cr3t", "http://10.0.0.1/s3cr3t?s3cr3t#s3cr3t",
		"http://s3cr3t/", "s3cr3t://x", "http://127.0.0.1:s3cr3t/", "http://[s3cr3t]/", "http://%s3cr3t/",
	} {
		r := Request{URL: raw, Header: map[string][]string{"Authorization": {secret}}, Body: []byte(secret),
			TLS: TLSSettings{CAPEM: secret, SPKIPins: []string{secret}, ClientCertPEM: secret, ClientKeyPEM: secret}}
		for _, settings := range []TLSSettings{{}, r.TLS, {SPKIPins: r.TLS.SPKIPins},
			{ClientCertPEM: secret, ClientKeyPEM: secret}, {ClientKeyPEM: secret}} {
			var out bytes.Buffer
			fmt.Fprintf(&out, "%v %+v %#v %s %x", settings, settings, settings, settings, settings)
			r.TLS = settings
			_, err := c.Do(t.Context(), r)
			if err == nil {
				t.Fatalf("%s succeeded", raw)
			}
			fmt.Fprint(&out, err, fmt.Sprintf("%+v %q", err, err))
			_, err = c.CheckURL(Tenant{}, raw)
			fmt.Fprint(&out, err, settings.Check())
			if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s: %s", raw, &out)
			}
		}
	}
}

func TestResolverFailures(t *testing.T) {
	for name, c := range map[string]struct {
		resolve resolverFunc
		want    Kind
	}{
		"no such host": {func(context.Context, string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}, KindDNS},
		"other":   {func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("broken") }, KindDNS},
		"nothing": {func(context.Context, string) ([]netip.Addr, error) { return nil, nil }, KindDNS},
		"silent": {func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
		}, KindTimeout},
	} {
		client := newClient(t, Options{Resolver: c.resolve})
		_, err := client.Do(t.Context(), Request{URL: "https://hooks.example.com/", Timeout: millis(100)})
		wantKind(t, name, err, c.want, false)
	}
}
