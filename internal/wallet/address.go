package wallet

import (
	"errors"
	"strings"

	"golang.org/x/crypto/sha3"
)

// Why [ParseAddress] refuses a text.
var (
	ErrAddress  = errors.New("not an address: want 0x and 40 hexadecimal digits")
	ErrChecksum = errors.New("the letter case of this address does not match its EIP-55 checksum; one of its characters " +
		"is probably wrong")
)

// Checksum spells an address by EIP-55. It takes 0x and 40 hexadecimal digits in any case; anything else comes back as
// it is, because an address of the database is known to be one and a display must not fail.
func Checksum(address string) string {
	lower := strings.ToLower(address)
	if !isAddress(lower) {
		return address
	}
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte(lower[2:]))
	var sum [32]byte
	h.Sum(sum[:0])
	out := []byte(lower)
	for i := range 40 {
		nibble := sum[i/2] >> (4 * (1 - i%2)) & 0xf
		if c := out[2+i]; nibble >= 8 && c >= 'a' {
			out[2+i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

// ParseAddress reads an address in lower case, upper case or right EIP-55 spelling and returns it in lower case, the
// form that is stored and compared. It fails with [ErrAddress] or [ErrChecksum].
func ParseAddress(s string) (string, error) {
	lower := strings.ToLower(s)
	if !isAddress(lower) {
		return "", ErrAddress
	}
	digits := s[2:]
	if digits != lower[2:] && digits != strings.ToUpper(digits) && digits != Checksum(lower)[2:] {
		return "", ErrChecksum
	}
	return lower, nil
}

func isAddress(lower string) bool {
	if len(lower) != 42 || lower[:2] != "0x" {
		return false
	}
	for _, c := range []byte(lower[2:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
