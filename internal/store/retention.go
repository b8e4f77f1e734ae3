package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Retention deletes in batches of at most limit rows, passes over rows that somebody holds, and tells how many went:
// less than limit means that nothing is left. Ids sort by time, so the primary key finds what is old.

// DropDeliveries deletes deliveries that are over, made and last changed before a moment, with their attempts.
func (s *Store) DropDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	var ids []string
	err := s.InTx(ctx, func(tx *Tx) error {
		db := tx.with(ctx)
		ids = nil
		err := db.Raw(
			"SELECT id FROM deliveries WHERE id < ? AND state IN ('delivered', 'dead', 'canceled') AND updated_at < ? ORDER BY id LIMIT ?"+tx.dialect.skipLocked(),
			models.FirstID(models.PrefixDelivery, before), before, limit).Scan(&ids).Error
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := db.Exec("DELETE FROM attempts WHERE delivery_id IN ?", ids).Error; err != nil {
			return err
		}
		return db.Exec("DELETE FROM deliveries WHERE id IN ?", ids).Error
	})
	return len(ids), wrap("drop deliveries", err)
}

// CancelHeld ends deliveries that have been held since before a moment.
func (s *Store) CancelHeld(ctx context.Context, before, now time.Time, limit int) (int, error) {
	res := s.db.WithContext(ctx).Exec(
		"UPDATE deliveries SET state = 'canceled', updated_at = ? WHERE id IN (SELECT id FROM deliveries WHERE id < ? AND state = 'held' ORDER BY id LIMIT ?"+s.dialect.skipLocked()+")",
		now, models.FirstID(models.PrefixDelivery, before), limit)
	return int(res.RowsAffected), wrap("cancel held deliveries", res.Error)
}

// DropEvents deletes events that were made before a moment and that no delivery is left of.
func (s *Store) DropEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	// Each half of what is left of an event has an index of its own.
	res := s.db.WithContext(ctx).Exec(`DELETE FROM events WHERE id IN (SELECT e.id FROM events e WHERE e.id < ?
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id AND d.replay_of IS NULL)
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id AND d.replay_of IS NOT NULL) ORDER BY e.id LIMIT ?`+s.dialect.skipLocked()+")",
		models.FirstID(models.PrefixEvent, before), limit)
	return int(res.RowsAffected), wrap("drop events", res.Error)
}

// DropBatches deletes the bodies of batches that were formed before a moment and that no delivery is left of.
func (s *Store) DropBatches(ctx context.Context, before time.Time, limit int) (int, error) {
	res := s.db.WithContext(ctx).Exec(`DELETE FROM batches WHERE id IN (SELECT b.id FROM batches b WHERE b.id < ?
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.batch_id = b.id) ORDER BY b.id LIMIT ?`+s.dialect.skipLocked()+")",
		models.FirstID(models.PrefixBatch, before), limit)
	return int(res.RowsAffected), wrap("drop batches", res.Error)
}

// DropReplays deletes replay jobs that are over and were made before a moment.
func (s *Store) DropReplays(ctx context.Context, before time.Time, limit int) (int, error) {
	res := s.db.WithContext(ctx).Exec(
		"DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE id < ? AND status <> 'running' ORDER BY id LIMIT ?"+
			s.dialect.skipLocked()+")",
		models.FirstID(models.PrefixReplay, before), limit)
	return int(res.RowsAffected), wrap("drop replays", res.Error)
}

// DropWindowBuckets deletes what attempts came to before a moment.
func (s *Store) DropWindowBuckets(ctx context.Context, before time.Time, limit int) (int, error) {
	res := s.db.WithContext(ctx).Exec(
		"DELETE FROM endpoint_windows WHERE (endpoint_id, bucket) IN (SELECT endpoint_id, bucket FROM endpoint_windows WHERE bucket < ? LIMIT ?"+s.dialect.skipLocked()+")",
		before, limit)
	return int(res.RowsAffected), wrap("drop tallies", res.Error)
}
