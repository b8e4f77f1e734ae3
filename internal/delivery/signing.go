package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// How a signing key is replaced, unless told otherwise: it is published a day before it signs, and the old one signs beside
// it for a week more, so that receivers that look for keys once a day never miss one.
const (
	DefaultPublishAhead = 24 * time.Hour
	DefaultKeyOverlap   = 7 * 24 * time.Hour
	MaxKeyDelay         = 30 * 24 * time.Hour // of either
)

const (
	// signersFor is how long the keys are used before they are read again.
	signersFor = 30 * time.Second
	// clockSkew is how far ahead the clock may be that made the first key: a process is not ready with more.
	clockSkew = 30 * time.Second
)

// keyFor makes the gateway's first signing key when an endpoint wants one and there is none.
func (s *Service) keyFor(ctx context.Context, tx *store.Tx, e models.Endpoint) error {
	if !e.Ed25519 {
		return nil
	}
	return s.ensureSigningKey(ctx, tx)
}

func (s *Service) ensureSigningKey(ctx context.Context, tx *store.Tx) error {
	have, err := tx.SigningKeys(ctx, s.now())
	if err != nil || len(have) > 0 {
		return err
	}
	row, made, err := s.insertSigningKey(ctx, tx, 1, s.now())
	if err != nil || !made { // another process may be first, which is as good
		return err
	}
	return tx.Audit(ctx, models.AuditEntry{
		At: row.CreatedAt, Actor: models.System.Name, Action: "signing_key.created", Subject: row.ID, Detail: map[string]string{"public_key": row.PublicKey},
	})
}

func (s *Service) insertSigningKey(ctx context.Context, tx *store.Tx, generation int, activeFrom time.Time) (models.SigningKey, bool, error) {
	key, err := webhook.NewSigningKey(nil)
	if err != nil {
		return models.SigningKey{}, false, err
	}
	now := s.now()
	row := models.SigningKey{
		ID: models.NewID(models.PrefixSigningKey, now), Generation: generation, PublicKey: key.Public().String(), ActiveFrom: activeFrom, CreatedAt: now,
	}
	if row.Sealed, err = s.Vault.Seal([]byte(key.Reveal()), models.SigningKeyAAD(row.ID)); err != nil {
		return row, false, fmt.Errorf("delivery: seal signing key: %w", err)
	}
	made, err := tx.InsertSigningKey(ctx, row)
	return row, made, err
}

// RotateSigningKey publishes another key of the gateway's own, which signs after publishAhead; what signed until then signs
// on beside it for overlap. A key that was waiting to sign is replaced, and what signs now goes on until the new one does.
func (s *Service) RotateSigningKey(ctx context.Context, tx *store.Tx, actor models.Actor, publishAhead, overlap time.Duration) (models.SigningKey, error) {
	var faults Faults
	for field, d := range map[string]time.Duration{"publish_ahead": publishAhead, "overlap": overlap} {
		if d < 0 || d > MaxKeyDelay {
			faults = append(faults, Fault{Field: field, Message: "must be 0s to 30d", Example: "24h"})
		}
	}
	if len(faults) > 0 {
		return models.SigningKey{}, faults
	}
	now := s.now()
	have, err := tx.SigningKeys(ctx, now)
	if err != nil {
		return models.SigningKey{}, err
	}
	generation, activeFrom := 1, now
	if len(have) > 0 { // nobody needs to hear of the first one in advance
		generation, activeFrom = have[0].Generation+1, now.Add(publishAhead)
	}
	row, made, err := s.insertSigningKey(ctx, tx, generation, activeFrom)
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
			if err := tx.EndSigningKey(ctx, k.ID, end); err != nil {
				return row, err
			}
		}
	}
	return row, tx.Audit(ctx, models.AuditEntry{
		At: now, Actor: actor.Name, IP: actor.IP, Action: "signing_key.rotated", Subject: row.ID,
		Detail: map[string]string{"active_from": activeFrom.Format(time.RFC3339), "overlap": overlap.String(), "public_key": row.PublicKey},
	})
}

