package endpoints

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Rotation is how a secret is replaced.
type Rotation struct {
	Secret     *string        // brought along, or nil for a new one
	Overlap    *time.Duration // how long the old one signs on; nil is the deployment's default
	ActivateIn time.Duration  // until then the old one stays current and the new one signs second
}

// RotateSecret gives an endpoint another secret, from its next attempt on. It returns [models.FieldErrors] for values
// out of range.
func (s *Service) RotateSecret(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	r Rotation) (models.Endpoint, webhook.Secret, error) {
	e, err := s.own(ctx, tx, merchantID, id)
	if err != nil {
		return e, webhook.Secret{}, err
	}
	overlap := s.opts.Overlap
	if r.Overlap != nil {
		overlap = *r.Overlap
	}
	var problems models.FieldErrors
	if overlap < 0 || overlap > MaxOverlap {
		problems = append(problems, models.FieldError{Field: "overlap_seconds", Message: "must be 0 to 604800",
			Example: "86400"})
	}
	if r.ActivateIn < 0 || r.ActivateIn > MaxActivateIn {
		problems = append(problems, models.FieldError{Field: "activate_in", Message: "must be 0 to 604800 seconds",
			Example: "3600"})
	}
	key, problem := newSecret(r.Secret)
	if problem != nil {
		problems = append(problems, *problem)
	}
	if len(problems) > 0 {
		return e, webhook.Secret{}, problems
	}
	now := s.now()
	have, err := tx.Secrets(ctx, id, now)
	if err != nil {
		return e, key, err
	}
	plan := planRotation(have, now, r.ActivateIn, overlap)
	for secretID, end := range plan.ends {
		if err := tx.EndSecret(ctx, secretID, end); err != nil {
			return e, key, err
		}
	}
	if err := s.insertSecret(ctx, tx, id, key, plan.activeFrom); err != nil {
		return e, key, err
	}
	e.UpdatedAt = now
	if e, err = tx.SaveEndpoint(ctx, e); err != nil { // the new version makes every worker read the secrets anew
		return e, key, err
	}
	return e, key, s.audit(ctx, tx, actor, "endpoint.secret_rotated", e, map[string]string{
		"overlap_seconds": fmt.Sprint(int(overlap.Seconds())), "active_from": plan.activeFrom.Format(time.RFC3339),
		"brought": fmt.Sprint(r.Secret != nil),
	})
}

// exampleSecret is what a secret looks like.
const exampleSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func newSecret(given *string) (webhook.Secret, *models.FieldError) {
	if given == nil {
		key, err := webhook.NewSecret(nil)
		if err != nil {
			return key, &models.FieldError{Field: "secret", Message: err.Error(), Example: exampleSecret}
		}
		return key, nil
	}
	key, err := webhook.ParseSecret(*given)
	if err != nil {
		return key,
			&models.FieldError{Field: "secret", Message: "must be whsec_ and base64 of 24 to 64 bytes, or 24 to 128 bytes " +
				"without that prefix", Example: exampleSecret}
	}
	return key, nil
}

func (s *Service) insertSecret(ctx context.Context, tx *store.Tx, endpointID string, key webhook.Secret,
	activeFrom time.Time) error {
	now := s.now()
	row := models.EndpointSecret{ID: models.NewID(models.PrefixSecret, now), EndpointID: endpointID,
		ActiveFrom: activeFrom, CreatedAt: now}
	var err error
	if row.Sealed, err = s.vault.Seal([]byte(key.Reveal()), models.SecretAAD(row.ID)); err != nil {
		return fmt.Errorf("endpoints: seal secret: %w", err)
	}
	return tx.InsertSecret(ctx, row)
}

// WarnExpiring tells the merchant about one secret, unless somebody did so or rotated it meanwhile.
func (s *Service) WarnExpiring(ctx context.Context, tx *store.Tx, actor models.Actor, k models.EndpointSecret) error {
	if mine, err := tx.MarkWarned(ctx, k.ID, s.now()); err != nil || !mine {
		return err
	}
	merchantID, err := tx.MerchantOfEndpoint(ctx, k.EndpointID)
	if err != nil {
		return err
	}
	e, err := tx.LockEndpoint(ctx, merchantID, k.EndpointID)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, tx, webhook.EndpointSecretExpiring, e); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "endpoint.secret_expiring", e,
		map[string]string{"secret_id": k.ID, "active_from": k.ActiveFrom.Format(time.RFC3339)})
}
