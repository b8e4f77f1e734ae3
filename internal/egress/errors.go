package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"
)

// Kind says at which step a request failed. The words are metric labels.
type Kind string

// Every failure of [Client.Do] on the way to a status line is one of these.
const (
	KindTimeout  Kind = "timeout"  // no status line in time, whatever was being waited for
	KindConnect  Kind = "connect"  // refused, unreachable, or the egress proxy did not get through
	KindDNS      Kind = "dns"      // the name does not resolve
	KindReset    Kind = "reset"    // the other side closed the connection before it answered
	KindProtocol Kind = "protocol" // what came back is not HTTP as we accept it
	KindTLS      Kind = "tls"      // certificate, pin or handshake; also unusable TLS settings of the endpoint
	KindBlocked  Kind = "blocked"  // an address, port or scheme that is not allowed
)

// Error is a request that got no status line. Its text is fit for the merchant: it holds no secret, no URL and no
// address of our own network. Unwrap gives the cause, for errors.Is and As; do not print that one.
type Error struct {
	Kind Kind
	Err  error
	// ByForm is set with KindBlocked when the URL alone decided it, so that no later look-up can change it.
	ByForm bool
}

func (e *Error) Error() string { return string(e.Kind) + ": " + describe(e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ErrClosed is returned by [Client.Do] after [Client.Close].
var ErrClosed = errors.New("egress: client is closed")

// errPin is the failure of a connection whose certificates verify but match no pin.
var errPin = errors.New("no certificate of the chain matches a pin")

// blockedError is a refusal by address. ip is for tests and never printed.
type blockedError struct{ reason string }

func (e *blockedError) Error() string { return e.reason }

// handshakeError marks what happened between connecting and the first byte of HTTP.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// proxyError marks a failure of the egress proxy.
type proxyError struct{ err error }

func (e *proxyError) Error() string { return "proxy: " + e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// Classify gives the one Kind of an error from resolving, dialing, TLS or HTTP, and "" for nil. An error that it does
// not know is KindProtocol.
func Classify(err error) Kind {
	var (
		own       *Error
		blocked   *blockedError
		form      *URLError
		dns       *net.DNSError
		op        *net.OpError
		timeout   net.Error
		handshake *handshakeError
		proxy     *proxyError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &own):
		return own.Kind
	case errors.Is(err, errTooManyDials):
		return KindReset
	case errors.As(err, &blocked), errors.As(err, &form):
		return KindBlocked
	case errors.Is(err, context.DeadlineExceeded):
		return KindTimeout
	case errors.As(err, &proxy):
		return KindConnect
	case errors.As(err, &dns):
		return KindDNS
	case errors.As(err, &timeout) && timeout.Timeout():
		return KindTimeout
	case isTLS(err):
		return KindTLS
	case errors.As(err, &op) && op.Op == "dial", unreachable(err):
		return KindConnect
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return KindReset
	case errors.As(err, &handshake):
		return KindTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), closedByPeer(err):
		return KindReset
	}
	return KindProtocol
}

func isTLS(err error) bool {
	var (
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
	)
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &authority) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.Is(err, errPin) || errors.Is(err, errTLSSettings) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") // TLS alerts
}

func unreachable(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
		syscall.ENETDOWN,
		syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// closedByPeer knows the errors of net/http that have no type of their own.
func closedByPeer(err error) bool {
	text := err.Error()
	for _, sign := range []string{"server closed idle connection", "stream error:", "server sent GOAWAY",
		"client connection lost",
		"connection lost", "client conn not usable", "client connection force closed", cannotRetry,
		"received GOAWAY", "client conn could not be established"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// cannotRetry is how net/http begins when a receiver took back a request of HTTP/2; see attempt.request.
const cannotRetry = "http2: Transport: cannot retry err ["

// describe says what went wrong without saying where: errors of package net name our own addresses and resolvers.
func describe(err error) string {
	var (
		own     *Error
		blocked *blockedError
		form    *URLError
		dns     *net.DNSError
		errno   syscall.Errno
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
		proxy   *proxyError
		timeout net.Error
	)
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &own):
		return describe(own.Err)
	case errors.As(err, &blocked):
		return blocked.reason
	case errors.As(err, &form):
		return "the URL " + form.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, errTooManyDials):
		return errTooManyDials.Error()
	case errors.As(err, &proxy):
		return describeProxy(proxy)
	case errors.As(err, &dns):
		switch {
		case dns.IsNotFound:
			return "no such host"
		case dns.IsTimeout:
			return "the name server did not answer"
		}
		return "the name could not be resolved"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &verify):
		return describeVerification(verify)
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return describeAlert(op.Op, op.Err)
	case strings.Contains(err.Error(), "tls: server selected unsupported protocol version"):
		return plain(err.Error()) + " (" + offered + ")"
	case errors.As(err, &errno):
		return plain(errno.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "the connection was closed before the answer was complete"
	case errors.As(err, &op):
		return plain(op.Op + ": " + op.Err.Error())
	}
	text := err.Error()
	if inner, ok := strings.CutPrefix(text, cannotRetry); ok {
		text, _, _ = strings.Cut(inner, "] after Request.Body")
	}
	return plain(text)
}

// plain cuts a foreign text to a short line without control characters.
func plain(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(s, "."))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
