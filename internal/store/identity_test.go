package store_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// newAccountKey gives a merchant an account key whose counter stands at an index.
func newAccountKey(t testing.TB, s *store.Store, m models.Merchant, id string, next uint32) {
	t.Helper()
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.SetAccountKey(t.Context(), models.AccountKey{ID: id, MerchantID: m.ID, XPub: "xpub", Branch: 7,
			NextIndex: next, CreatedAt: noon})
	}); err != nil {
		t.Fatal(err)
	}
}

func adopt(t testing.TB, s *store.Store, want string) {
	t.Helper()
	if got, err := s.AdoptIdentity(t.Context(), noon); err != nil || got != want {
		t.Fatalf("adopted as %q, %v; want %q", got, err, want)
	}
}

// TestCountersMoveOnInAnotherDatabase: a database with another cluster, place or timeline gives out no address before
// its counters have moved on; after a restored dump none at all until an operator has prepared it.
func TestCountersMoveOnInAnotherDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		column, change string
		unfinished     bool
	}{
		"cluster": {"cluster", store.ChangeRestored, true}, "place": {"place", store.ChangeRestored, true},
		"timeline": {"timeline", store.ChangePromoted, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, db := storetest.Owned(t)
			m := newMerchant(t, s)
			newAccountKey(t, s, m, "k1", 5)
			publish(t, s, newEvent(m, "webhook.test", noon))
			adopt(t, s, "")
			adopt(t, s, "")
			if got, err := s.TakeIndexes(t.Context(), "k1", 2); err != nil || got != (store.Indexes{First: 5, N: 2, Branch: 7}) {
				t.Fatalf("%+v, %v", got, err)
			}
			if _, err := db.Exec("UPDATE database_identity SET " + c.column + " = 'another'"); err != nil {
				t.Fatal(err)
			}
			got, err := s.TakeIndexes(t.Context(), "k1", 1) // no process has looked yet
			if c.unfinished {
				if !errors.Is(err, store.ErrRestoreUnfinished) || !s.RestoreUnfinished() {
					t.Fatalf("%+v, %v", got, err)
				}
				prepare := func() error {
					return s.InTx(t.Context(), func(tx *store.Tx) error {
						return tx.PrepareRestore(t.Context(), store.Preparation{}, noon)
					})
				}
				if err := prepare(); err != nil {
					t.Fatal(err)
				}
				if err := prepare(); !errors.Is(err, store.ErrNotRestored) {
					t.Fatalf("prepared twice: %v", err)
				}
				got, err = s.TakeIndexes(t.Context(), "k1", 1)
			}
			if err != nil || got.First != 10007 || got.Branch == 7 != !c.unfinished {
				t.Fatalf("%+v, %v", got, err)
			}
			adopt(t, s, "")
			publish(t, s, newEvent(m, "webhook.test", noon))
			if last, err := s.LastPosition(t.Context(), m.ID); err != nil || last != 1_000_002 {
				t.Errorf("the newest position is %d, %v", last, err)
			}
			lines, err := s.AuditLog(t.Context(), 1, 10)
			if err != nil || len(lines) == 0 || lines[len(lines)-1].Action != "database.changed" {
				t.Errorf("%+v, %v", lines, err)
			}
		})
	}
}

// TestCountersBehindMoveOn: a counter behind the table of addresses, or behind what a process was given, moves on.
func TestCountersBehindMoveOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		newAccountKey(t, s, m, "k1", 5)
		adopt(t, s, "")
		if err := s.InsertAddress(t.Context(), store.Address{Address: "0x" + strings.Repeat("0", 40), AccountKeyID: "k1",
			AddressIndex: 40, MerchantID: m.ID, SkippedReason: "test", CreatedAt: noon}); err != nil {
			t.Fatal(err)
		}
		adopt(t, s, store.ChangeBehind)
		if got, err := s.TakeIndexes(t.Context(), "k1", 1); err != nil || got.First != 10041 {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := s.CounterBehind(t.Context(), "k1", 30000, noon); err != nil {
			t.Fatal(err)
		}
		if got, err := s.TakeIndexes(t.Context(), "k1", 1); err != nil || got.First != 40000 {
			t.Fatalf("%+v, %v", got, err)
		}
		adopt(t, s, "")
	})
}

// TestADumpOfBeforeIsToldByItsTransactions: a dump that knows no identity has payments of transactions that a young
// cluster has not had yet.
func TestADumpOfBeforeIsToldByItsTransactions(t *testing.T) {
	s, db := storetest.Owned(t)
	insertPayment(t, db, newMerchant(t, s))
	if change, err := s.IdentityChange(t.Context()); err != nil || change != "" {
		t.Fatalf("%q, %v", change, err)
	}
	if _, err := db.Exec("UPDATE payments SET xact = '900000000'"); err != nil {
		t.Fatal(err)
	}
	adopt(t, s, store.ChangeRestored)
	f, err := s.RestoreFacts(t.Context())
	if err != nil || !f.Unfinished || f.OpenPayments != 1 || f.Keys != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

// insertPayment writes a payment that waits, with all that it needs.
func insertPayment(t testing.TB, db *sql.DB, m models.Merchant) {
	t.Helper()
	ctx := context.Background()
	for _, statement := range []string{
		"INSERT INTO account_keys (id, merchant_id, xpub, branch, next_index, created_at) VALUES ('k1', '" + m.ID +
			"', 'xpub', 0, 1, now())",
		"INSERT INTO payments (id, merchant_id, token, status, chain, chain_id, asset, asset_symbol, asset_decimals, address, " +
			"account_key_id, address_index, derivation_path, amount, required_confirmations, metadata, created_at, updated_at, " +
			"expires_at) VALUES ('pay_1', '" + m.ID + "', 'co_1', 'pending', 'devnet', 1337, 'native', 'ETH', 18, '0x" +
			strings.Repeat("0", 40) + "', 'k1', 0, 'm/0/0', 1, 1, '{}', now(), now(), now())",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMigrateRefusesANewerSchema: an old binary says that the schema is newer, and changes nothing.
func TestMigrateRefusesANewerSchema(t *testing.T) {
	s, db := storetest.Owned(t)
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Migrate(t.Context()); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "is newer") {
		t.Fatalf("%v", err)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Fatalf("an old binary runs on it: %v", err)
	}
}
