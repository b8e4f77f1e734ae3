package store_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/glebarez/sqlite"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/sqlite"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMigrate(t *testing.T) {
	engines := map[string]func(*testing.T) *store.Store{
		"postgres": func(t *testing.T) *store.Store {
			s, err := store.Open(t.Context(), store.Options{DSN: testkit.Postgres(t)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"sqlite": func(t *testing.T) *store.Store {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "m.db"), nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			if err := s.CheckSchema(t.Context()); !errors.Is(err, store.ErrSchema) ||
				!strings.Contains(err.Error(), "ctripctl migrate up") {
				t.Fatalf("an empty database boots: %v", err)
			}
			applied, err := s.Migrate(t.Context())
			if last := fmt.Sprintf("%05d_", store.SchemaVersion); err != nil || len(applied) == 0 ||
				!strings.HasPrefix(filepath.Base(applied[len(applied)-1]), last) {
				t.Fatalf("migrate: %v, %v", applied, err)
			}
			if err := s.CheckSchema(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again, err := s.Migrate(t.Context()); err != nil || len(again) != 0 {
				t.Fatalf("a second run applied %v, %v", again, err)
			}
			st, err := s.SchemaStatus(t.Context())
			if err != nil ||
				st != (store.SchemaStatus{Version: store.SchemaVersion, Binary: store.SchemaVersion, MinBinary: 1}) {
				t.Fatalf("status %+v, %v", st, err)
			}
		})
	}
}

// TestSchema holds the schema that the migrations make against the dumps under schema/, so that a change of either is
// seen in review.
func TestSchema(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		_, db := storetest.Owned(t)
		golden(t, "schema/postgres.txt", rows(t, db, `
			SELECT format('column     %s.%s %s%s%s', c.table_name, c.column_name, COALESCE(c.domain_name, c.data_type),
				CASE c.is_nullable WHEN 'NO' THEN ' not null' ELSE '' END, COALESCE(' default ' || c.column_default, ''))
			FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name NOT LIKE 'goose%'
			UNION ALL
			SELECT format('constraint %s.%s %s', r.relname, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
			JOIN pg_class r ON r.oid = k.conrelid JOIN pg_namespace n ON n.oid = k.connamespace
			WHERE n.nspname = 'public' AND r.relname NOT LIKE 'goose%' AND k.contype <> 'n'
			UNION ALL
			SELECT format('domain     %s %s', t.typname, pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid
			JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname = 'public'
			UNION ALL
			SELECT format('index      %s', indexdef) FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'
			UNION ALL
			SELECT format('trigger    %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
			ORDER BY 1`))
	})
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s.db")
		s, err := sqlite.Open(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		golden(t, "schema/sqlite.txt", rows(t, db, `
			SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'goose%' AND tbl_name NOT LIKE 'sqlite_%' ORDER BY type DESC, name`))
	})
}

// TestMoneyIsRangeChecked asks both databases to refuse what no EVM word can hold, whoever writes it.
func TestMoneyIsRangeChecked(t *testing.T) {
	_, db := storetest.Owned(t)
	const max256 = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for value, ok := range map[string]bool{"0": true, max256: true, "-1": false, max256[:77] + "6": false} {
		var got string
		err := db.QueryRowContext(t.Context(), "SELECT CAST($1 AS text)::base_units::text", value).Scan(&got)
		if (err == nil) != ok || ok && got != value {
			t.Errorf("%s: %q, %v", value, got, err)
		}
	}
}

func rows(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rs, err := db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	var b strings.Builder
	for rs.Next() {
		var line string
		if err := rs.Scan(&line); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, line)
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Fatalf("%s does not show the schema (%v): go test ./internal/store -run TestSchema -update", path, err)
	}
}
