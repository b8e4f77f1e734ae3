package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func newMerchant(t testing.TB, s *store.Store) models.Merchant {
	t.Helper()
	m := models.Merchant{ID: models.NewID(models.PrefixMerchant, noon), Name: "Shop", CreatedAt: noon, UpdatedAt: noon}
	if err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.InsertMerchant(t.Context(), m) }); err != nil {
		t.Fatal(err)
	}
	return m
}

func newEvent(m models.Merchant, kind string, at time.Time) models.Event {
	return models.Event{ID: models.NewID(models.PrefixEvent, at), MerchantID: m.ID, Type: kind, Body: []byte(`{}`),
		CreatedAt: at}
}

func TestInTxRollsBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		told := 0
		s.OnCommit(func(ds []models.Delivery) { told += len(ds) })
		m := newMerchant(t, s)
		boom := errors.New("boom")
		e := newEvent(m, "webhook.test", noon)
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			ep := models.Endpoint{
				ID: models.NewID(models.PrefixEndpoint, noon), MerchantID: m.ID, URL: "https://shop.example", Events: []string{"*"},
				Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1, CreatedAt: noon, UpdatedAt: noon,
			}
			if err := tx.InsertEndpoint(t.Context(), ep); err != nil {
				return err
			}
			if rows, err := outbox.Publish(t.Context(), tx, []models.Event{e}, 15); err != nil || len(rows) != 1 {
				return fmt.Errorf("%d rows, %w", len(rows), err)
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if _, err := s.Event(t.Context(), m.ID, e.ID); !errors.Is(err, models.ErrNotFound) || told != 0 {
			t.Fatalf("a rolled back event is there (%v), %d deliveries were told", err, told)
		}
	})
}

func TestSavepointGivesUpOnlyItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		saved, lost := newEvent(m, "webhook.test", noon), newEvent(m, "webhook.test", noon)
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			if _, err := outbox.Publish(t.Context(), tx, []models.Event{saved}, 15); err != nil {
				return err
			}
			if err := tx.Savepoint(t.Context(), func(tx *store.Tx) error {
				if _, err := outbox.Publish(t.Context(), tx, []models.Event{lost}, 15); err != nil {
					return err
				}
				_, err := outbox.Publish(t.Context(), tx, []models.Event{saved}, 15) // the id is taken
				return err
			}); err == nil {
				return errors.New("an id was used twice")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Event(t.Context(), m.ID, saved.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Event(t.Context(), m.ID, lost.ID); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("the savepoint left something behind: %v", err)
		}
	})
}

func TestAuditChain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const writers, lines = 4, 5
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range lines {
					err := s.InTx(context.Background(), func(tx *store.Tx) error {
						return tx.Audit(context.Background(), models.AuditEntry{At: noon, Actor: fmt.Sprint(w), Action: "test.line",
							Subject: fmt.Sprint(i), Detail: map[string]string{"b": "2", "a": "1"}})
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		n, err := s.VerifyAudit(t.Context())
		if err != nil || n != writers*lines {
			t.Fatalf("%d lines, %v", n, err)
		}
		if err := s.Exec(t, "UPDATE audit_log SET actor = 'x' WHERE seq = 3"); err == nil ||
			!strings.Contains(err.Error(), "append-only") {
			t.Fatalf("a line could be changed: %v", err)
		}
		if err := s.Exec(t, "DELETE FROM audit_log WHERE seq = 3"); err == nil ||
			!strings.Contains(err.Error(), "append-only") {
			t.Fatalf("a line could be deleted: %v", err)
		}
		empty := "TRUNCATE audit_log" // what SQLite has instead does the same to one line
		if s.Dialect() == store.SQLite {
			empty = "INSERT OR REPLACE INTO audit_log (seq, at, actor, action, subject, detail, prev_hash, hash) VALUES (3, 'x', 'x', 'x', 'x', '{}', 'x', 'x')"
		}
		if err := s.Exec(t, empty); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Fatalf("lines could be lost at once: %v", err)
		}
	})
}

