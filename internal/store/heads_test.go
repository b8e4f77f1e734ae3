package store_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestWaitingForAPositionIsNoConflict: a transaction that bounds its wait for a key or an order still waits for the
// commits of the same merchant before it, however slow they are.
func TestWaitingForAPositionIsNoConflict(t *testing.T) {
	s, db := storetest.Owned(t)
	m := newMerchant(t, s)
	publish(t, s, newEvent(m, "webhook.test", noon))
	slow, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback()
	if _, err := slow.Exec("UPDATE event_heads SET last = last WHERE merchant_id = $1", m.ID); err != nil {
		t.Fatal(err)
	}
	const bound = 50 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		done <- s.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.WaitAtMost(t.Context(), bound); err != nil {
				return err
			}
			return tx.InsertEvents(t.Context(), []models.Event{newEvent(m, "webhook.test", noon)})
		})
	}()
	testkit.Eventually(t, 30*time.Second, "ours has waited for longer than its bound", func() bool {
		var waits bool
		err := db.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '200 ms')`).Scan(&waits)
		return err == nil && waits
	})
	if err := slow.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := after(t, s, m.ID, 0); len(got) != 2 {
		t.Errorf("events %v", got)
	}
}
