package vault

import (
	"fmt"
	"io"
	"log/slog"
)

// Key is an AES-256 key and the id by which sealed values name it. However it is printed, it shows id:[redacted].
type Key struct {
	ID     string
	Secret [keySize]byte
}

// String is id:[redacted].
func (k Key) String() string { return k.ID + ":[redacted]" }

// Format prints String under every verb, %#v and %x included.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String, for JSON and its kin.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
