package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

type leaf struct {
	tls.Certificate
	certPEM, keyPEM, pin string
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// intermediate makes an authority under another one.
func (a *authority) intermediate(t testing.TB, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func pinOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) leaf {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return leaf{
		tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: cert},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), pinOf(cert),
	}
}

// tlsServer serves HTTPS with one certificate; the answer is the protocol and the client's common name.
func tlsServer(t testing.TB, cert leaf, change func(*httptest.Server)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
		if len(r.TLS.PeerCertificates) > 0 {
			_, _ = io.WriteString(w, " "+r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert.Certificate}}
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	client := local(t, Options{RootCAs: ca.pool()})
	selfSigned := func() leaf {
		a := newAuthority(t)
		return leaf{Certificate: tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}}
	}
	for name, c := range map[string]struct {
		cert   leaf
		change func(*httptest.Server)
		text   string // "" means that it works
	}{
		"good":        {ca.issue(t, nil), nil, ""},
		"TLS 1.2":     {ca.issue(t, nil), func(s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS12 }, ""},
		"TLS 1.1":     {ca.issue(t, nil), func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "protocol version"},
		"expired":     {ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, "expired"},
		"not yet":     {ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), nil, "not yet valid"},
		"wrong host":  {ca.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(1, 2, 3, 4)} }), nil, "valid for 1.2.3.4"},
		"other CA":    {other.issue(t, nil), nil, "unknown authority"},
		"self-signed": {selfSigned(), nil, "certificate"},
		"for clients": {ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), nil, "incompatible key usage"},
	} {
		raw := tlsServer(t, c.cert, c.change)
		r, err := client.Do(t.Context(), Request{URL: raw, Body: []byte("{}")})
		if c.text == "" {
			if err != nil || r.Status != 200 || r.Timings.TLS <= 0 || r.RemoteIP.String() != "127.0.0.1" {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		wantKind(t, name, err, KindTLS, false)
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesInCertificates(t *testing.T) {
	ca := newAuthority(t)
	client := local(t, Options{RootCAs: ca.pool()})
	raw := strings.Replace(tlsServer(t, ca.issue(t, func(c *x509.Certificate) { c.IPAddresses = nil }), nil), "127.0.0.1",
		"localhost", 1)
	if r, err := client.Do(t.Context(), Request{URL: raw}); err != nil || r.Status != 200 {
		t.Error(r.Status, err)
	}
	raw = strings.Replace(tlsServer(t, ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }),
		nil), "127.0.0.1", "localhost", 1)
	_, err := client.Do(t.Context(), Request{URL: raw})
	wantKind(t, "wrong name", err, KindTLS, false)
}

func TestNotTLS(t *testing.T) {
	client := local(t, Options{})
	plain := rawServer(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1000))
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	_, err := client.Do(t.Context(), Request{URL: "https://" + plain.Addr().String()})
	wantKind(t, "plain", err, KindTLS, false)
	closing := rawServer(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)) })
	_, err = client.Do(t.Context(), Request{URL: "https://" + closing.Addr().String()})
	wantKind(t, "closing", err, KindTLS, false)
	_, err = client.Do(t.Context(), Request{URL: "https://" + rawServer(t, hang).Addr().String(), Timeout: millis(150)})
	wantKind(t, "hanging", err, KindTimeout, false)
}

func TestOwnAuthorities(t *testing.T) {
	system, own := newAuthority(t), newAuthority(t)
	client := local(t, Options{RootCAs: system.pool()})
	raw := tlsServer(t, own.issue(t, nil), nil)
	_, err := client.Do(t.Context(), Request{URL: raw})
	wantKind(t, "without", err, KindTLS, false)
	r, err := client.Do(t.Context(), Request{URL: raw, TLS: TLSSettings{CAPEM: system.pem + own.pem}})
	if err != nil || r.Status != 200 {
		t.Error(r.Status, err)
	}
	_, err = client.Do(t.Context(), Request{URL: tlsServer(t, system.issue(t, nil), nil),
		TLS: TLSSettings{CAPEM: own.pem}})
	wantKind(t, "the bundle stands instead of the system's", err, KindTLS, false)
}

func TestPins(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, nil)
	// The server sends along a certificate that it has no key for, and that is not part of the chain.
	cert.Certificate.Certificate = append(cert.Certificate.Certificate, other.cert.Raw)
	raw := tlsServer(t, cert, nil)
	client := local(t, Options{RootCAs: ca.pool()})
	for name, c := range map[string]struct {
		pins []string
		ok   bool
	}{
		"leaf":           {[]string{cert.pin}, true},
		"authority":      {[]string{pinOf(ca.cert)}, true},
		"one of several": {[]string{pinOf(other.cert), cert.pin}, true},
		"another":        {[]string{ca.issue(t, nil).pin}, false},
		"sent along":     {[]string{pinOf(other.cert)}, false},
	} {
		for range 2 { // again, with a session ticket at hand
			r, err := client.Do(t.Context(), Request{URL: raw, TLS: TLSSettings{SPKIPins: c.pins}})
			if c.ok && (err != nil || r.Status != 200) {
				t.Errorf("%s: %v", name, err)
			}
			if !c.ok {
				wantKind(t, name, err, KindTLS, false)
			}
			for _, e := range client.pools {
				e.Value.(*pool).closeIdle()
			}
		}
	}
	// A pin does not stand in for an authority.
	_, err := local(t, Options{RootCAs: other.pool()}).Do(t.Context(),
		Request{URL: raw, TLS: TLSSettings{SPKIPins: []string{cert.pin}}})
	wantKind(t, "unverified", err, KindTLS, false)
}

