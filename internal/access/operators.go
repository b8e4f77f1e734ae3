package access

import (
	"crypto/sha256"
	"crypto/subtle"
)

// OperatorRole is what a token of the deployment may do.
type OperatorRole int

// The roles, each with all that the one before may do.
const (
	NoOperator OperatorRole = iota // the token is none of ours
	OperatorReads
	OperatorOperates
)

// OperatorTokens are the two tokens of a deployment: one may do everything, the other only look. An empty token opens
// nothing.
type OperatorTokens struct{ operate, read string }

// NewOperatorTokens takes OPERATOR_TOKEN and OPERATOR_READ_TOKEN.
func NewOperatorTokens(operate, read string) OperatorTokens {
	return OperatorTokens{operate: operate, read: read}
}

// Role tells what a presented token may do. It takes the same time wherever the token differs from ours.
func (t OperatorTokens) Role(presented string) OperatorRole {
	operates, reads := sameToken(presented, t.operate), sameToken(presented, t.read)
	switch {
	case operates:
		return OperatorOperates
	case reads:
		return OperatorReads
	}
	return NoOperator
}

// sameToken compares hashes, so that not even the length of a token shows in the time.
func sameToken(presented, token string) bool {
	a, b := sha256.Sum256([]byte(presented)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && token != ""
}
