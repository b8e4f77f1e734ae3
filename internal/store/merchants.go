package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertMerchant writes a merchant.
func (tx *Tx) InsertMerchant(ctx context.Context, m models.Merchant) error {
	return wrap("insert merchant "+m.ID, tx.with(ctx).Create(&m).Error)
}

// Merchant reads one merchant.
func (q *Queries) Merchant(ctx context.Context, id string) (models.Merchant, error) {
	var m models.Merchant
	err := q.with(ctx).Where("id = ?", id).Take(&m).Error
	return m, one("merchant "+id, err)
}

// Merchants reads every merchant, newest first.
func (q *Queries) Merchants(ctx context.Context) ([]models.Merchant, error) {
	var ms []models.Merchant
	err := q.with(ctx).Order("created_at DESC, id DESC").Find(&ms).Error
	return ms, wrap("merchants", err)
}

// SaveMerchant writes what an operator may change about a merchant: its name, its policy and its limits.
func (tx *Tx) SaveMerchant(ctx context.Context, m models.Merchant) error {
	return wrap("save merchant "+m.ID, tx.with(ctx).Model(&m).
		Select("name", "accept_late", "rate_per_second", "max_endpoints", "max_keys", "max_open_payments",
			"updated_at").Updates(&m).Error)
}

// SuspendMerchant notes since when a merchant may make no new payments; nil lets them again.
func (tx *Tx) SuspendMerchant(ctx context.Context, id string, since *time.Time, now time.Time) error {
	return wrap("suspend merchant "+id, tx.with(ctx).Model(&models.Merchant{}).Where("id = ?", id).
		Updates(map[string]any{"paused_at": since, "updated_at": now}).Error)
}

// SetAccountKey makes k the account key of its merchant, whose new payments draw their addresses from it. A key that
// belongs to another merchant is [models.ErrConflict]; one that this merchant had before goes on where it stopped.
func (tx *Tx) SetAccountKey(ctx context.Context, k models.AccountKey) error {
	var have []models.AccountKey
	if err := tx.with(ctx).Where("id = ?", k.ID).Find(&have).Error; err != nil {
		return wrap("account key", err)
	}
	switch {
	case len(have) == 0:
		if err := tx.with(ctx).Create(&k).Error; err != nil {
			return wrap("insert account key", err)
		}
	case have[0].MerchantID != k.MerchantID:
		return fmt.Errorf("store: account key of another merchant: %w", models.ErrConflict)
	}
	return wrap("set account key", tx.with(ctx).Model(&models.Merchant{}).Where("id = ?", k.MerchantID).
		Updates(map[string]any{"account_key_id": k.ID, "updated_at": k.CreatedAt}).Error)
}

// AccountKey reads one account key.
func (q *Queries) AccountKey(ctx context.Context, id string) (models.AccountKey, error) {
	var k models.AccountKey
	err := q.with(ctx).Where("id = ?", id).Take(&k).Error
	return k, one("account key", err)
}

// Indexes are addresses of an account key that were given out to one caller: N of them from First on, on a branch.
type Indexes struct{ First, N, Branch uint32 }

// TakeIndexes moves the counter of an account key on by n and returns the indexes. It is a transaction of its own, so
// that creating payments does not queue behind one row; an index that is then not used is a hole. Nothing is given out
// of a database that is not the one that it was before its counters have moved on, and [ErrRestoreUnfinished] while
// nobody has prepared a restored one.
func (s *Store) TakeIndexes(ctx context.Context, accountKeyID string, n uint32) (Indexes, error) {
	unless := ""
	if s.dialect == Postgres {
		unless = " AND NOT EXISTS (" + differing + ")"
	}
	for attempt := 1; ; attempt++ {
		var rows []struct{ NextIndex, Branch int64 }
		err := s.with(ctx).Raw("UPDATE account_keys SET next_index = next_index + ? WHERE id = ?"+unless+
			" RETURNING next_index, branch", n, accountKeyID).Scan(&rows).Error
		if err != nil {
			return Indexes{}, wrap("take indexes", err)
		}
		if len(rows) > 0 {
			return Indexes{First: uint32(rows[0].NextIndex - int64(n)), N: n, Branch: uint32(rows[0].Branch)}, nil
		}
		if _, err := s.AccountKey(ctx, accountKeyID); err != nil {
			return Indexes{}, fmt.Errorf("store: take indexes: %w", err)
		}
		if _, err := s.AdoptIdentity(ctx, time.Now().UTC().Truncate(time.Microsecond)); err != nil {
			return Indexes{}, err
		}
		if s.RestoreUnfinished() {
			return Indexes{}, ErrRestoreUnfinished
		}
		if attempt == txAttempts {
			return Indexes{}, fmt.Errorf("store: take indexes of %s: the database changes", accountKeyID)
		}
	}
}
