package webhook

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

const (
	signingKeyPrefix  = "whsk_"
	publicKeyPrefix   = "whpk_"
	asymmetricVersion = "v1a"

	// maxAsymmetric bounds how many v1a entries of one request are tried, for each costs a curve operation.
	maxAsymmetric = 32
)

// Errors of [ParsePublicKey], [ParseSigningKey] and [ParseKeySet]. None of them carries any part of a key.
var (
	ErrPublicKey  = errors.New("webhook: public key is not whpk_ followed by the padded standard base64 of 32 bytes")
	ErrSigningKey = errors.New("webhook: signing key is not whsk_ followed by the padded standard base64 of 64 bytes")
	ErrKeySet     = errors.New("webhook: key set is not the JSON of /.well-known/webhook-keys.json")
)

// PublicKey checks the v1a signatures that the gateway makes beside v1 for endpoints that ask for them: Ed25519 (RFC
// 8032) over the same bytes. Nobody who holds an endpoint's secret can make one. The zero PublicKey checks nothing.
type PublicKey struct{ key ed25519.PublicKey }

// ParsePublicKey reads whpk_ and the padded standard base64 of 32 bytes.
func ParsePublicKey(s string) (PublicKey, error) {
	raw, err := parseKey(s, publicKeyPrefix, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, ErrPublicKey
	}
	return PublicKey{raw}, nil
}

// String is the form that [ParsePublicKey] reads; "" for the zero PublicKey.
func (k PublicKey) String() string {
	if len(k.key) == 0 {
		return ""
	}
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(k.key)
}

// Verify reports whether one entry of webhook-signature, "v1a," and base64, fits.
func (k PublicKey) Verify(entry, id string, timestamp time.Time, body []byte) bool {
	encoded, ok := strings.CutPrefix(entry, asymmetricVersion+",")
	if !ok || len(k.key) == 0 {
		return false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return err == nil && ed25519.Verify(k.key, signedBytes(id, timestamp, body), signature)
}

// SigningKey is the private half of a [PublicKey]. It prints as [redacted] like a [Secret].
type SigningKey struct{ key **ed25519.PrivateKey }

// NewSigningKey makes a key from random; nil means crypto/rand. The error is random's.
func NewSigningKey(random io.Reader) (SigningKey, error) {
	if random == nil {
		random = rand.Reader
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return SigningKey{}, fmt.Errorf("webhook: new signing key: %w", err)
	}
	return newSigningKey(ed25519.NewKeyFromSeed(seed)), nil
}

// ParseSigningKey reads whsk_ and the padded standard base64 of seed and public key, 64 bytes.
func ParseSigningKey(s string) (SigningKey, error) {
	raw, err := parseKey(s, signingKeyPrefix, ed25519.PrivateKeySize)
	if err != nil || !ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]).Equal(ed25519.PrivateKey(raw)) {
		return SigningKey{}, ErrSigningKey
	}
	return newSigningKey(raw), nil
}

func newSigningKey(key ed25519.PrivateKey) SigningKey {
	p := &key
	return SigningKey{&p}
}

// Public is the half that may be told to everybody.
func (k SigningKey) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return PublicKey{(*k.key).Public().(ed25519.PublicKey)}
}

// Sign is one entry of webhook-signature: "v1a," and the base64 of the Ed25519 signature of what [Sign] keys with a
// secret. It is "" for the zero SigningKey.
func (k SigningKey) Sign(id string, timestamp time.Time, body []byte) string {
	if k.IsZero() {
		return ""
	}
	return asymmetricVersion + "," +
		base64.StdEncoding.EncodeToString(ed25519.Sign(**k.key, signedBytes(id, timestamp, body)))
}

// Reveal returns the form that [ParseSigningKey] reads.
func (k SigningKey) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return signingKeyPrefix + base64.StdEncoding.EncodeToString(**k.key)
}

// IsZero reports whether there is no key.
func (k SigningKey) IsZero() bool { return k.key == nil }

// String returns [redacted].
func (k SigningKey) String() string { return redacted }

// GoString returns [redacted].
func (k SigningKey) GoString() string { return redacted }

// Format prints [redacted] whatever the verb.
func (k SigningKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue shows [redacted] in slog.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes [redacted].
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes "[redacted]".
func (k SigningKey) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// KeySet is the document at /.well-known/webhook-keys.json: a JSON Web Key Set (RFC 7517, RFC 8037) in which each key
// also has its Standard Webhooks form. It lists the keys that sign now, and those that will; whoever keeps a copy
// should read it anew every hour, and when a signature does not fit. While it cannot be read the copy serves on; a
// request that no key of the copy fits is then refused (the gateway sends it again), never let through.
type KeySet struct {
	Keys []KeySetKey `json:"keys"`
}

// KeySetKey is one public key.
type KeySetKey struct {
	ID         string `json:"kid"`
	Type       string `json:"kty"`        // OKP
	Curve      string `json:"crv"`        // Ed25519
	Algorithm  string `json:"alg"`        // EdDSA
	Use        string `json:"use"`        // sig
	X          string `json:"x"`          // the key in base64url without padding
	PublicKey  string `json:"public_key"` // the key as whpk_…
	ActiveFrom Time   `json:"active_from"`
	ExpiresAt  *Time  `json:"expires_at"` // null while nothing replaces it
}

// NewKeySetKey describes a key that signs from activeFrom until expiresAt.
func NewKeySetKey(id string, key PublicKey, activeFrom time.Time, expiresAt *time.Time) KeySetKey {
	return KeySetKey{
		ID: id, Type: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig",
		X: base64.RawURLEncoding.EncodeToString(key.key), PublicKey: key.String(), ActiveFrom: At(activeFrom),
		ExpiresAt: AtPtr(expiresAt),
	}
}

// ParseKeySet reads the document at /.well-known/webhook-keys.json, which must have come over https. Keys of kinds that
// it does not know are left out; with none of its own kind, or a broken one, it is [ErrKeySet].
func ParseKeySet(document []byte) ([]PublicKey, error) {
	var set KeySet
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, ErrKeySet
	}
	var keys []PublicKey
	for _, k := range set.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		key, err := ParsePublicKey(k.PublicKey)
		if err != nil {
			return nil, ErrKeySet
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, ErrKeySet
	}
	return keys, nil
}

func parseKey(s, prefix string, size int) ([]byte, error) {
	encoded, ok := strings.CutPrefix(s, prefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") { // the decoder would skip them
		return nil, ErrMalformed
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != size {
		return nil, ErrMalformed
	}
	return raw, nil
}