func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	mine, foreign := ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "gateway" }), other.issue(t, nil)
	client := local(t, Options{RootCAs: ca.pool()})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		raw := tlsServer(t, ca.issue(t, nil), func(s *httptest.Server) {
			s.TLS.ClientAuth, s.TLS.ClientCAs, s.TLS.MaxVersion = tls.RequireAndVerifyClientCert, ca.pool(), version
		})
		r, err := client.Do(t.Context(), Request{URL: raw,
			TLS: TLSSettings{ClientCertPEM: mine.certPEM, ClientKeyPEM: mine.keyPEM}})
		if err != nil || string(r.Body) != "HTTP/1.1 gateway" {
			t.Errorf("%s, %v", r.Body, err)
		}
		for name, settings := range map[string]TLSSettings{"none": {},
			"foreign": {ClientCertPEM: foreign.certPEM, ClientKeyPEM: foreign.keyPEM}} {
			_, err := client.Do(t.Context(), Request{URL: raw, TLS: settings})
			var e *Error
			// In TLS 1.3 the server's alert comes after the handshake, and the reset behind it may overtake it.
			if !errors.As(err, &e) || e.Kind != KindTLS && (version == tls.VersionTLS12 || e.Kind != KindReset) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestTLSSettingsCheck(t *testing.T) {
	ca := newAuthority(t)
	a, b := ca.issue(t, nil), ca.issue(t, nil)
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for name, c := range map[string]struct {
		settings TLSSettings
		field    string
	}{
		"zero":            {TLSSettings{}, ""},
		"all":             {TLSSettings{CAPEM: ca.pem + ca.pem, SPKIPins: []string{a.pin, b.pin}, ClientCertPEM: a.certPEM + ca.pem, ClientKeyPEM: a.keyPEM}, ""},
		"no certificate":  {TLSSettings{CAPEM: "x"}, "ca_pem"},
		"key as CA":       {TLSSettings{CAPEM: a.keyPEM}, "ca_pem"},
		"broken CA":       {TLSSettings{CAPEM: ca.pem + broken}, "ca_pem"},
		"short pin":       {TLSSettings{SPKIPins: []string{a.pin, "AAAA"}}, "spki_pins"},
		"hex pin":         {TLSSettings{SPKIPins: []string{strings.Repeat("ab", 32)}}, "spki_pins"},
		"empty pin":       {TLSSettings{SPKIPins: []string{""}}, "spki_pins"},
		"only a cert":     {TLSSettings{ClientCertPEM: a.certPEM}, "client_cert"},
		"only a key":      {TLSSettings{ClientKeyPEM: a.keyPEM}, "client_cert"},
		"another's key":   {TLSSettings{ClientCertPEM: a.certPEM, ClientKeyPEM: b.keyPEM}, "client_cert"},
		"the wrong way":   {TLSSettings{ClientCertPEM: a.keyPEM, ClientKeyPEM: a.certPEM}, "client_cert"},
		"a broken client": {TLSSettings{ClientCertPEM: broken, ClientKeyPEM: a.keyPEM}, "client_cert"},
	} {
		err := c.settings.Check()
		var field *TLSFieldError
		if c.field == "" && err != nil || c.field != "" && (!errors.As(err, &field) || field.Field != c.field) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHTTP2(t *testing.T) {
	ca := newAuthority(t)
	raw := tlsServer(t, ca.issue(t, nil), func(s *httptest.Server) { s.EnableHTTP2 = true })
	client := local(t, Options{RootCAs: ca.pool()})
	for i := range 3 {
		r, err := client.Do(t.Context(), Request{URL: raw, Body: []byte("{}")})
		if err != nil || r.Proto != "HTTP/2.0" || string(r.Body) != "HTTP/2.0" || r.Timings.Reused != (i > 0) ||
			r.RemoteIP.String() != "127.0.0.1" {
			t.Fatalf("%+v, %v", r, err)
		}
		if (r.Timings.TLS > 0) != (i == 0) || r.Timings.FirstByte <= 0 {
			t.Errorf("%+v", r.Timings)
		}
	}
}

func TestHTTP2Faults(t *testing.T) {
	ca := newAuthority(t)
	release := make(chan struct{})
	raw := tlsServer(t, ca.issue(t, nil), func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/headers":
				w.Header().Set("X-A", strings.Repeat("x", 40<<10))
			case "/hang":
				<-release
			case "/cut":
				_, _ = io.WriteString(w, "abc")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case "/big":
				_, _ = w.Write(make([]byte, 1<<20))
			}
		})
	})
	client := local(t, Options{RootCAs: ca.pool()})
	for path, want := range map[string]Kind{"/abort": KindReset, "/headers": KindProtocol, "/hang": KindTimeout} {
		_, err := client.Do(t.Context(), Request{URL: raw + path, Timeout: millis(300)})
		wantKind(t, path, err, want, false)
	}
	close(release)
	r, err := client.Do(t.Context(), Request{URL: raw + "/cut"})
	if err != nil || r.Status != 200 || string(r.Body) != "abc" {
		t.Error(r, err)
	}
	wantKind(t, "cut", r.BodyErr, KindReset, false)
	if r, err := client.Do(t.Context(), Request{URL: raw + "/big"}); err != nil || len(r.Body) != 16<<10 ||
		!r.BodyTruncated {
		t.Error(len(r.Body), err)
	}
}
