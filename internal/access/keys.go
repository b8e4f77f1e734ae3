package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	livePrefix   = "ck_live_"
	testPrefix   = "ck_test_"
	keyBytes     = 32
	shownOfKey   = 6 // characters after the prefix by which a person recognises a key
	maxKeyLength = 128
	maxName      = 255
)

// Errors of the operations, beside [models.FieldErrors] and [models.ErrNotFound].
var (
	ErrKeyLimit    = fmt.Errorf("the merchant has as many live API keys as it may have: %w", models.ErrConflict)
	ErrWiderKey    = errors.New("the key has scopes that the key which asks does not have")
	ErrForeignXPub = fmt.Errorf("the account key belongs to another merchant: %w", models.ErrConflict)
)

// KeyRequest asks for a key.
type KeyRequest struct {
	MerchantID string
	Name       string
	Test       bool // a ck_test_ key: only what is of test mode
	Scopes     []models.Scope
	// ExpiresAt nil is a key that ends when Granter does, or never.
	ExpiresAt *time.Time
	// Granter is the key that asks: it grants only scopes that it has, for no longer than it lives. Nil is the operator.
	Granter *models.APIKey
}

// CreateKey makes a key of a merchant. The secret is returned once; only its hash is stored. It fails with
// [models.FieldErrors], [models.ErrNotFound] or [ErrKeyLimit].
func (s *Service) CreateKey(ctx context.Context, tx *store.Tx, actor models.Actor,
	r KeyRequest) (key models.APIKey, secret string, err error) {
	if err := s.checkKey(r); err != nil {
		return models.APIKey{}, "", err
	}
	m, err := tx.LockMerchant(ctx, r.MerchantID) // keys are counted and written by one at a time
	if err != nil {
		return models.APIKey{}, "", err
	}
	limit := s.maxKeys
	if m.MaxKeys != nil {
		limit = *m.MaxKeys
	}
	now := s.now()
	if n, err := tx.CountAPIKeys(ctx, m.ID, r.Test, now); err != nil {
		return models.APIKey{}, "", err
	} else if n >= limit {
		return models.APIKey{}, "", ErrKeyLimit
	}
	prefix := livePrefix
	if r.Test {
		prefix = testPrefix
	}
	raw := make([]byte, keyBytes)
	rand.Read(raw)
	secret = prefix + base64.RawURLEncoding.EncodeToString(raw)
	key = models.APIKey{
		ID: models.NewID(models.PrefixAPIKey, now), MerchantID: m.ID, Name: r.Name, Prefix: secret[:len(prefix)+shownOfKey],
		Hash: hashKey(secret), Test: r.Test, Scopes: inOrder(r.Scopes), CreatedAt: now,
	}
	if r.ExpiresAt != nil {
		key.ExpiresAt = new(models.Micro(*r.ExpiresAt))
	}
	if r.Granter != nil {
		key.CreatedBy = &r.Granter.ID
		if key.ExpiresAt == nil {
			key.ExpiresAt = r.Granter.ExpiresAt
		}
	}
	if err := tx.InsertAPIKey(ctx, key); err != nil {
		return models.APIKey{}, "", err
	}
	return key, secret, tx.Audit(ctx, models.AuditEntry{
		At: now, Actor: actor.Name, IP: actor.IP, Action: "key.created", Subject: key.ID, Merchant: m.ID,
		Detail: map[string]string{"prefix": key.Prefix, "scopes": joinScopes(key.Scopes)},
	})
}

// Revocation ends a key.
type Revocation struct {
	ID string
	// Asker is the key that asks. It ends keys of its merchant and mode that have no scope which it does not have itself.
	// Nil is the operator, who may end any.
	Asker *models.APIKey
	// WithChildren ends the keys as well that the key made, and those that they made.
	WithChildren bool
}

