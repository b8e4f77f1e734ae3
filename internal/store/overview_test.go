package store_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestOverviewIsBounded: however often deliveries were tried, an overview reads the newest ten thousand attempts.
func TestOverviewIsBounded(t *testing.T) {
	s, db := storetest.Owned(t)
	e, ds := shop(t, s, 1)
	for _, q := range []string{
		"UPDATE deliveries SET attempts = 10001",
		`INSERT INTO attempts (id, delivery_id, event_id, endpoint_id, merchant_id, number, generation, class, started_at)
			SELECT 'att_' || i, d.id, d.event_id, d.endpoint_id, d.merchant_id, i, 1, 'timeout', d.created_at + i * interval '1 second'
			FROM deliveries d, generate_series(1, 10001) i`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := s.SentSince(t.Context(), e.MerchantID, false, ds[0].CreatedAt.Add(-time.Second))
	if err != nil || len(sent) != 10_000 || !sent[0].StartedAt.Equal(ds[0].CreatedAt.Add(10_001*time.Second)) {
		t.Fatalf("%d attempts, %v", len(sent), err)
	}
}

// TestTestDeliveriesHaveTheirIndex: what a test key lists among many live deliveries is read through an index that
// holds no live ones.
func TestTestDeliveriesHaveTheirIndex(t *testing.T) {
	s, db := storetest.Owned(t)
	e, ds := shop(t, s, 1)
	for _, q := range []string{
		`INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, state, max_attempts, next_attempt_at, sweep_after, replay_of,
			test, created_at, updated_at) SELECT 'dlv_' || i, d.event_id, d.endpoint_id, d.merchant_id, d.event_type, 'delivered', 15,
			now(), now(), 'x', false, now() + i * interval '1 second', now() FROM deliveries d, generate_series(1, 20000) i`,
		"ANALYZE deliveries",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ListDeliveries(t.Context(), e.MerchantID, store.DeliveryFilter{Test: true}, store.Page{Limit: 25})
	if err != nil || len(got) != 0 {
		t.Fatalf("%d of %d deliveries, %v", len(got), len(ds), err)
	}
	testkit.Eventually(t, 30*time.Second, "a scan of deliveries_list_test", func() bool {
		var n int
		err := db.QueryRowContext(t.Context(), `SELECT COALESCE(sum(idx_scan), 0) FROM pg_stat_user_indexes
			WHERE indexrelname = 'deliveries_list_test'`).Scan(&n)
		return err == nil && n > 0
	})
}
