package models

import "time"

// PortalSession is a browser that signed in with an API key. What the browser holds is stored only as its hash. The row
// goes when somebody signs out, or the key is revoked.
type PortalSession struct {
	Hash       string `gorm:"primaryKey"` // hex SHA-256
	MerchantID string
	KeyID      string
	CreatedAt  time.Time
	EndsAt     time.Time
}
