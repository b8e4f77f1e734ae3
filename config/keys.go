package config

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// MasterKey is one AES-256 key and the id by which stored secrets name it. It prints as id:[redacted].
type MasterKey struct {
	ID  string
	Key [32]byte
}

// String returns id:[redacted].
func (k MasterKey) String() string { return k.ID + ":" + redacted }

// Format prints the redacted form whatever the verb.
func (k MasterKey) Format(f fmt.State, verb rune) { printAs(f, verb, k.String()) }

// LogValue prints the same in slog.
func (k MasterKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON prints the same.
func (k MasterKey) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// MarshalText prints the same in every text encoding.
func (k MasterKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MasterKeys are the keys of MASTER_KEYS in order: the first encrypts, all decrypt.
type MasterKeys []MasterKey

var keyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// UnmarshalText reads "id:base64 of 32 bytes" entries separated by commas; base64 in either alphabet, padded or not.
// Its errors name the entry by position, never by content.
func (m *MasterKeys) UnmarshalText(text []byte) error {
	keys, seen := MasterKeys{}, map[string]bool{}
	var bad []string
	for i, entry := range strings.Split(string(text), ",") {
		id, encoded, found := strings.Cut(strings.TrimSpace(entry), ":")
		raw, err := decodeBase64(encoded)
		switch {
		case !found || !keyID.MatchString(id):
			bad = append(bad, fmt.Sprintf("key %d is not id:base64", i+1))
		case err != nil:
			bad = append(bad, fmt.Sprintf("key %d is not valid base64", i+1))
		case len(raw) != 32:
			bad = append(bad, fmt.Sprintf("key %d has %d bytes, want 32", i+1, len(raw)))
		case seen[id]:
			bad = append(bad, fmt.Sprintf("key %d has the id of an earlier one", i+1))
		default:
			seen[id] = true
			keys = append(keys, MasterKey{ID: id, Key: [32]byte(raw)})
		}
	}
	if bad != nil {
		return problem(strings.Join(bad, "; "))
	}
	*m = keys
	return nil
}

func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	return base64.RawStdEncoding.DecodeString(s)
}
