package payments

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Reset takes back everything that was recorded of a chain from a block on, because the chain began anew: transfers are
// orphaned, payments recomputed, and their merchants are told as after a reorg.
func (s *Service) Reset(ctx context.Context, tx *store.Tx, chainID, from uint64) ([]StatusChange, error) {
	now := s.now()
	if err := tx.ForgetDoubts(ctx, chainID, from, now); err != nil {
		return nil, err
	}
	gone, err := tx.OrphanTransfers(ctx, chainID, from, now)
	if err != nil {
		return nil, err
	}
	touched, lost := make(map[string]bool), make(map[string][]models.Transfer)
	for _, t := range gone {
		touched[t.PaymentID] = true
		lost[t.PaymentID] = append(lost[t.PaymentID], t)
	}
	return s.recompute(ctx, tx, touched, lost, clocks{chainID: chainID, head: from})
}
