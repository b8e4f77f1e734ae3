package devnet

import (
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Key is the private key of an account on the development chain. It prints and logs as its address; only
// [Key.Hex] gives the secret away. The zero Key belongs to nobody.
type Key struct {
	private *ecdsa.PrivateKey
	address common.Address
}

// NewKey makes a key from the system's randomness. No key of this package is written down anywhere, so that nobody
// sends real money to an account whose key the world knows.
func NewKey() (Key, error) {
	private, err := crypto.GenerateKey()
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return Key{private: private, address: crypto.PubkeyToAddress(private.PublicKey)}, nil
}

// ParseKey reads 64 hexadecimal digits, with or without 0x. Its errors do not repeat the input.
func ParseKey(s string) (Key, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(raw) != 32 {
		return Key{}, errors.New("private key: want 64 hexadecimal digits")
	}
	private, err := crypto.ToECDSA(raw)
	if err != nil {
		return Key{}, errors.New("private key: not a secp256k1 scalar")
	}
	return Key{private: private, address: crypto.PubkeyToAddress(private.PublicKey)}, nil
}

// IsZero says whether k is the zero Key.
func (k Key) IsZero() bool { return k.private == nil }

// Address is the account's address in EIP-55 spelling.
func (k Key) Address() string { return k.address.Hex() }

// Hex is the secret: 0x and 64 digits, as wallets and ethers import it.
func (k Key) Hex() string {
	if k.IsZero() {
		return ""
	}
	return "0x" + hex.EncodeToString(crypto.FromECDSA(k.private))
}

// String is "Key(address)", never the secret.
func (k Key) String() string { return "Key(" + k.Address() + ")" }

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return k.String() }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps the secret out of JSON.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// orNew is k, or a fresh key where k is zero.
func (k Key) orNew() (Key, error) {
	if k.IsZero() {
		return NewKey()
	}
	return k, nil
}
