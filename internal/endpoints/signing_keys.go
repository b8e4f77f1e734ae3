package endpoints

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// How a signing key is replaced, unless told otherwise: it is published a day before it signs, and the old one signs
// beside it for a week more, so that receivers that look for keys once a day never miss one.
const (
	DefaultPublishAhead = 24 * time.Hour
	DefaultKeyOverlap   = 7 * 24 * time.Hour
	MaxKeyDelay         = 30 * 24 * time.Hour // of either
)

// keyFor makes the gateway's first signing key when an endpoint wants one and there is none. A test endpoint is signed
// with a key of its own; the other one is made with it, because documents are sealed with that.
func (s *Service) keyFor(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	if !e.Ed25519 {
		return nil
	}
	err := s.ensureSigningKey(ctx, tx, false)
	if err == nil && e.Mode == models.ModeTest {
		err = s.ensureSigningKey(ctx, tx, true)
	}
	return err
}

func (s *Service) ensureSigningKey(ctx context.Context, tx *store.Tx, test bool) error {
	have, err := tx.SigningKeys(ctx, test, s.now())
	if err != nil || len(have) > 0 {
		return err
	}
	row, made, err := s.insertSigningKey(ctx, tx, test, 1, s.now())
	if err != nil || !made { // another process may be first, which is as good
		return err
	}
	return tx.Audit(ctx, models.AuditEntry{
		At: row.CreatedAt, Actor: models.System.Name, Action: "signing_key.created", Subject: row.ID,
		Detail: map[string]string{"public_key": row.PublicKey, "mode": string(models.ModeOf(test))},
	})
}

func (s *Service) insertSigningKey(ctx context.Context, tx *store.Tx, test bool, generation int,
	activeFrom time.Time) (models.SigningKey, bool, error) {
	key, err := webhook.NewSigningKey(nil)
	if err != nil {
		return models.SigningKey{}, false, err
	}
	now := s.now()
	row := models.SigningKey{
		ID: models.NewID(models.PrefixSigningKey, now), Generation: generation, PublicKey: key.Public().String(),
		ActiveFrom: activeFrom, CreatedAt: now,
	}
	if row.Sealed, err = s.vault.Seal([]byte(key.Reveal()), models.SigningKeyAAD(row.ID)); err != nil {
		return row, false, fmt.Errorf("endpoints: seal signing key: %w", err)
	}
	made, err := tx.InsertSigningKey(ctx, test, row)
	return row, made, err
}

// RotateSigningKey publishes another key of the gateway's own, which signs after publishAhead; what signed until then
// signs on beside it for overlap. A key that was waiting to sign is replaced, and what signs now goes on until the new
// one does. The keys of test endpoints are left alone: see [Service.RotateTestSigningKey].
func (s *Service) RotateSigningKey(ctx context.Context, tx *store.Tx, actor models.Actor, publishAhead,
	overlap time.Duration) (models.SigningKey, error) {
	return s.rotateSigningKey(ctx, tx, actor, false, publishAhead, overlap)
}

// RotateTestSigningKey is [Service.RotateSigningKey] for the keys that sign for test endpoints.
func (s *Service) RotateTestSigningKey(ctx context.Context, tx *store.Tx, actor models.Actor, publishAhead,
	overlap time.Duration) (models.SigningKey, error) {
	return s.rotateSigningKey(ctx, tx, actor, true, publishAhead, overlap)
}

