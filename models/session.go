package models

import "time"

// PortalLink opens the portal once. What is in the link is stored only as its hash, and so is the session that it
// opened.
type PortalLink struct {
	ID            string `gorm:"primaryKey"`
	Hash          string // hex SHA-256 of the token in the link
	MerchantID    string
	KeyID         *string // the key that made it and without which it opens nothing; nil is the operator
	Scopes        []Scope `gorm:"serializer:json"`
	Test          bool
	CreatedBy     string // as the audit log names them
	CreatedAt     time.Time
	ExpiresAt     time.Time
	UsedAt        *time.Time
	SessionHash   *string
	SessionEndsAt *time.Time
}

// PortalSession is a browser that signed in with an API key. What the browser holds is stored only as its hash. The row
// goes when somebody signs out, or the key is revoked.
type PortalSession struct {
	Hash       string `gorm:"primaryKey"` // hex SHA-256
	MerchantID string
	KeyID      string
	CreatedAt  time.Time
	EndsAt     time.Time
}
