package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestNoStatementReadsEveryColumn: what was prepared with * ends, under a process that runs, when a newer binary's
// migration adds a column.
func TestNoStatementReadsEveryColumn(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	star := regexp.MustCompile("(?i)(select|returning|,|\")\\s*([a-z_]+\\.)?\\*[\\s,\"`]")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if star.MatchString(code) && !strings.Contains(code, "SELECT * FROM unnest(") {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestPlansSurviveANewColumn: on one connection, where every statement is prepared already, columns are added to every
// table, and everything goes on.
func TestPlansSurviveANewColumn(t *testing.T) {
	s, db := storetest.Owned(t)
	m := newMerchant(t, s)
	publish(t, s, newEvent(m, "webhook.test", noon))
	use := func() {
		t.Helper()
		ctx := t.Context()
		check := func(_ any, err error) {
			t.Helper()
			if err != nil && !strings.Contains(err.Error(), models.ErrNotFound.Error()) {
				t.Error(err)
			}
		}
		check(s.Merchant(ctx, m.ID))
		check(s.Merchants(ctx))
		check(s.ListEvents(ctx, m.ID, store.EventFilter{}, store.Page{Limit: 3}))
		check(s.EventsAfter(ctx, m.ID, store.EventFilter{}, 0, 3))
		check(s.ListPayments(ctx, m.ID, store.PaymentFilter{}, store.Page{Limit: 3}))
		check(s.ListDeliveries(ctx, m.ID, store.DeliveryFilter{}, store.Page{Limit: 3}))
		check(s.ListEndpoints(ctx, m.ID, false, store.Page{Limit: 3}))
		check(s.Cursors(ctx))
		check(s.Blocks(ctx, 1, 3))
		check(s.LoadWaiting(ctx, []string{"dlv_1"}))
		check(nil, s.InTx(ctx, func(tx *store.Tx) error {
			check(tx.LockMerchant(ctx, m.ID))
			check(tx.LockPayments(ctx, []string{"pay_1"}))
			check(tx.LockEndpoint(ctx, m.ID, "we_1"))
			check(tx.LockHealth(ctx, "we_1"))
			check(tx.LockDelivery(ctx, m.ID, "dlv_1"))
			check(tx.LockReplay(ctx, m.ID, "rep_1"))
			check(tx.ClaimReplay(ctx, noon))
			check(tx.BatchCandidates(ctx, "we_1", 3))
			check(tx.LockBatchMembers(ctx, "bat_1"))
			return tx.InsertEvents(ctx, []models.Event{newEvent(m, "webhook.test", noon)})
		}))
	}
	for range 40 { // every connection of the pool has prepared what there is
		use()
	}
	rows, err := db.Query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil || len(tables) < 20 {
		t.Fatalf("%v, %v", tables, err)
	}
	for _, table := range tables {
		if _, err := db.Exec("ALTER TABLE " + table + " ADD COLUMN of_a_newer_binary TEXT NOT NULL DEFAULT ''"); err != nil {
			t.Fatal(err)
		}
	}
	use()
}

// TestPlansSurviveAnotherType: what was prepared before a column changed its type is prepared anew, outside of a
// transaction as well, and when the session has forgotten it.
func TestPlansSurviveAnotherType(t *testing.T) {
	s, db := storetest.Owned(t)
	m := newMerchant(t, s)
	publish(t, s, newEvent(m, "webhook.test", noon))
	use := func(when string) {
		t.Helper()
		ctx := t.Context()
		check := func(_ any, err error) {
			t.Helper()
			if err != nil && !errors.Is(err, models.ErrNotFound) {
				t.Errorf("%s: %v", when, err)
			}
		}
		check(s.Merchant(ctx, m.ID))
		check(s.ListEndpoints(ctx, m.ID, false, store.Page{Limit: 3}))
		check(s.LoadWaiting(ctx, []string{"dlv_1"}))
		check(s.ListEvents(ctx, m.ID, store.EventFilter{}, store.Page{Limit: 3}))
		check(nil, s.InTx(ctx, func(tx *store.Tx) error {
			check := func(_ any, err error) error {
				if errors.Is(err, models.ErrNotFound) {
					return nil
				}
				return err
			}
			if err := check(tx.LockMerchant(ctx, m.ID)); err != nil {
				return err
			}
			if err := check(tx.LockEndpoint(ctx, m.ID, "we_1")); err != nil {
				return err
			}
			return check(tx.LockDelivery(ctx, m.ID, "dlv_1"))
		}))
	}
	for range 10 {
		use("prepared")
	}
	for _, kind := range []string{"VARCHAR(4000)", "VARCHAR(5000)", "TEXT"} {
		columns := []string{"merchants ALTER name", "webhook_endpoints ALTER url", "deliveries ALTER dead_reason"}
		for _, column := range columns {
			if _, err := db.Exec("ALTER TABLE " + column + " TYPE " + kind); err != nil {
				t.Fatal(err)
			}
		}
		use(kind)
	}
	forget := func(tx *store.Tx) error { return tx.Forget(t.Context()) }
	for range 3 {
		if err := s.InTx(t.Context(), forget); err != nil {
			t.Fatal(err)
		}
		use("forgotten")
	}
}
