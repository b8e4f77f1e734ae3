package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
)

// The layout of a sealed value: version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes), ciphertext
// with its tag (16 bytes more than the plaintext). Everything before the nonce is authenticated together with the
// place.
const (
	version   = 1
	keySize   = 32
	nonceSize = 12
	tagSize   = 16
	maxKeyID  = 32
)

// Errors of this package. They never hold a secret or a part of one.
var (
	// ErrMalformed: the bytes are not a sealed value, or one of a version that this build does not know.
	ErrMalformed = errors.New("vault: not a sealed value")
	// ErrAuthentication: the value was changed, or belongs to another place, or its key id now names another key.
	ErrAuthentication = errors.New("vault: value does not open at this place: changed, moved, or sealed by another key " +
		"of the same id")
)

// UnknownKeyError says that a value was sealed by a key that the vault does not have.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("vault: no key %q; put it back behind the first one until everything is sealed again", e.ID)
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// Vault seals with its first key and opens with any. It is safe for concurrent use.
type Vault struct {
	current string
	keys    map[string]cipher.AEAD
}

// New makes a vault. The first key seals; the others open what they sealed before. At least one key, ids of up to 32
// letters, digits, "-" and "_", no id twice and no key of zeros.
func New(keys []Key) (*Vault, error) {
	if len(keys) == 0 {
		return nil, errors.New("vault: no keys")
	}
	v := &Vault{current: keys[0].ID, keys: make(map[string]cipher.AEAD, len(keys))}
	for i, k := range keys {
		if !keyID.MatchString(k.ID) {
			return nil, fmt.Errorf("vault: key %d has no usable id", i+1)
		}
		if _, twice := v.keys[k.ID]; twice {
			return nil, fmt.Errorf("vault: key id %q is given twice", k.ID)
		}
		if k.Secret == [keySize]byte{} {
			return nil, fmt.Errorf("vault: key %q is all zeros", k.ID)
		}
		block, err := aes.NewCipher(k.Secret[:])
		if err != nil {
			return nil, fmt.Errorf("vault: key %q: %w", k.ID, err)
		}
		if v.keys[k.ID], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("vault: key %q: %w", k.ID, err)
		}
	}
	return v, nil
}

// Seal encrypts plaintext for the place aad, by custom "table/id/column". The same plaintext seals differently each
// time.
func (v *Vault) Seal(plaintext []byte, aad string) ([]byte, error) {
	header := 2 + len(v.current)
	sealed := make([]byte, header+nonceSize, header+nonceSize+len(plaintext)+tagSize)
	sealed[0], sealed[1] = version, byte(len(v.current))
	copy(sealed[2:], v.current)
	if _, err := rand.Read(sealed[header:]); err != nil {
		return nil, fmt.Errorf("vault: nonce: %w", err)
	}
	return v.keys[v.current].Seal(sealed, sealed[header:], plaintext, bind(sealed[:header], aad)), nil
}

// Open gives the plaintext of a sealed value at the place it was sealed for. It fails with [ErrMalformed],
// [*UnknownKeyError] or [ErrAuthentication].
func (v *Vault) Open(sealed []byte, aad string) ([]byte, error) {
	id, err := KeyID(sealed)
	if err != nil {
		return nil, err
	}
	aead, ok := v.keys[id]
	if !ok {
		return nil, &UnknownKeyError{ID: id}
	}
	header := 2 + len(id)
	nonce, ciphertext := sealed[header:header+nonceSize], sealed[header+nonceSize:]
	plaintext, err := aead.Open(nil, nonce, ciphertext, bind(sealed[:header], aad))
	if err != nil {
		return nil, ErrAuthentication
	}
	return plaintext, nil
}

// NeedsReseal says whether a sealed value lies under another key than the one that seals now. It is false for what is
// not a sealed value.
func (v *Vault) NeedsReseal(sealed []byte) bool {
	id, err := KeyID(sealed)
	return err == nil && id != v.current
}

// Reseal opens a value and seals it under the current key, for the same place.
func (v *Vault) Reseal(sealed []byte, aad string) ([]byte, error) {
	plaintext, err := v.Open(sealed, aad)
	if err != nil {
		return nil, err
	}
	return v.Seal(plaintext, aad)
}

// CurrentKeyID is the id of the key that seals.
func (v *Vault) CurrentKeyID() string { return v.current }

// KeyID is the id of the key that sealed a value. It fails with [ErrMalformed].
func KeyID(sealed []byte) (string, error) {
	if len(sealed) < 2 || sealed[0] != version || sealed[1] > maxKeyID {
		return "", ErrMalformed
	}
	end := 2 + int(sealed[1])
	if len(sealed) < end+nonceSize+tagSize || !keyID.Match(sealed[2:end]) {
		return "", ErrMalformed
	}
	return string(sealed[2:end]), nil
}

// bind joins what is authenticated but not encrypted. The header has a length of its own, so the joint is unambiguous.
func bind(header []byte, aad string) []byte {
	return append(append(make([]byte, 0, len(header)+len(aad)), header...), aad...)
}
