package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// publish writes events in a transaction of their own.
func publish(t testing.TB, s *store.Store, events ...models.Event) {
	t.Helper()
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := outbox.Publish(t.Context(), tx, events, 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// after lists the ids of a merchant's events behind a position, and fails when a position is missing.
func after(t testing.TB, s *store.Store, merchantID string, pos int64) (ids []string) {
	t.Helper()
	events, err := s.EventsAfter(t.Context(), merchantID, store.EventFilter{}, pos, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Pos != pos+int64(i)+1 {
			t.Fatalf("%s is at %d, behind %d others after %d", e.ID, e.Pos, i, pos)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// TestPositionsAreTheOrderOfCommit: many writers at once, of several merchants in each transaction and with savepoints
// that are given up; readers who only go forward never see a hole, and what began after something was committed
// comes after it.
func TestPositionsAreTheOrderOfCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		merchants := []models.Merchant{newMerchant(t, s), newMerchant(t, s), newMerchant(t, s)}
		const writers, each = 8, 15
		var wg, readers sync.WaitGroup
		var mu sync.Mutex
		began, ended := map[string]time.Time{}, map[string]time.Time{}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for _, m := range merchants {
			readers.Go(func() {
				for last := int64(0); last < writers*each && ctx.Err() == nil; {
					events, err := s.EventsAfter(ctx, m.ID, store.EventFilter{}, last, 100)
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range events {
						if last++; e.Pos != last {
							t.Errorf("a reader is shown %d after %d", e.Pos, last-1)
							return
						}
					}
				}
			})
		}
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					var events []models.Event
					for k := range merchants { // each writer in an order of its own
						events = append(events, newEvent(merchants[(k+w+i)%3], "webhook.test", noon))
					}
					start := time.Now()
					err := s.InTx(t.Context(), func(tx *store.Tx) error {
						if _, err := outbox.Publish(t.Context(), tx, events, 1); err != nil {
							return err
						}
						_ = tx.Savepoint(t.Context(), func(tx *store.Tx) error {
							lost := newEvent(merchants[0], "webhook.test", noon)
							if err := tx.InsertEvents(t.Context(), []models.Event{lost}); err != nil {
								return err
							}
							return fmt.Errorf("given up")
						})
						return nil
					})
					end := time.Now()
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, e := range events {
						began[e.ID], ended[e.ID] = start, end
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		readers.Wait()
		for _, m := range merchants {
			ids := after(t, s, m.ID, 0)
			if len(ids) != writers*each {
				t.Fatalf("%d of %d events", len(ids), writers*each)
			}
			for i := range ids {
				for j := i + 1; j < len(ids); j++ {
					if ended[ids[j]].Before(began[ids[i]]) {
						t.Fatalf("%d was committed before %d began", j+1, i+1)
					}
				}
			}
		}
	})
}

// TestLongTransactionsDelayNothing: what somebody else does in the cluster, in another database or in ours, for however
// long, keeps no event from a reader, and a slow transaction of ours does not hold the merchant's head.
func TestLongTransactionsDelayNothing(t *testing.T) {
	s, db := storetest.Owned(t)
	m := newMerchant(t, s)
	other, err := sql.Open("pgx", testkit.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, db := range []*sql.DB{db, other} {
		foreign, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer foreign.Rollback()
		if _, err := foreign.Exec("CREATE TABLE of_somebody_else (n INT)"); err != nil {
			t.Fatal(err)
		}
	}
	written, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	slow, quick := newEvent(m, "webhook.test", noon), newEvent(m, "webhook.test", noon)
	go func() {
		done <- s.InTx(context.Background(), func(tx *store.Tx) error {
			_, err := outbox.Publish(context.Background(), tx, []models.Event{slow}, 1)
			close(written)
			<-finish
			return err
		})
	}()
	<-written
	publish(t, s, quick)
	if got := after(t, s, m.ID, 0); len(got) != 1 || got[0] != quick.ID {
		t.Fatalf("while others are slow: %v", got)
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := after(t, s, m.ID, 1); len(got) != 1 || got[0] != slow.ID {
		t.Fatalf("behind the quick one: %v", got)
	}
}

// insertOld writes events as binaries did that knew no positions.
func insertOld(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, events ...models.Event) error {
	for _, e := range events {
		if _, err := db.ExecContext(ctx, "INSERT INTO events (id, merchant_id, type, sequence, body, created_at) VALUES "+
			"($1, $2, $3, 0, $4, $5)", e.ID, e.MerchantID, e.Type, e.Body, e.CreatedAt); err != nil {
			return err
		}
	}
	return nil
}

// TestOlderBinariesGetPositionsToo: events that a binary writes which knows no positions are numbered at its commit, in
// its order, together with those of newer ones beside it.
func TestOlderBinariesGetPositionsToo(t *testing.T) {
	s, db := storetest.Owned(t)
	a, b := newMerchant(t, s), newMerchant(t, s)
	var made []models.Event
	for i := range 3 {
		made = append(made, newEvent(b, "webhook.test", noon.Add(-time.Duration(i)*time.Hour)),
			newEvent(a, "webhook.test", noon))
	}
	gone := newEvent(a, "webhook.test", noon)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	steps := []func() error{
		func() error { return insertOld(t.Context(), tx, made[:3]...) },
		func() error { _, err := tx.Exec("SAVEPOINT one"); return err },
		func() error { return insertOld(t.Context(), tx, gone) },
		func() error { _, err := tx.Exec("ROLLBACK TO SAVEPOINT one"); return err },
		func() error { return insertOld(t.Context(), tx, made[3:]...) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	first := newEvent(a, "webhook.test", noon)
	publish(t, s, first) // the open transaction holds no head
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := after(t, s, a.ID, 0); fmt.Sprint(got) != fmt.Sprint([]string{first.ID, made[1].ID, made[3].ID, made[5].ID}) {
		t.Errorf("%v", got)
	}
	if got := after(t, s, b.ID, 0); fmt.Sprint(got) != fmt.Sprint([]string{made[0].ID, made[2].ID, made[4].ID}) {
		t.Errorf("%v", got)
	}
	// Both kinds at once, merchants in every order: nobody fails who repeats what a deadlock ended.
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				events := []models.Event{newEvent(a, "webhook.test", noon), newEvent(b, "webhook.test", noon)}
				if (w+i)%2 == 0 {
					events[0], events[1] = events[1], events[0]
				}
				var err error
				if w < 2 {
					err = s.InTx(t.Context(), func(tx *store.Tx) error { return tx.InsertEvents(t.Context(), events) })
				} else if tx, begin := db.BeginTx(t.Context(), nil); begin != nil {
					err = begin
				} else if err = insertOld(t.Context(), tx, events...); err == nil {
					err = tx.Commit()
				} else {
					_ = tx.Rollback()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if x, y := after(t, s, a.ID, 4), after(t, s, b.ID, 3); len(x) != 40 || len(y) != 40 {
		t.Errorf("%d and %d of 40", len(x), len(y))
	}
}

// TestDeadlocksAtTheHeadsAreRepeated: whoever takes heads in another order than ours makes us begin again, and no more.
func TestDeadlocksAtTheHeadsAreRepeated(t *testing.T) {
	s, db := storetest.Owned(t)
	a, b := newMerchant(t, s), newMerchant(t, s)
	if a.ID > b.ID {
		a, b = b, a
	}
	publish(t, s, newEvent(a, "webhook.test", noon), newEvent(b, "webhook.test", noon))
	foreign, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Rollback()
	if _, err := foreign.Exec("UPDATE event_heads SET last = last WHERE merchant_id = $1", b.ID); err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- s.InTx(context.Background(), func(tx *store.Tx) error {
			runs.Add(1)
			return tx.InsertEvents(context.Background(), []models.Event{
				newEvent(b, "webhook.test", noon), newEvent(a, "webhook.test", noon)})
		})
	}()
	testkit.Eventually(t, 30*time.Second, "ours waits for b", func() bool {
		var waits int
		err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND " +
			"wait_event_type = 'Lock'").Scan(&waits)
		return err == nil && waits > 0
	})
	_, theirs := foreign.Exec("UPDATE event_heads SET last = last WHERE merchant_id = $1", a.ID)
	if err := foreign.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("after %d runs: %v", runs.Load(), err)
	}
	if theirs == nil && runs.Load() != 2 {
		t.Errorf("%d runs", runs.Load())
	}
	if x, y := after(t, s, a.ID, 0), after(t, s, b.ID, 0); len(x) != 2 || len(y) != 2 {
		t.Errorf("%v, %v", x, y)
	}
}

// oldMerchant writes a merchant as an older binary does, without the columns that came later.
func oldMerchant(t testing.TB, db *sql.DB) models.Merchant {
	t.Helper()
	m := models.Merchant{ID: models.NewID(models.PrefixMerchant, noon), Name: "Shop"}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO merchants (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3)",
		m.ID, m.Name, noon); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMigrationGivesPositionsToWhatIsThere: events of before have positions in the order in which they were read, what
// an older binary writes during the migration comes after them, and retention gives places up without moving anybody.
func TestMigrationGivesPositionsToWhatIsThere(t *testing.T) {
	dsn := testkit.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s.MigrateTo(t, 10)
	a, b := oldMerchant(t, db), oldMerchant(t, db)
	var old []models.Event
	for i := range 6 {
		m := a
		if i%3 == 2 {
			m = b
		}
		old = append(old, newEvent(m, "webhook.test", noon.Add(-time.Duration(i)*time.Minute)))
		if err := insertOld(t.Context(), db, old[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.MigrateTo(t, 11)
	during := newEvent(a, "webhook.test", noon)
	if err := insertOld(t.Context(), db, during); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := newEvent(a, "webhook.test", noon)
	publish(t, s, later)
	want := []string{old[0].ID, old[1].ID, old[3].ID, old[4].ID, during.ID, later.ID}
	if got := after(t, s, a.ID, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := after(t, s, b.ID, 0); fmt.Sprint(got) != fmt.Sprint([]string{old[2].ID, old[5].ID}) {
		t.Errorf("%v", got)
	}
	if _, err := db.Exec("DELETE FROM events WHERE id = $1", old[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := after(t, s, a.ID, 1); len(got) != 5 {
		t.Errorf("%v", got)
	}
	if pos, err := s.PositionOf(t.Context(), a.ID, old[0].ID); err == nil {
		t.Errorf("a deleted event has position %d", pos)
	}
}

// TestUnknownReadersMissNothing: a reader whose cursor or event is unknown goes on where nothing is missed.
func TestUnknownReadersMissNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		var made []models.Event
		for i := range 5 {
			made = append(made, newEvent(m, "webhook.test", noon.Add(time.Duration(i)*time.Hour)))
			publish(t, s, made[i])
		}
		for at, want := range map[time.Duration]int64{
			-24 * time.Hour: 0, 90 * time.Minute: 2, 2 * time.Hour: 2, 2*time.Hour + 30*time.Second: 2, 24 * time.Hour: 5,
		} {
			if got, err := s.PositionAtTime(t.Context(), m.ID, noon.Add(at)); err != nil || got != want {
				t.Errorf("what was made after %s: behind %d, %v; want %d", at, got, err, want)
			}
		}
		if got, err := s.PositionAtTime(t.Context(), "mer_nobody", noon); err != nil || got != 0 {
			t.Errorf("nobody's events: %d, %v", got, err)
		}
		third, err := s.Event(t.Context(), m.ID, made[2].ID)
		if err != nil {
			t.Fatal(err)
		}
		for xact, want := range map[string]int64{"18446744073709551615": 3, "0": 0} {
			if s.Dialect() == store.SQLite {
				xact, want = "0", 3
			}
			if got, err := s.PositionOfMark(t.Context(), m.ID, xact, third.Seq); err != nil || got != want {
				t.Errorf("a cursor with %s: behind %d, %v; want %d", xact, got, err, want)
			}
		}
	})
}
