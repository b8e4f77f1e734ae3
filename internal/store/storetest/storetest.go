package storetest

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/sqlite"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// Each runs f as a subtest on a fresh Postgres database and on a fresh SQLite file.
func Each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
}

// Postgres returns a migrated store on an empty Postgres database that is dropped after the test.
func Postgres(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: testkit.Postgres(t)})
	return migrated(t, s, err)
}

// Owned returns a store as [Postgres] does, and the database itself, for tests that do what nobody may who goes through
// the store.
func Owned(t testing.TB) (*store.Store, *sql.DB) {
	t.Helper()
	dsn := testkit.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	s = migrated(t, s, err)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, db
}

// SQLite returns a migrated store on a file that is removed after the test.
func SQLite(t testing.TB) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ctrip.db"), nil)
	return migrated(t, s, err)
}

// Temporary returns a migrated SQLite store for an example, which has no test to end with: close closes and removes it.
func Temporary(ctx context.Context) (s *store.Store, close func()) {
	dir, err := os.MkdirTemp("", "ctrip-example-")
	if err != nil {
		panic(err)
	}
	if s, err = sqlite.Open(ctx, filepath.Join(dir, "ctrip.db"), nil); err == nil {
		_, err = s.Migrate(ctx)
	}
	if err != nil {
		panic(err)
	}
	return s, func() { s.Close(); os.RemoveAll(dir) }
}

func migrated(t testing.TB, s *store.Store, err error) *store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
