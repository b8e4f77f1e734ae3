package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// SetMetadata replaces the metadata of a merchant's payment. No event tells of it, later ones show it. The audit log
// has the names of the keys, not what they hold. It returns [models.FieldErrors], or [models.ErrNotFound].
func (s *Service) SetMetadata(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, id string,
	metadata map[string]string) (models.Payment, error) {
	if problem := badMetadata(metadata); problem != nil {
		return models.Payment{}, models.FieldErrors{*problem}
	}
	locked, err := tx.LockPayments(ctx, []string{id})
	if err != nil {
		return models.Payment{}, err
	}
	if len(locked) == 0 || locked[0].MerchantID != merchantID {
		return models.Payment{}, models.ErrNotFound
	}
	p := locked[0]
	if maps.Equal(p.Metadata, metadata) {
		return p, nil
	}
	p.Metadata, p.UpdatedAt = maps.Clone(metadata), s.now()
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	if err := tx.SaveMetadata(ctx, p); err != nil {
		return p, err
	}
	line := auditLine(actor, "payment.metadata_changed", p)
	line.Detail = map[string]string{"keys": strings.Join(slices.Sorted(maps.Keys(p.Metadata)), " ")}
	return p, tx.Audit(ctx, line)
}

func badMetadata(m map[string]string) *models.FieldError {
	if n := metadataSize(m); n > maxMetadata {
		return &models.FieldError{Field: "metadata", Example: `{"cart":"9"}`,
			Message: fmt.Sprintf("is %d bytes in all, and at most %d are kept", n, maxMetadata)}
	}
	return nil
}