// SigningKeys lists the keys that sign now or will, newest first.
func (s *Service) SigningKeys(ctx context.Context) ([]models.SigningKey, error) {
	return s.Store.SigningKeys(ctx, s.now())
}

// KeySet is what receivers may know of the signing keys.
func (s *Service) KeySet(ctx context.Context) (webhook.KeySet, error) {
	rows, err := s.SigningKeys(ctx)
	if err != nil {
		return webhook.KeySet{}, err
	}
	set := webhook.KeySet{Keys: []webhook.KeySetKey{}}
	for _, row := range rows {
		public, err := webhook.ParsePublicKey(row.PublicKey)
		if err != nil {
			return set, fmt.Errorf("delivery: public key of %s: %w", row.ID, err)
		}
		set.Keys = append(set.Keys, webhook.NewKeySetKey(row.ID, public, row.ActiveFrom, row.ExpiresAt))
	}
	return set, nil
}

// signers keeps the gateway's own keys opened.
type signers struct {
	service *Service

	mu     sync.Mutex
	readAt time.Time
	rows   []models.SigningKey
	keys   map[string]webhook.SigningKey
}

// live returns the keys that sign at now, newest first. What was read before serves on while the database does not answer.
func (s *signers) live(ctx context.Context, now time.Time) ([]webhook.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.readAt) >= signersFor || len(s.keys) == 0 {
		if err := s.read(ctx, now); err != nil && len(s.keys) == 0 {
			return nil, err
		}
		s.readAt = now // a failure too: those who wait here would each wait for the database
	}
	var live []webhook.SigningKey
	for _, skew := range []time.Duration{0, clockSkew} {
		for _, row := range s.rows {
			if !row.ActiveFrom.After(now.Add(skew)) && (row.ExpiresAt == nil || row.ExpiresAt.After(now)) {
				live = append(live, s.keys[row.ID])
			}
		}
		if len(live) > 0 {
			return live, nil
		}
	}
	return nil, fmt.Errorf("delivery: no signing key is active: %w", models.ErrNotFound)
}

func (s *signers) read(ctx context.Context, now time.Time) error {
	rows, err := s.service.Store.SigningKeys(ctx, now)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("delivery: there is no signing key: %w", models.ErrNotFound)
	}
	keys := make(map[string]webhook.SigningKey, len(rows))
	for _, row := range rows {
		if known, ok := s.keys[row.ID]; ok {
			keys[row.ID] = known
			continue
		}
		if keys[row.ID], err = s.service.openSigningKey(row); err != nil {
			return err
		}
	}
	s.rows, s.keys = rows, keys
	return nil
}

// SealingKey returns the newest key that signs now, for documents that the gateway vouches for, and makes one when there is
// none.
func (s *Service) SealingKey(ctx context.Context, tx *store.Tx) (string, webhook.SigningKey, error) {
	if err := s.ensureSigningKey(ctx, tx); err != nil {
		return "", webhook.SigningKey{}, err
	}
	rows, err := tx.SigningKeys(ctx, s.now())
	if err != nil {
		return "", webhook.SigningKey{}, err
	}
	for _, row := range rows {
		if !row.ActiveFrom.After(s.now()) {
			key, err := s.openSigningKey(row)
			return row.ID, key, err
		}
	}
	return "", webhook.SigningKey{}, fmt.Errorf("delivery: no signing key is active yet: %w", models.ErrNotFound)
}

func (s *Service) openSigningKey(row models.SigningKey) (webhook.SigningKey, error) {
	plain, err := s.Vault.Open(row.Sealed, models.SigningKeyAAD(row.ID))
	if err != nil {
		return webhook.SigningKey{}, fmt.Errorf("delivery: open signing key %s: %w", row.ID, err)
	}
	key, err := webhook.ParseSigningKey(string(plain))
	if err != nil {
		return key, fmt.Errorf("delivery: signing key %s: %w", row.ID, err)
	}
	return key, nil
}