// TestWaitAtMost: whoever waits too long for a key that another transaction holds is told that it is busy.
func TestWaitAtMost(t *testing.T) {
	s := storetest.Postgres(t)
	m := newMerchant(t, s)
	records := []models.IdempotencyRecord{{MerchantID: m.ID, Method: "POST", Path: "/p", Key: "k", RequestHash: "h",
		StatusCode: 201, Answer: []byte("a"), CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}}
	err := s.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.SaveAnswers(t.Context(), records); err != nil {
			return err
		}
		err := s.InTx(t.Context(), func(other *store.Tx) error {
			return errors.Join(other.WaitAtMost(t.Context(), 50*time.Millisecond), other.SaveAnswers(t.Context(), records))
		})
		if !errors.Is(err, store.ErrLockTimeout) || !store.IsConflict(err) {
			t.Errorf("the one who waited was told %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestIdempotencyIsWonOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		record := models.IdempotencyRecord{MerchantID: m.ID, Method: "POST", Path: "/p", Key: "k", RequestHash: "h",
			StatusCode: 201, Answer: []byte("a"), CreatedAt: noon, ExpiresAt: noon.Add(24 * time.Hour)}
		keep := func(r models.IdempotencyRecord) error {
			return s.InTx(context.Background(), func(tx *store.Tx) error {
				return tx.SaveAnswers(context.Background(), []models.IdempotencyRecord{r})
			})
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 8 {
			wg.Go(func() {
				err := keep(record)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case !errors.Is(err, store.ErrIdempotencyTaken):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("%d requests won", won)
		}
		got, err := s.IdempotencyRecord(t.Context(), m.ID, "POST", "/p", "k", noon)
		if err != nil || got.StatusCode != 201 || string(got.Answer) != "a" {
			t.Fatalf("%+v, %v", got, err)
		}
		record.CreatedAt, record.ExpiresAt = noon.Add(25*time.Hour), noon.Add(49*time.Hour)
		if err := keep(record); err != nil {
			t.Fatalf("an expired record is in the way: %v", err)
		}
		if n, err := s.DropExpiredAnswers(t.Context(), noon.Add(50*time.Hour), 10); err != nil || n != 1 {
			t.Fatalf("dropped %d, %v", n, err)
		}
	})
}

func TestLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const ttl = 15 * time.Second
		take := func(holder string, at time.Time) models.ChainLease {
			t.Helper()
			l, err := s.TakeLease(t.Context(), 1, holder, at, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		a := take("a", noon)
		if a.Holder != "a" || take("b", noon.Add(ttl-time.Second)).Holder != "a" {
			t.Fatal("two leaders")
		}
		if again := take("a", noon.Add(10*time.Second)); again.Fence != a.Fence {
			t.Fatal("renewing raised the fence")
		}
		b := take("b", noon.Add(time.Minute))
		if b.Holder != "b" || b.Fence <= a.Fence {
			t.Fatalf("after its end: %+v", b)
		}
		hold := func(holder string, fence int64) error {
			return s.InTx(t.Context(), func(tx *store.Tx) error { return tx.HoldFence(t.Context(), 1, holder, fence) })
		}
		if err := hold("a", a.Fence); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("the old leader may still write: %v", err)
		}
		if err := hold("b", b.Fence); err != nil {
			t.Fatal(err)
		}
		if err := s.ReleaseLease(t.Context(), 1, "b"); err != nil {
			t.Fatal(err)
		}
		if c := take("c", noon.Add(time.Minute)); c.Holder != "c" || c.Fence <= b.Fence {
			t.Fatalf("after its release: %+v", c)
		}
	})
}

func TestListsAreNewestFirstAndPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		var made []models.Event
		for i := range 5 {
			made = append(made, newEvent(m, "webhook.test", noon.Add(time.Duration(i/2)*time.Millisecond)))
			if err := s.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := outbox.Publish(t.Context(), tx, []models.Event{made[i]}, 1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		page := store.Page{Limit: 2}
		for {
			rows, err := s.ListEvents(t.Context(), m.ID, store.EventFilter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range rows {
				if seen[e.ID] || i > 0 && e.CreatedAt.After(rows[i-1].CreatedAt) {
					t.Fatalf("%s is out of place", e.ID)
				}
				seen[e.ID] = true
				page.Before = &store.Position{CreatedAt: e.CreatedAt, ID: e.ID}
			}
			if len(rows) < 2 {
				break
			}
		}
		if len(seen) != 5 {
			t.Fatalf("%d of 5 were listed", len(seen))
		}
		events, err := s.EventsAfter(t.Context(), m.ID, store.EventFilter{}, 0, 3)
		if err != nil || len(events) != 3 || events[0].ID != made[0].ID {
			t.Fatalf("%d events after nothing, %v", len(events), err)
		}
		rest, err := s.EventsAfter(t.Context(), m.ID, store.EventFilter{}, events[2].Pos, 10)
		if err != nil || len(rest) != 2 || rest[1].ID != made[4].ID {
			t.Fatalf("%d events after the third, %v", len(rest), err)
		}
	})
}

// TestAway: a database that is not there is told from one that refuses.
func TestAway(t *testing.T) {
	if _, err := store.Open(t.Context(),
		store.Options{DSN: "postgres://nobody@127.0.0.1:1/none"}); !store.IsUnavailable(err) {
		t.Errorf("nobody listens: %v", err)
	}
	s := storetest.Postgres(t)
	if _, err := s.Payment(t.Context(), "mer_x", "pay_x"); err == nil || store.IsUnavailable(err) {
		t.Errorf("a row that is not there: %v", err)
	}
	m := models.Merchant{ID: "mer_twice", Name: "x", CreatedAt: noon, UpdatedAt: noon}
	twice := s.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.InsertMerchant(t.Context(), m), tx.InsertMerchant(t.Context(), m))
	})
	if twice == nil || store.IsUnavailable(twice) {
		t.Errorf("a row that is there: %v", twice)
	}
}
