package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// errTooManyDials is the failure of a request for which the receiver let three connections come to nothing.
var errTooManyDials = &drainingError{}

type drainingError struct{}

func (*drainingError) Error() string {
	return "the receiver closed 3 connections before one of them took the request; is it shutting down?"
}

// describeVerification says what is wrong with a certificate. A server without its intermediate is the commonest
// case, and looks to Go like one that signed its certificate itself.
func describeVerification(err *tls.CertificateVerificationError) string {
	var unknown x509.UnknownAuthorityError
	if len(err.UnverifiedCertificates) == 0 || !errors.As(err.Err, &unknown) {
		return plain(err.Err.Error())
	}
	sent := err.UnverifiedCertificates
	last, links := sent[0], 1
	for range sent { // follow the issuers among what was sent
		next := issuerAmong(sent, last)
		if next == nil {
			break
		}
		last, links = next, links+1
	}
	switch {
	case bytes.Equal(last.RawIssuer, last.RawSubject):
		if links == 1 {
			return "the server's certificate is signed by itself (set ca_pem to trust it)"
		}
		return "the server's certificates lead to " + issuerName(last) +
			", an unknown authority (set ca_pem to trust it)"
	case links == 1 && onlyOwn(sent):
		return "the server sends only its own certificate; that of " + issuerName(last) +
			" is missing (use the full chain), or is an authority of your own (set ca_pem)"
	}
	return "the server does not send the certificate of " + issuerName(last) +
		", which is missing (use the full chain), or is an authority of your own (set ca_pem)"
}

func issuerAmong(sent []*x509.Certificate, of *x509.Certificate) *x509.Certificate {
	if bytes.Equal(of.RawIssuer, of.RawSubject) {
		return nil
	}
	for _, c := range sent {
		if bytes.Equal(c.RawSubject, of.RawIssuer) && !c.Equal(of) {
			return c
		}
	}
	return nil
}

func onlyOwn(sent []*x509.Certificate) bool {
	for _, c := range sent[1:] {
		if !c.Equal(sent[0]) {
			return false
		}
	}
	return true
}

func issuerName(c *x509.Certificate) string {
	name := c.Issuer.CommonName
	if name == "" {
		name = c.Issuer.String()
	}
	const most = 80
	if name = plain(name); len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// offered is what docs/webhooks.md says of our side of a handshake.
const offered = "we offer TLS 1.3, and TLS 1.2 with ECDHE and AES or ChaCha20, not RSA key exchange"

// describeAlert says what a TLS alert means where the merchant can do something about it.
func describeAlert(op string, err error) string {
	text := plain(op + ": " + err.Error())
	switch {
	case strings.Contains(text, "handshake failure"), strings.Contains(text, "insufficient security"):
		return text + " (perhaps no common cipher: " + offered + ")"
	case strings.Contains(text, "protocol version"):
		return text + " (" + offered + ")"
	case strings.Contains(text, "certificate required"):
		return text + " (the server asks for a client certificate: set client_cert)"
	}
	return text
}

// proxyAnswer is the status with which an egress proxy answered CONNECT.
type proxyAnswer int

func (s proxyAnswer) Error() string { return "CONNECT answered " + strconv.Itoa(int(s)) }

// describeProxy tells a merchant that it is not their answer, and an operator where to look.
func describeProxy(err error) string {
	var status proxyAnswer
	var socks socksStatus
	const unreached = "the egress proxy could not connect"
	switch {
	case errors.Is(err, errSocksLogin):
		return unreached + ": it wants another user and password"
	case errors.As(err, &socks):
		return unreached + ": " + socks.Error()
	case !errors.As(err, &status):
		return unreached
	case status == http.StatusProxyAuthRequired:
		return unreached + ": it wants a user and password (407)"
	case status == http.StatusForbidden, status == http.StatusMethodNotAllowed:
		return unreached + fmt.Sprintf(": it does not allow CONNECT to this address or port (%d)", int(status))
	}
	return unreached + fmt.Sprintf(": it answered %d", int(status))
}

// selfAnswered is an answer that an egress proxy gave in the receiver's place.
type selfAnswered int

func (s selfAnswered) Error() string {
	return fmt.Sprintf("the egress proxy answered %d itself, the receiver was not asked", int(s))
}

// fromProxy knows an answer that a proxy inside the tunnel made by itself: by the header with which Squid names its
// error, by that of RFC 9209, and by the two statuses that only proxies have.
func fromProxy(answer *http.Response) error {
	h := answer.Header
	switch {
	case answer.TLS != nil || answer.StatusCode < 400:
		return nil
	case h.Get("X-Squid-Error") != "", strings.Contains(h.Get("Proxy-Status"), "error="),
		answer.StatusCode == http.StatusProxyAuthRequired, h.Get("Proxy-Authenticate") != "":
		return selfAnswered(answer.StatusCode)
	}
	return nil
}
