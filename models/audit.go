package models

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// AuditEntry is one line of the append-only audit log. Hash covers the line and the hash of the line before it.
type AuditEntry struct {
	Seq      int64 `gorm:"primaryKey"`
	At       time.Time
	Actor    string            // "operator", "key:key_…", "system"
	Action   string            // "endpoint.secret_rotated"
	Subject  string            // id of what was changed
	Merchant string            // "" where no merchant is concerned
	Detail   map[string]string `gorm:"serializer:json"`
	IP       string            `gorm:"column:ip"`
	PrevHash string
	Hash     string
}

// TableName is the log's own.
func (AuditEntry) TableName() string { return "audit_log" }

// ChainHash returns the hex SHA-256 that an entry must carry: over the JSON array of its fields, in the order of the
// struct, with the time in RFC 3339 UTC with microseconds, and the previous line's hash.
func (e AuditEntry) ChainHash() string {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		panic(fmt.Sprintf("models: audit detail: %v", err)) // a map of strings always marshals
	}
	line, err := json.Marshal([]string{
		strconv.FormatInt(e.Seq, 10), e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Actor, e.Action, e.Subject,
		e.Merchant, string(detail), e.IP, e.PrevHash,
	})
	if err != nil {
		panic(fmt.Sprintf("models: audit line: %v", err))
	}
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// IdempotencyRecord remembers the answer to a POST for 24 hours, so that a repeated request gets it again.
type IdempotencyRecord struct {
	MerchantID  string `gorm:"primaryKey"`
	Method      string `gorm:"primaryKey"`
	Path        string `gorm:"primaryKey"`
	Key         string `gorm:"primaryKey;column:key"`
	RequestHash string // hex SHA-256 of the body as received and of what the key may do
	StatusCode  int
	Answer      []byte // sealed by the vault: it may hold a secret that is shown once
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// TableName names the table after what it holds.
func (IdempotencyRecord) TableName() string { return "idempotency_keys" }
