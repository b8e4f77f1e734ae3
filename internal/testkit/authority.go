package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates for tests. Its own one, and every one that it signs, is good for a day.
type Authority struct {
	Cert *x509.Certificate
	// PEM is its certificate.
	PEM string

	key *ecdsa.PrivateKey
}

// NewAuthority makes a root authority.
func NewAuthority(t TB, name string) *Authority {
	t.Helper()
	return (*Authority)(nil).authority(t, name)
}

// Intermediate makes an authority below this one.
func (a *Authority) Intermediate(t TB, name string) *Authority {
	t.Helper()
	return a.authority(t, name)
}

func (a *Authority) authority(t TB, name string) *Authority {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return &Authority{Cert: cert, PEM: certPEM(cert), key: key}
}

// Issue signs a certificate for a server, and a client, of these names and addresses; both are PEM.
func (a *Authority) Issue(t TB, names ...string) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	signed, private := a.sign(t, template)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM(signed), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// sign makes a key and its certificate; without an authority it signs itself.
func (a *Authority) sign(t TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.Cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func certPEM(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// NewRedisCerts makes a private authority and writes what servers need into files.
func NewRedisCerts(t TB) *RedisCerts {
	t.Helper()
	ca := NewAuthority(t, "a private authority")
	c := &RedisCerts{CA: ca.PEM, dir: t.TempDir()}
	server, serverKey := ca.Issue(t, "localhost", "127.0.0.1")
	c.Cert, c.Key = ca.Issue(t, "gateway")
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	c.Client = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	for name, text := range map[string]string{"ca.pem": ca.PEM, "server.pem": server, "server.key": serverKey,
		"client.pem": c.Cert, "client.key": c.Key} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
