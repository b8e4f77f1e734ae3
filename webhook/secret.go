package webhook

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	secretPrefix = "whsec_"
	redacted     = "[redacted]"

	newSecretBytes  = 32
	minSecretBytes  = 24
	maxSecretBytes  = 64  // decoded, of a whsec_ secret
	maxBroughtBytes = 128 // of a secret without the prefix
)

// Errors of [ParseSecret]. None of them carries any part of the secret.
var (
	ErrSecretEncoding = errors.New("webhook: secret is not whsec_ followed by padded standard base64")
	ErrSecretLength   = errors.New("webhook: secret must hold 24 to 64 bytes after whsec_, or 24 to 128 bytes without " +
		"the prefix")
	ErrSecretControl = errors.New("webhook: secret holds control characters or is not UTF-8")
)

// Secret is what the gateway and one endpoint share. It prints as [redacted] with every fmt verb, in slog, in JSON and
// in every text encoding; [Secret.Reveal] is the only way to the string as issued. The zero Secret is no secret: it
// signs nothing and verifies nothing.
//
// Compare secrets with [Secret.Equal].
type Secret struct {
	// fmt calls no method of an unexported field and shows what a pointer to a struct points to when the verb is wrong. A
	// pointer to a pointer shows an address always.
	keys **keys
}

type keys struct {
	issued string // keys SignBody
	key    []byte // keys Sign
}

func newSecret(issued string, key []byte) Secret {
	k := &keys{issued: issued, key: key}
	return Secret{&k}
}

// NewSecret makes a secret: whsec_ and the padded standard base64 of 32 bytes from random. A nil random means
// crypto/rand. The error is random's.
func NewSecret(random io.Reader) (Secret, error) {
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, newSecretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Secret{}, fmt.Errorf("webhook: new secret: %w", err)
	}
	return newSecret(secretPrefix+base64.StdEncoding.EncodeToString(raw), raw), nil
}

// ParseSecret reads a secret as issued. With the prefix whsec_ the rest must be padded standard base64 of 24 to 64
// bytes, which key the Standard Webhooks scheme while the whole string keys X-Webhook-Signature. Without the prefix it
// is a secret that was brought along: 24 to 128 bytes of UTF-8 without control characters, which key both schemes.
func ParseSecret(s string) (Secret, error) {
	encoded, prefixed := strings.CutPrefix(s, secretPrefix)
	if !prefixed {
		return parseBrought(s)
	}
	if strings.ContainsAny(encoded, "\r\n") { // the decoder would skip them
		return Secret{}, ErrSecretEncoding
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Secret{}, ErrSecretEncoding
	}
	if len(key) < minSecretBytes || len(key) > maxSecretBytes {
		return Secret{}, ErrSecretLength
	}
	return newSecret(s, key), nil
}

func parseBrought(s string) (Secret, error) {
	if len(s) < minSecretBytes || len(s) > maxBroughtBytes {
		return Secret{}, ErrSecretLength
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return Secret{}, ErrSecretControl
	}
	return newSecret(s, []byte(s)), nil
}

// Reveal returns the secret as issued. Calls to it are the places to read when asking where a secret goes.
func (s Secret) Reveal() string {
	if s.keys == nil {
		return ""
	}
	return (*s.keys).issued
}

// RevealStandard returns the form that Standard Webhooks libraries take: whsec_ and the base64 of the key. It differs
// from [Secret.Reveal] only for a secret that was brought along.
func (s Secret) RevealStandard() string {
	if s.keys == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString((*s.keys).key)
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.keys == nil }

// Equal reports whether both were issued as the same string. It takes constant time for secrets of one length.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// GoString returns [redacted].
func (s Secret) GoString() string { return redacted }

// Format prints [redacted] whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue shows [redacted] in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