// RevokeKey ends a key. One that has ended stays as it was. This process forgets the key at once, others within
// [CacheFor]. It fails with [models.ErrNotFound] or [ErrWiderKey], and then no key has ended.
func (s *Service) RevokeKey(ctx context.Context, tx *store.Tx, actor models.Actor, r Revocation) error {
	key, err := tx.APIKeyByID(ctx, r.ID)
	if err != nil {
		return err
	}
	if r.Asker != nil && (key.MerchantID != r.Asker.MerchantID || !r.Asker.Sees(models.ModeOf(key.Test))) {
		return models.ErrNotFound
	}
	keys := []models.APIKey{key}
	if r.WithChildren {
		if _, err := tx.LockMerchant(ctx, key.MerchantID); err != nil { // no key is made meanwhile
			return err
		}
		for level := keys; len(level) > 0; keys = append(keys, level...) {
			if level, err = tx.ChildKeys(ctx, key.MerchantID, ids(level)); err != nil {
				return err
			}
		}
	}
	for _, k := range keys {
		if k.RevokedAt == nil && r.Asker != nil && !r.Asker.Covers(k) {
			return ErrWiderKey
		}
	}
	for _, k := range keys {
		if err := s.revoke(ctx, tx, actor, k); err != nil {
			return err
		}
	}
	return nil
}

func ids(keys []models.APIKey) []string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func (s *Service) revoke(ctx context.Context, tx *store.Tx, actor models.Actor, key models.APIKey) error {
	if key.RevokedAt != nil {
		return nil
	}
	if err := tx.RevokeAPIKey(ctx, key.ID, s.now()); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.cache, key.Hash)
	})
	return tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor.Name, IP: actor.IP, Action: "key.revoked", Subject: key.ID, Merchant: key.MerchantID,
		Detail: map[string]string{"prefix": key.Prefix},
	})
}

func (s *Service) checkKey(r KeyRequest) error {
	var problems models.FieldErrors
	if problem := badName(r.Name); problem != "" {
		problems = append(problems, models.FieldError{Field: "name", Message: problem, Example: "Checkout server"})
	}
	if len(r.Scopes) == 0 {
		problems = append(problems, models.FieldError{Field: "scopes", Message: "must name at least one scope",
			Example: `["payments:read"]`})
	}
	for _, scope := range r.Scopes {
		if !slices.Contains(models.Scopes, scope) {
			problems = append(problems, models.FieldError{Field: "scopes",
				Message: fmt.Sprintf("has %q, which is no scope", scope),
				Example: joinScopes(models.Scopes)})
		} else if r.Granter != nil && !r.Granter.Allows(scope) {
			problems = append(problems, models.FieldError{Field: "scopes", Message: fmt.Sprintf("has %q, which the key that "+
				"asks "+
				"does not have itself", scope), Example: joinScopes(r.Granter.Scopes)})
		}
	}
	if r.Granter != nil && r.Granter.Test && !r.Test {
		problems = append(problems, models.FieldError{Field: "test", Message: "must be true: a test key makes only test keys",
			Example: "true"})
	}
	if r.ExpiresAt != nil && !r.ExpiresAt.After(s.now()) {
		problems = append(problems, models.FieldError{Field: "expires_at", Message: "must be in the future",
			Example: s.now().AddDate(1, 0, 0).Format(time.RFC3339)})
	}
	if r.Granter != nil && r.Granter.ExpiresAt != nil && r.ExpiresAt != nil && r.ExpiresAt.After(*r.Granter.ExpiresAt) {
		problems = append(problems, models.FieldError{Field: "expires_at", Message: "must not be later than the end of the " +
			"key " +
			"that asks", Example: r.Granter.ExpiresAt.UTC().Format(time.RFC3339)})
	}
	if problems != nil {
		return problems
	}
	return nil
}

func badName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "must not be empty"
	case len(name) > maxName:
		return fmt.Sprintf("must be at most %d bytes", maxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "must not contain control characters"
	}
	return ""
}

// inOrder is the given scopes, each once, in the order in which they are shown.
func inOrder(given []models.Scope) []models.Scope {
	var scopes []models.Scope
	for _, s := range models.Scopes {
		if slices.Contains(given, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

func joinScopes(scopes []models.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, " ")
}
