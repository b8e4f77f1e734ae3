package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm/clause"

	"github.com/ctrip-gateway/ctrip/models"
)

// ErrFenced is returned to a scanner that is not the leader of its chain any more.
var ErrFenced = errors.New("store: another scanner leads this chain now")

// TakeLease makes holder the leader of a chain until now+ttl when nobody else is, and returns the lease as it stands:
// the caller leads when the holder in it is his. A change of leader raises the fence. All times are the caller's, so
// clocks may differ by less than ttl; the fence keeps the record right even when they do not.
func (s *Store) TakeLease(ctx context.Context, chainID uint64, holder string, now time.Time,
	ttl time.Duration) (models.ChainLease, error) {
	var lease models.ChainLease
	err := s.InTx(ctx, func(tx *Tx) error {
		free := models.ChainLease{ChainID: chainID, ExpiresAt: now}
		if err := tx.with(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&free).Error; err != nil {
			return wrap("lease", err)
		}
		if err := tx.lockLease(ctx, chainID, &lease); err != nil {
			return err
		}
		if lease.Holder != holder && lease.Holder != "" && now.Before(lease.ExpiresAt) {
			return nil
		}
		if lease.Holder != holder {
			lease.Holder = holder
			lease.Fence++
		}
		lease.ExpiresAt = now.Add(ttl)
		return wrap("take lease", tx.with(ctx).Save(&lease).Error)
	})
	return lease, err
}

// ReleaseLease lets go of a chain, so that a standby need not wait for the lease to end.
func (s *Store) ReleaseLease(ctx context.Context, chainID uint64, holder string) error {
	return wrap("release lease", s.with(ctx).Model(&models.ChainLease{}).Where("chain_id = ? AND holder = ?", chainID,
		holder).
		Update("holder", "").Error)
}

// BreakLease takes the lease of a chain away from whoever has it. What that one is about to write is refused, and it
// reads the record anew before it goes on.
func (tx *Tx) BreakLease(ctx context.Context, chainID uint64) error {
	var lease models.ChainLease
	if err := tx.lockLease(ctx, chainID, &lease); errors.Is(err, models.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	lease.Holder, lease.Fence = "", lease.Fence+1
	return wrap("break lease", tx.with(ctx).Save(&lease).Error)
}

// HoldFence locks the lease of a chain for the rest of the transaction and returns [ErrFenced] when it is not the one
// that the caller was given. Whatever a scanner writes, it writes behind this.
func (tx *Tx) HoldFence(ctx context.Context, chainID uint64, holder string, fence int64) error {
	var lease models.ChainLease
	if err := tx.lockLease(ctx, chainID, &lease); err != nil {
		return err
	}
	if lease.Holder != holder || lease.Fence != fence {
		return ErrFenced
	}
	return nil
}

// LockLease holds up whoever leads a chain until the transaction ends, so that what it reads of the record stays true.
func (tx *Tx) LockLease(ctx context.Context, chainID uint64) error {
	var lease models.ChainLease
	if err := tx.lockLease(ctx, chainID, &lease); err != nil && !errors.Is(err, models.ErrNotFound) {
		return err
	}
	return nil
}

func (tx *Tx) lockLease(ctx context.Context, chainID uint64, lease *models.ChainLease) error {
	return one("lease", tx.with(ctx).Raw("SELECT "+tx.columns(&models.ChainLease{}, "")+" FROM chain_leases WHERE chain_id = ?"+tx.dialect.forUpdate(),
		chainID).Take(lease).Error)
}
