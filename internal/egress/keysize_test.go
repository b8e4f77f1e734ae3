package egress

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// longNumber is odd and has so many bits; nobody knows its factors, which no test here needs.
func longNumber(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(1))
}

func rsaOf(bits int) *rsa.PublicKey { return &rsa.PublicKey{N: longNumber(bits), E: 65537} }

// certify is a certificate for any public key, in PEM.
func (a *authority) certify(t testing.TB, key any) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "of any key"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// privateKeyPEM is an RSA key whose numbers are long and belong to nothing.
func privateKeyPEM(t testing.TB, blockType string, bits, part int, wrapped bool) string {
	t.Helper()
	der, err := asn1.Marshal(rsaKey{N: longNumber(bits), E: 65537, D: longNumber(bits), P: longNumber(part),
		Q: longNumber(bits / 2), Dp: longNumber(bits / 2), Dq: longNumber(bits / 2), Qinv: longNumber(bits / 2)})
	if err == nil && wrapped {
		null := asn1.RawValue{Tag: asn1.TagNull}
		der, err = asn1.Marshal(wrappedKey{Algorithm: pkix.AlgorithmIdentifier{
			Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: null}, Key: der})
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

func curveKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func reasonOf(t testing.TB, s TLSSettings, field string) string {
	t.Helper()
	err := s.Check()
	var broken *TLSFieldError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &broken) || broken.Field != field:
		t.Fatalf("%v, which is not about %s", err, field)
	}
	return broken.Reason
}

// TestKeysOfUsualSize: what a handshake costs is decided by the keys that a merchant gives, so only those of usual
// kinds and sizes are taken, in every certificate of ca_pem and in client certificates, by the field's name.
func TestKeysOfUsualSize(t *testing.T) {
	ca := newAuthority(t)
	small, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  any
		want string // part of the reason
	}{
		"RSA 1024": {rsaOf(1024), "RSA key of 1024 bits"}, "RSA 2047": {rsaOf(2047), "RSA key of 2047 bits"},
		"RSA 2048": {rsaOf(2048), ""}, "RSA 3072": {rsaOf(3072), ""}, "RSA 4096": {rsaOf(4096), ""},
		"RSA 4097": {rsaOf(4097), "RSA key of 4097 bits"}, "RSA 16384": {rsaOf(16384), "RSA key of 16384 bits"},
		"P-224": {curveKey(t, elliptic.P224()).Public(), "on P-224"}, "P-256": {curveKey(t, elliptic.P256()).Public(), ""},
		"P-384": {curveKey(t, elliptic.P384()).Public(), ""}, "P-521": {curveKey(t, elliptic.P521()).Public(), "on P-521"},
		"Ed25519": {small, ""},
	} {
		text := ca.certify(t, c.key)
		for _, bundle := range []string{text, ca.pem + text, text + ca.pem} {
			got := reasonOf(t, TLSSettings{CAPEM: bundle}, "ca_pem")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("ca_pem with %s: %q, want %q", name, got, c.want)
			}
		}
		if c.want != "" {
			got := reasonOf(t, TLSSettings{ClientCertPEM: text, ClientKeyPEM: privateKeyPEM(t, "PRIVATE KEY", 2048, 1024, true)},
				"client_cert")
			if !strings.Contains(got, c.want) {
				t.Errorf("client_cert with %s: %q, want %q", name, got, c.want)
			}
		}
	}
	if got := reasonOf(t, TLSSettings{CAPEM: strings.Repeat(ca.pem, maxCertificates+1)},
		"ca_pem"); !strings.Contains(got, "more than 50") {
		t.Errorf("too many authorities: %q", got)
	}
}

