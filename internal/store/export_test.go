package store

import (
	"context"
	"testing"
)

// Exec runs a statement as somebody would who goes around this package.
func (s *Store) Exec(t testing.TB, sql string) error {
	_, err := s.sql.ExecContext(t.Context(), sql)
	return err
}

// Dialect is the engine that a test runs on.
func (s *Store) Dialect() Dialect { return s.dialect }

// SealedColumns are those that WalkSealed reads, as table.column.
func SealedColumns() (all []string) {
	for _, c := range sealedColumns {
		all = append(all, c.table+"."+c.column)
	}
	return all
}

// AuditWaits counts the lines of the audit log that are not chained yet.
func (s *Store) AuditWaits(t testing.TB) (n int, err error) {
	err = s.sql.QueryRowContext(t.Context(), "SELECT count(*) FROM audit_entries").Scan(&n)
	return n, err
}

// MigrateTo brings the schema to a version, as a binary of then would have.
func (s *Store) MigrateTo(t testing.TB, version int64) {
	t.Helper()
	provider, err := s.migrator()
	if err == nil {
		_, err = provider.UpTo(t.Context(), version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Forget makes the session forget every prepared statement behind the driver's back.
func (tx *Tx) Forget(ctx context.Context) error { return tx.with(ctx).Exec("DEALLOCATE ALL").Error }