func (s *Service) rotateSigningKey(ctx context.Context, tx *store.Tx, actor models.Actor, test bool, publishAhead,
	overlap time.Duration) (models.SigningKey, error) {
	var problems models.FieldErrors
	for field, d := range map[string]time.Duration{"publish_ahead": publishAhead, "overlap": overlap} {
		if d < 0 || d > MaxKeyDelay {
			problems = append(problems, models.FieldError{Field: field, Message: "must be 0s to 30d", Example: "24h"})
		}
	}
	if len(problems) > 0 {
		return models.SigningKey{}, problems
	}
	now := s.now()
	have, err := tx.SigningKeys(ctx, test, now)
	if err != nil {
		return models.SigningKey{}, err
	}
	generation, activeFrom := 1, now
	if len(have) > 0 { // nobody needs to hear of the first one in advance
		generation, activeFrom = have[0].Generation+1, now.Add(publishAhead)
	}
	row, made, err := s.insertSigningKey(ctx, tx, test, generation, activeFrom)
	if err == nil && !made {
		err = fmt.Errorf("somebody else rotated the signing key at the same time: %w", models.ErrConflict)
	}
	if err != nil {
		return row, err
	}
	newest := true // of those that sign
	for _, k := range have {
		end := activeFrom.Add(overlap)
		moves := k.ExpiresAt == nil || k.ExpiresAt.After(end)
		if k.ActiveFrom.After(now) {
			end = now
		} else if newest { // signs on until then, also where its end was that of a wait which is over now
			newest, moves = false, true
		}
		if moves {
			if err := tx.EndSigningKey(ctx, test, k.ID, end); err != nil {
				return row, err
			}
		}
	}
	return row, tx.Audit(ctx, models.AuditEntry{
		At: now, Actor: actor.Name, IP: actor.IP, Action: "signing_key.rotated", Subject: row.ID,
		Detail: map[string]string{"active_from": activeFrom.Format(time.RFC3339), "overlap": overlap.String(),
			"public_key": row.PublicKey, "mode": string(models.ModeOf(test))},
	})
}

// SigningKeys lists the keys that sign now or will, newest first: for test endpoints, or for all others.
func (s *Service) SigningKeys(ctx context.Context, test bool) ([]models.SigningKey, error) {
	return s.store.SigningKeys(ctx, test, s.now())
}

// KeySet is what receivers may know of the signing keys, but for those of test endpoints.
func (s *Service) KeySet(ctx context.Context) (webhook.KeySet, error) { return s.keySet(ctx, false) }

// TestKeySet is what receivers at test endpoints may know. It is a document of its own: who goes by the keys of real
// money must not take what a test endpoint was sent.
func (s *Service) TestKeySet(ctx context.Context) (webhook.KeySet, error) { return s.keySet(ctx, true) }

func (s *Service) keySet(ctx context.Context, test bool) (webhook.KeySet, error) {
	rows, err := s.SigningKeys(ctx, test)
	if err != nil {
		return webhook.KeySet{}, err
	}
	set := webhook.KeySet{Keys: []webhook.KeySetKey{}}
	for _, row := range rows {
		public, err := webhook.ParsePublicKey(row.PublicKey)
		if err != nil {
			return set, fmt.Errorf("endpoints: public key of %s: %w", row.ID, err)
		}
		set.Keys = append(set.Keys, webhook.NewKeySetKey(row.ID, public, row.ActiveFrom, row.ExpiresAt))
	}
	return set, nil
}

// SealingKey returns the newest key that signs now, for documents that the gateway vouches for, and makes one when
// there is none.
func (s *Service) SealingKey(ctx context.Context, tx *store.Tx) (string, webhook.SigningKey, error) {
	if err := s.ensureSigningKey(ctx, tx, false); err != nil {
		return "", webhook.SigningKey{}, err
	}
	rows, err := tx.SigningKeys(ctx, false, s.now())
	if err != nil {
		return "", webhook.SigningKey{}, err
	}
	for _, row := range rows {
		if !row.ActiveFrom.After(s.now()) {
			key, err := s.OpenSigningKey(row)
			return row.ID, key, err
		}
	}
	return "", webhook.SigningKey{}, fmt.Errorf("endpoints: no signing key is active yet: %w", models.ErrNotFound)
}

// OpenSigningKey decrypts one of the gateway's own keys.
func (s *Service) OpenSigningKey(row models.SigningKey) (webhook.SigningKey, error) {
	plain, err := s.vault.Open(row.Sealed, models.SigningKeyAAD(row.ID))
	if err != nil {
		return webhook.SigningKey{}, fmt.Errorf("endpoints: open signing key %s: %w", row.ID, err)
	}
	key, err := webhook.ParseSigningKey(string(plain))
	if err != nil {
		return key, fmt.Errorf("endpoints: signing key %s: %w", row.ID, err)
	}
	return key, nil
}
