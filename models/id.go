package models

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Prefixes of the ids: what an id names can be read off it.
const (
	PrefixMerchant   = "mer"
	PrefixPayment    = "pay"
	PrefixTransfer   = "tr"
	PrefixEvent      = "evt"
	PrefixEndpoint   = "we"
	PrefixSecret     = "whs"
	PrefixDelivery   = "dlv"
	PrefixAttempt    = "att"
	PrefixAPIKey     = "key"
	PrefixCheckout   = "co"
	PrefixBatch      = "bat"
	PrefixReplay     = "rep"
	PrefixSigningKey = "sgk"
	PrefixDoubt      = "dbt"
	PrefixPortalLink = "pln"
	PrefixLinkToken  = "pl" // what opens it
	idBodyLength     = 26
	idAlphabet       = "0123456789abcdefghjkmnpqrstvwxyz"
	idRandomBytes    = 10
	idTimestampBytes = 6
)

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// NewID returns prefix, an underscore and 26 characters: 48 bits of Unix milliseconds, then 80 random bits, in
// Crockford's base32 in lower case. Ids of one kind therefore sort by the time they were made, to the millisecond.
func NewID(prefix string, now time.Time) string {
	raw := timed(now)
	rand.Read(raw[idTimestampBytes:])
	return prefix + "_" + idEncoding.EncodeToString(raw[:])
}

// FirstID is where the ids of a kind begin that were made at a time or later: all earlier ones sort before it.
func FirstID(prefix string, at time.Time) string {
	raw := timed(at)
	return prefix + "_" + idEncoding.EncodeToString(raw[:])
}

// TimeOfID is when an id was made, to the millisecond. ok is false when s has not the form that [NewID] gives.
func TimeOfID(prefix, s string) (at time.Time, ok bool) {
	if !IsID(prefix, s) {
		return time.Time{}, false
	}
	raw, err := idEncoding.DecodeString(s[len(prefix)+1:])
	if err != nil {
		return time.Time{}, false
	}
	var ms [8]byte
	copy(ms[8-idTimestampBytes:], raw)
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC(), true
}

// timed begins with a time.
func timed(at time.Time) (raw [idTimestampBytes + idRandomBytes]byte) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(raw[:], ms[8-idTimestampBytes:])
	return raw
}

// NewToken returns prefix, an underscore and 160 random bits that nobody can guess, for links that open without a key.
func NewToken(prefix string) string {
	var raw [20]byte
	rand.Read(raw[:])
	return prefix + "_" + idEncoding.EncodeToString(raw[:])
}

// IsID reports whether s has the form that [NewID] gives for prefix.
func IsID(prefix, s string) bool {
	body, ok := strings.CutPrefix(s, prefix+"_")
	return ok && len(body) == idBodyLength && strings.Trim(body, idAlphabet) == ""
}
