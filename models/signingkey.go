package models

import "time"

// SigningKey is a key of the gateway's own, with which it signs beside the secrets of the endpoints that ask for it.
// Test endpoints have keys of their own, in a table of their own.
type SigningKey struct {
	ID         string `gorm:"primaryKey"`
	Generation int    // 1 for the first; each rotation makes the next
	PublicKey  string // whpk_…
	Sealed     []byte // the private half, by the vault, bound to this row
	ActiveFrom time.Time
	ExpiresAt  *time.Time // nil for the newest
	CreatedAt  time.Time
}
