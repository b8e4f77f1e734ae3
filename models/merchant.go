package models

import (
	"slices"
	"time"
)

// Merchant is a tenant: everything else belongs to exactly one.
type Merchant struct {
	ID           string `gorm:"primaryKey"`
	Name         string
	AccountKeyID *string    // the account key that new payments draw their addresses from; nil until an operator sets one
	AcceptLate   bool       // an expired payment may still go on to detected and confirmed
	SuspendedAt  *time.Time `gorm:"column:paused_at"` // since when they can make no new payments
	// DeliveriesPausedAt is since when nothing is sent to its endpoints: the incident switch for one merchant.
	DeliveriesPausedAt *time.Time
	// Limits set by the operator; nil means the deployment's default.
	RatePerSecond   *int
	MaxEndpoints    *int
	MaxKeys         *int
	MaxOpenPayments *int
	// What payers see of the merchant, beside the name; nil where the merchant says nothing.
	SupportURL   *string `gorm:"column:support_url"`
	SupportEmail *string
	Languages    []string `gorm:"serializer:json"` // of [Languages]; the first is the one to begin with
	LogoHash     *string  // of a [Logo]
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Languages are those that the checkout page speaks.
var Languages = []string{"en", "de", "es", "fr", "pt", "zh"}

// Logo is an image that the checkout page of a merchant shows.
type Logo struct {
	Hash       string `gorm:"primaryKey"` // hex SHA-256 of Image
	MerchantID string `gorm:"primaryKey"`
	MediaType  string
	Image      []byte
	CreatedAt  time.Time
}

// AccountKey is an account-level extended public key. It owns the counter of its addresses, so that two deployments of
// one key under different spellings can never hand out the same address.
type AccountKey struct {
	ID         string `gorm:"primaryKey"` // hex SHA-256 of compressed public key and chain code
	MerchantID string
	XPub       string `gorm:"column:xpub"`
	Branch     uint32
	NextIndex  uint32
	CreatedAt  time.Time
}

// Scope is one permission of an API key.
type Scope string

// What a key may be allowed to do.
const (
	ScopePaymentsRead  Scope = "payments:read"
	ScopePaymentsWrite Scope = "payments:write"
	ScopeWebhooksRead  Scope = "webhooks:read"
	ScopeWebhooksWrite Scope = "webhooks:write"
	ScopeKeysWrite     Scope = "keys:write"
	ScopeMerchantWrite Scope = "merchant:write"
)

// Scopes lists every scope in the order in which they are shown.
var Scopes = []Scope{ScopePaymentsRead, ScopePaymentsWrite, ScopeWebhooksRead, ScopeWebhooksWrite, ScopeKeysWrite,
	ScopeMerchantWrite}

// APIKey is a merchant's credential. Only the SHA-256 of the key is kept; Prefix is what a person recognises it by.
type APIKey struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Name       string
	Prefix     string  // "ck_live_" or "ck_test_" and the first characters
	Hash       string  // hex SHA-256 of the whole key
	Test       bool    // sees and changes only what is of test mode
	Scopes     []Scope `gorm:"serializer:json"`
	ExpiresAt  *time.Time
	RevokedAt  *time.Time
	LastUsedAt *time.Time
	CreatedAt  time.Time
	CreatedBy  *string // the key that made it; nil is the operator
}

// TableName keeps GORM from splitting the initials.
func (APIKey) TableName() string { return "api_keys" }

// Allows reports whether the key carries s.
func (k APIKey) Allows(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Sees reports whether something of a mode is there for the key: a live key sees everything, a test key what is test
// and nothing else.
func (k APIKey) Sees(m Mode) bool { return !k.Test || m == ModeTest }

// Covers reports whether the key has every scope of other.
func (k APIKey) Covers(other APIKey) bool {
	return !slices.ContainsFunc(other.Scopes, func(s Scope) bool { return !k.Allows(s) })
}

// Live reports whether the key may be used at now.
func (k APIKey) Live(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}