// TestPrivateKeysAreMeasuredBeforeTheyAreProven: parsing a long RSA key takes seconds, whatever the certificate beside
// it says, so its length is read first.
func TestPrivateKeysAreMeasuredBeforeTheyAreProven(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.certify(t, rsaOf(2048))
	for name, c := range map[string]struct{ key, want string }{
		"long":             {privateKeyPEM(t, "RSA PRIVATE KEY", 16384, 8192, false), "RSA key of 16384 bits"},
		"long and wrapped": {privateKeyPEM(t, "PRIVATE KEY", 16384, 8192, true), "RSA key of 16384 bits"},
		"of another name":  {privateKeyPEM(t, "OTHER PRIVATE KEY", 16384, 8192, false), "RSA key of 16384 bits"},
		"wrapped with the name of one that is not": {privateKeyPEM(t, "RSA PRIVATE KEY", 16384, 8192, true),
			"RSA key of 16384 bits"},
		"a long prime":      {privateKeyPEM(t, "PRIVATE KEY", 2048, 16384, true), "parts are longer"},
		"after a parameter": {ca.pem + privateKeyPEM(t, "PRIVATE KEY", 16384, 8192, true), "RSA key of 16384 bits"},
		"short":             {privateKeyPEM(t, "PRIVATE KEY", 1024, 512, true), "RSA key of 1024 bits"},
		"no key":            {ca.pem, "no PEM private key"},
		"another's":         {privateKeyPEM(t, "PRIVATE KEY", 2048, 1024, true), "belongs to it"},
	} {
		if got := reasonOf(t, TLSSettings{ClientCertPEM: cert, ClientKeyPEM: c.key}, "client_cert"); !strings.Contains(got,
			c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{key, curveKey(t, elliptic.P384()), curveKey(t, elliptic.P256())} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pair := TLSSettings{ClientCertPEM: ca.certify(t, key.(crypto.Signer).Public()),
			ClientKeyPEM: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
		if err := pair.Check(); err != nil {
			t.Errorf("a good %T: %v", key, err)
		}
	}
}

// TestStoredKeysAreMeasuredToo: an endpoint whose row is older than the rule, or that slipped past it, costs a worker
// nothing. Its attempts fail for TLS before anybody is dialed.
func TestStoredKeysAreMeasuredToo(t *testing.T) {
	ca := newAuthority(t)
	url := tlsServer(t, ca.issue(t, nil), nil)
	client := local(t, Options{RootCAs: ca.pool()})
	for name, settings := range map[string]TLSSettings{
		"client_cert": {ClientCertPEM: ca.certify(t, rsaOf(16384)),
			ClientKeyPEM: privateKeyPEM(t, "PRIVATE KEY", 16384, 8192, true)},
		"ca_pem": {CAPEM: ca.pem + ca.certify(t, rsaOf(16384))},
	} {
		_, err := client.Do(t.Context(), Request{URL: url, TLS: settings})
		wantKind(t, name, err, KindTLS, false)
		var broken *TLSFieldError
		if !errors.As(err, &broken) || broken.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCertificatesCostWhatTheirSizeCosts doubles what ca_pem and client_cert can be filled with.
func TestCertificatesCostWhatTheirSizeCosts(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue(t, nil)
	for name, unit := range map[string]string{
		"authorities":  ca.pem,
		"another kind": "-----BEGIN X-----\nAAAA\n-----END X-----\n", "begins": "-----BEGIN CERTIFICATE-----\n",
		"ends": "-----END CERTIFICATE-----\n", "text": "x", "lines": "\n", "headers": "-----BEGIN CERTIFICATE-----\na: b\n",
		"no base64": "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "keys": leaf.keyPEM,
		"empty ones": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
		"long names": privateKeyPEM(t, strings.Repeat("A", 60)+" PRIVATE KEY", 2048, 1024, false),
	} {
		testkit.CostsItsSize(t, name, max(1, 32<<10/len(unit)), func(n int) {
			text := strings.Repeat(unit, n)
			for _, s := range []TLSSettings{{CAPEM: text}, {CAPEM: text + ca.pem},
				{ClientCertPEM: text, ClientKeyPEM: leaf.keyPEM},
				{ClientCertPEM: leaf.certPEM, ClientKeyPEM: text},
				{ClientCertPEM: leaf.certPEM, ClientKeyPEM: text + leaf.keyPEM}} {
				_ = s.Check()
			}
		})
	}
}
