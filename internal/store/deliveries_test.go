package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// shop writes a merchant with one endpoint and n pending deliveries.
func shop(t *testing.T, s *store.Store, n int) (models.Endpoint, []models.Delivery) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	m := models.Merchant{ID: models.NewID("mer", now), Name: "shop", CreatedAt: now, UpdatedAt: now}
	e := models.Endpoint{ID: models.NewID("we", now), MerchantID: m.ID, URL: "https://shop.example/",
		Events: []string{"*"},
		Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1, CreatedAt: now, UpdatedAt: now}
	var all []models.Delivery
	err := s.InTx(t.Context(), func(tx *store.Tx) error {
		all = nil
		if err := errors.Join(tx.InsertMerchant(t.Context(), m), tx.InsertEndpoint(t.Context(), e)); err != nil {
			return err
		}
		for i := range n {
			at := now.Add(time.Duration(i) * time.Millisecond)
			ds, err := outbox.Publish(t.Context(), tx,
				[]models.Event{{ID: models.NewID("evt", at), MerchantID: m.ID, Type: "payment.created", Body: []byte(fmt.Sprint(i)),
					CreatedAt: at}}, 15)
			if err != nil {
				return err
			}
			all = append(all, ds...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, all
}

func verdict(d models.Delivery, state models.DeliveryState) store.Verdict {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return store.Verdict{
		Attempt: models.Attempt{ID: models.NewID("att", now), DeliveryID: d.ID, EventID: d.EventID, EndpointID: d.EndpointID,
			MerchantID: d.MerchantID,
			Number:     d.Attempts + 1, Generation: d.Generation, Class: "x", StatusCode: 500, StartedAt: now,
			ResponseBody: []byte{0, 255}, TotalMicros: 1 << 40},
		RequestJSON: `{"A":"b"}`, Before: d.Attempts, State: state, NextAttemptAt: now.Add(time.Minute), At: now,
	}
}

func record(t *testing.T, s *store.Store, vs ...store.Verdict) []store.Recorded {
	t.Helper()
	done, err := s.Record(t.Context(), vs, outbox.Sweep)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func row(t *testing.T, s *store.Store, d models.Delivery) models.Delivery {
	t.Helper()
	got, err := s.Delivery(t.Context(), d.MerchantID, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, ds := shop(t, s, 6)
		changed := verdict(ds[0], models.DeliveryPending)
		changed.ChangesLane = true
		stale := verdict(ds[3], models.DeliveryPending)
		stale.Attempt.Generation = 7
		done := record(t, s, changed, verdict(ds[1], models.DeliveryDelivered), verdict(ds[2], models.DeliveryDead), stale)
		for i, want := range []store.Recorded{{Applied: true, Generation: 2}, {Applied: true, Generation: 1},
			{Applied: true, Generation: 1}, {}} {
			if done[i] != want {
				t.Errorf("verdict %d: %+v, want %+v", i, done[i], want)
			}
		}
		if got := row(t, s, ds[0]); got.State != models.DeliveryPending || got.Attempts != 1 ||
			!got.NextAttemptAt.Equal(changed.NextAttemptAt) ||
			!got.SweepAfter.Equal(changed.NextAttemptAt.Add(180*time.Second)) || got.LastClass != "x" || got.LastStatus != 500 {
			t.Errorf("moved: %+v", got)
		}
		if got := row(t, s, ds[1]); got.State != models.DeliveryDelivered || got.DeliveredAt == nil || got.DeadAt != nil {
			t.Errorf("delivered: %+v", got)
		}
		if got := row(t, s, ds[2]); got.State != models.DeliveryDead || got.DeadAt == nil {
			t.Errorf("dead: %+v", got)
		}
		if got := row(t, s, ds[3]); got.Attempts != 0 || got.LastClass != "" {
			t.Errorf("a stale failure counted: %+v", got)
		}
		// The same again, as after a commit whose answer was lost: nothing changes, and nothing is there twice.
		for i, r := range record(t, s, changed, verdict(ds[1], models.DeliveryDelivered), stale) {
			if r.Applied {
				t.Errorf("verdict %d was applied again", i)
			}
		}
		as, err := s.Attempts(t.Context(), ds[0].MerchantID, ds[0].ID)
		if err != nil || len(as) != 1 || as[0].RequestHeaders["A"] != "b" || len(as[0].ResponseHeaders) != 0 ||
			string(as[0].ResponseBody) != "\x00\xff" || as[0].TotalMicros != 1<<40 {
			t.Errorf("attempts %+v, %v", as, err)
		}
		// A success counts from any generation and any state but delivered, and takes back a death.
		late := verdict(ds[2], models.DeliveryDelivered)
		late.Attempt.Generation = 99
		if r := record(t, s, late); !r[0].Applied {
			t.Error("a late success was refused")
		}
		if got := row(t, s, ds[2]); got.State != models.DeliveryDelivered || got.DeadAt != nil || got.Attempts != 2 {
			t.Errorf("%+v", got)
		}
		// Inside a transaction that fails nothing is left.
		boom := errors.New("boom")
		err = s.InTx(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Record(t.Context(), []store.Verdict{verdict(ds[4], models.DeliveryDelivered)},
				outbox.Sweep); err != nil {
				return err
			}
			return boom
		})
		if got := row(t, s, ds[4]); !errors.Is(err, boom) || got.State != models.DeliveryPending {
			t.Errorf("%+v, %v", got, err)
		}
		bad := verdict(ds[5], "nonsense")
		if _, err := s.Record(t.Context(), []store.Verdict{bad}, outbox.Sweep); !store.IsConstraint(err) {
			t.Errorf("a state that does not exist: %v", err)
		}
		gone := verdict(models.Delivery{ID: "dlv_gone", Generation: 1}, models.DeliveryDelivered)
		if r := record(t, s, gone); r[0].Applied {
			t.Error("a row that is gone was changed")
		}
	})
}

func TestLoadWaiting(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		e, ds := shop(t, s, 3)
		gate := time.Now().UTC().Add(time.Hour).Truncate(time.Microsecond)
		if err := s.GateEndpoint(t.Context(), e.ID, gate); err != nil {
			t.Fatal(err)
		}
		if err := s.GateEndpoint(t.Context(), e.ID, gate.Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		got, err := s.LoadWaiting(t.Context(), []string{ds[0].ID, ds[2].ID, "dlv_unknown", ds[0].ID})
		if err != nil || len(got) != 2 {
			t.Fatalf("%d rows, %v", len(got), err)
		}
		for i, d := range map[int]models.Delivery{0: ds[0], 2: ds[2]} {
			w := got[d.ID]
			if string(w.Body) != fmt.Sprint(i) || w.EventID != d.EventID || w.MerchantID != d.MerchantID ||
				w.EventType != "payment.created" ||
				w.Generation != 1 || w.MaxAttempts != 15 || w.EndpointStatus != models.EndpointEnabled || w.EndpointVersion != 1 ||
				w.EndpointDeleted ||
				w.NotBefore == nil || !w.NotBefore.Equal(gate) || !w.NextAttemptAt.Equal(d.NextAttemptAt) ||
				!w.OccurredAt.Equal(d.CreatedAt) ||
				w.PaymentID != nil || w.DeadAt != nil || w.State != models.DeliveryPending {
				t.Errorf("row %+v", w)
			}
		}
	})
}

func TestClaimSweep(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, ds := shop(t, s, 5)
		now := ds[0].CreatedAt
		if got, err := s.ClaimSweep(t.Context(), now.Add(9*time.Second), 10, outbox.Sweep); err != nil || len(got) != 0 {
			t.Fatalf("before its time: %d, %v", len(got), err)
		}
		at := now.Add(20 * time.Second)
		first, err := s.ClaimSweep(t.Context(), at, 3, outbox.Sweep)
		if err != nil || len(first) != 3 || first[0].ID != ds[0].ID || first[2].ID != ds[2].ID {
			t.Fatalf("%+v, %v", first, err)
		}
		if got := row(t, s, ds[0]); !got.SweepAfter.Equal(at.Add(30*time.Second)) || got.Generation != 1 {
			t.Errorf("row %+v", got)
		}
		rest, err := s.ClaimSweep(t.Context(), at, 10, outbox.Sweep)
		if err != nil || len(rest) != 2 || rest[0].ID != ds[3].ID {
			t.Fatalf("%+v, %v", rest, err)
		}
		at = now.Add(time.Hour)
		if got, err := s.ClaimSweep(t.Context(), at, 10, outbox.Sweep); err != nil || len(got) != 5 {
			t.Fatalf("%d, %v", len(got), err)
		}
		if got := row(t, s, ds[0]); !got.SweepAfter.Equal(at.Add(180 * time.Second)) {
			t.Errorf("long due: looked at again after %v", got.SweepAfter.Sub(at))
		}
		bumped, err := s.BumpGeneration(t.Context(), append(ds, models.Delivery{ID: "dlv_no", Generation: 1}), at,
			outbox.Sweep)
		if err != nil || len(bumped) != 5 || bumped[0].Generation != 2 || bumped[0].EndpointID == "" {
			t.Fatalf("%+v, %v", bumped, err)
		}
		if again, err := s.BumpGeneration(t.Context(), ds, at, outbox.Sweep); err != nil || len(again) != 0 {
			t.Fatalf("an old generation was bumped: %+v, %v", again, err)
		}
		if got := row(t, s, ds[0]); !got.SweepAfter.Equal(at.Add(10 * time.Second)) {
			t.Errorf("row %+v", got)
		}
		oldest, err := s.OldestDue(t.Context(), at)
		if err != nil || !oldest.Equal(ds[0].NextAttemptAt) {
			t.Errorf("oldest %v, %v", oldest, err)
		}
	})
}

func TestWalkPendingSeesEveryRowOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		want := make(map[string]bool)
		for range 3 {
			_, ds := shop(t, s, 11)
			for _, d := range ds {
				want[d.ID] = true
			}
		}
		var last models.Delivery
		for {
			rows, err := s.WalkPending(t.Context(), last, 4)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range rows {
				if !want[d.ID] {
					t.Fatalf("%s again", d.ID)
				}
				delete(want, d.ID)
				last = d
			}
			if len(rows) < 4 {
				break
			}
		}
		if len(want) != 0 {
			t.Errorf("%d not seen", len(want))
		}
	})
}

func TestRedisIncarnation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, want := range []string{"", "a", "b"} {
			if want != "" {
				if err := s.SetRedisIncarnation(t.Context(), want, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := s.RedisIncarnation(t.Context()); err != nil || got != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		if err := s.ProbeVerdict(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSaveEndpointNoticesOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		e, _ := shop(t, s, 0)
		save := func() error {
			return s.InTx(t.Context(), func(tx *store.Tx) error { _, err := tx.SaveEndpoint(t.Context(), e); return err })
		}
		e.Description = "new"
		if err := save(); err != nil {
			t.Fatal(err)
		}
		if err := save(); !errors.Is(err, models.ErrConflict) {
			t.Errorf("an old version was saved: %v", err)
		}
		got, err := s.Endpoint(t.Context(), e.MerchantID, e.ID)
		if err != nil || got.Description != "new" || got.Version != 2 || strings.Join(got.Events, " ") != "*" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := s.Endpoint(t.Context(), "mer_other", e.ID); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("another merchant's: %v", err)
		}
	})
}

