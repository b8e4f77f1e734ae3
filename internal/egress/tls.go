package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// TLSSettings are an endpoint's own wishes for TLS. The zero value means the system's authorities and nothing else.
// They print as [redacted], because one of them is a private key.
type TLSSettings struct {
	CAPEM string // certificates to trust instead of the system's
	// base64 of SHA-256 over a SubjectPublicKeyInfo; one certificate of the verified chain must match one of them
	SPKIPins      []string
	ClientCertPEM string // client certificate with its chain
	ClientKeyPEM  string // its private key
}

// errTLSSettings is the root of every complaint about TLSSettings.
var errTLSSettings = errors.New("unusable TLS settings")

// TLSFieldError names a faulty field of [TLSSettings], spelled as in the REST API: "ca_pem", "spki_pins",
// "client_cert". It does not repeat what the field holds.
type TLSFieldError struct{ Field, Reason string }

func (e *TLSFieldError) Error() string { return e.Field + " " + e.Reason }

// Is makes every TLSFieldError one of the TLS kind.
func (e *TLSFieldError) Is(target error) bool { return target == errTLSSettings }

// Format prints [redacted] under every verb.
func (s TLSSettings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue is [redacted].
func (s TLSSettings) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText is [redacted].
func (s TLSSettings) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Check says whether the settings can be used. The error is a *[TLSFieldError].
func (s TLSSettings) Check() error {
	_, err := s.config(nil, nil)
	return err
}

// key tells settings apart. The zero settings, which nearly every endpoint has, cost nothing.
func (s TLSSettings) key() [sha256.Size]byte {
	if s.CAPEM == "" && len(s.SPKIPins) == 0 && s.ClientCertPEM == "" && s.ClientKeyPEM == "" {
		return [sha256.Size]byte{}
	}
	h := sha256.New()
	for _, part := range append([]string{s.CAPEM, s.ClientCertPEM, s.ClientKeyPEM}, s.SPKIPins...) {
		fmt.Fprintf(h, "%d:", len(part))
		_, _ = io.WriteString(h, part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// config makes the tls.Config; ServerName is set for each dial.
func (s TLSSettings) config(roots *x509.CertPool, now func() time.Time) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		RootCAs:            roots,
		Time:               now,
		ClientSessionCache: tls.NewLRUClientSessionCache(16),
	}
	if s.CAPEM != "" {
		pool, reason := authorities(s.CAPEM)
		if reason != "" {
			return nil, &TLSFieldError{"ca_pem", reason}
		}
		c.RootCAs = pool
	}
	if len(s.SPKIPins) > 0 {
		pins := make([][sha256.Size]byte, len(s.SPKIPins))
		for i, pin := range s.SPKIPins {
			raw, err := base64.StdEncoding.DecodeString(pin)
			if err != nil || len(raw) != sha256.Size {
				return nil, &TLSFieldError{"spki_pins", fmt.Sprintf("entry %d is not the base64 of 32 bytes", i+1)}
			}
			pins[i] = [sha256.Size]byte(raw)
		}
		c.VerifyConnection = func(state tls.ConnectionState) error { return checkPins(pins, state) }
	}
	if s.ClientCertPEM != "" || s.ClientKeyPEM != "" {
		pair, problem := clientCertificate(s.ClientCertPEM, s.ClientKeyPEM)
		if problem != "" {
			return nil, &TLSFieldError{"client_cert", problem}
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c, nil
}

func authorities(text string) (*x509.CertPool, string) {
	certs, problem := certificates(text)
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, problem
}

// clientCertificate reads a certificate with its chain and its key. It looks at the keys' sizes before anything is
// done with them.
func clientCertificate(certPEM, keyPEM string) (pair tls.Certificate, problem string) {
	if certPEM == "" || keyPEM == "" {
		return pair, "needs both a certificate and its key"
	}
	if _, problem = certificates(certPEM); problem == "" {
		problem = checkPrivateKey(keyPEM)
	}
	if problem != "" {
		return pair, problem
	}
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil { // its text could quote the input
		return pair, "is not a PEM certificate with the PEM private key that belongs to it"
	}
	return pair, ""
}

// checkPins looks at the verified chains only: a server may send any certificate along without having its key.
func checkPins(pins [][sha256.Size]byte, state tls.ConnectionState) error {
	for _, chain := range state.VerifiedChains {
		for _, cert := range chain {
			if slices.Contains(pins, sha256.Sum256(cert.RawSubjectPublicKeyInfo)) {
				return nil
			}
		}
	}
	return errPin
}
