package egress

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
)

// What one handshake costs us depends on the keys that it uses, and grows much faster than their size: RSA of 16,384
// bits signs for a second, which no timeout cuts short. So only keys of usual size are used.
const (
	minRSABits = 2048
	maxRSABits = 4096
	// maxCertificates is how many certificates a field may hold: verifying tries one authority after the other.
	maxCertificates = 50
	goodKeys        = "keys are RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519"
)

// checkPublicKey returns what is wrong with the kind or size of a certificate's key, "" when nothing is.
func checkPublicKey(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Sprintf("has an RSA key of %d bits; %s", bits, goodKeys)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Sprintf("has an ECDSA key on %s; %s", key.Curve.Params().Name, goodKeys)
		}
	case ed25519.PublicKey:
	default:
		return "has a key of another kind; " + goodKeys
	}
	return ""
}

// certificates reads every certificate of a PEM text and holds its key against the rule. The texts of what is wrong
// continue the name of the field.
func certificates(text string) (certs []*x509.Certificate, problem string) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, "must hold certificates only"
		}
		n := len(certs) + 1
		if n > maxCertificates {
			return nil, fmt.Sprintf("holds more than %d certificates", maxCertificates)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Sprintf("certificate %d cannot be read", n)
		}
		if problem := checkPublicKey(cert.PublicKey); problem != "" {
			return nil, fmt.Sprintf("certificate %d %s", n, problem)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, "holds no PEM certificate"
	}
	return certs, ""
}

// rsaKey is RSAPrivateKey of RFC 8017.
type rsaKey struct {
	Version      int
	N            *big.Int
	E            int
	D, P, Q      *big.Int
	Dp, Dq, Qinv *big.Int        `asn1:"optional"`
	More         []asn1.RawValue `asn1:"optional,omitempty"` // primes
}

// wrappedKey is PrivateKeyInfo of RFC 5208.
type wrappedKey struct {
	Version   int
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

// checkPrivateKey returns what is wrong with the size of a private key in PEM. It looks at numbers without reckoning
// with them: crypto/x509 proves a private key when it parses it, which takes long for a long RSA key. What is no RSA
// key is left to the parser.
func checkPrivateKey(text string) string {
	var block *pem.Block
	for rest := []byte(text); ; { // crypto/tls takes the first of them
		if block, rest = pem.Decode(rest); block == nil {
			return "has no PEM private key"
		}
		if block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY") {
			break
		}
	}
	der := block.Bytes
	var wrapped wrappedKey
	if _, err := asn1.Unmarshal(der, &wrapped); err == nil {
		der = wrapped.Key
	}
	var key rsaKey
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return ""
	}
	bits := key.N.BitLen()
	if bits < minRSABits || bits > maxRSABits {
		return fmt.Sprintf("has an RSA key of %d bits; %s", bits, goodKeys)
	}
	for _, part := range []*big.Int{key.D, key.P, key.Q, key.Dp, key.Dq, key.Qinv} {
		if part != nil && part.BitLen() > bits {
			return "has an RSA key whose parts are longer than its modulus"
		}
	}
	if len(key.More) > 0 {
		return "has an RSA key of more than two primes"
	}
	return ""
}