// TestRecordConcurrently lets several commits overlap on the same rows: each row takes one verdict.
func TestRecordConcurrently(t *testing.T) {
	s := storetest.Postgres(t)
	_, ds := shop(t, s, 50)
	var mu sync.Mutex
	applied := make(map[string]int)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			vs := make([]store.Verdict, len(ds))
			for i, d := range ds {
				vs[i] = verdict(d, models.DeliveryPending)
			}
			for { // a deadlock is tried again, as the recorder does
				done, err := s.Record(context.Background(), vs, outbox.Sweep)
				if err != nil {
					continue
				}
				mu.Lock()
				defer mu.Unlock()
				for i, r := range done {
					if r.Applied {
						applied[vs[i].DeliveryID]++
					}
				}
				return
			}
		})
	}
	wg.Wait()
	for _, d := range ds {
		if got := row(t, s, d); applied[d.ID] != 1 || got.Attempts != 1 {
			t.Errorf("%s took %d verdicts and has %d attempts", d.ID, applied[d.ID], got.Attempts)
		}
	}
}

// TestHotPlans asks Postgres how it would run the statements of the sweeper among many rows: never by reading them all.
func TestHotPlans(t *testing.T) {
	dsn := testkit.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, ds := shop(t, s, 1)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, state, max_attempts, next_attempt_at, sweep_after, replay_of, created_at, updated_at)
		SELECT 'dlv_' || i, $1, $2, $3, 'payment.created', CASE WHEN i % 20 = 0 THEN 'pending' WHEN i % 20 = 1 THEN 'dead' ELSE 'delivered' END, 15, now(),
		now() + i * interval '1 second', 'x', now(), now() FROM generate_series(1, 20000) i`, ds[0].EventID, e.ID, e.MerchantID)
	exec("ANALYZE deliveries")
	for name, q := range map[string]string{
		"claim":      "SELECT id FROM deliveries WHERE state = 'pending' AND sweep_after <= now() ORDER BY sweep_after LIMIT 500 FOR UPDATE SKIP LOCKED",
		"walk":       "SELECT * FROM deliveries WHERE state = 'pending' AND (endpoint_id, created_at, id) > ('', now(), '') ORDER BY endpoint_id, created_at, id LIMIT 500",
		"unarchived": "SELECT * FROM deliveries WHERE state = 'dead' AND archived_at IS NULL AND dead_at <= now() ORDER BY dead_at LIMIT 200",
		"oldest due": "SELECT next_attempt_at FROM deliveries WHERE state = 'pending' ORDER BY sweep_after LIMIT 1000",
	} {
		if plan := rows(t, db, "EXPLAIN "+q); strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s reads the whole table:\n%s", name, plan)
		}
	}
}
