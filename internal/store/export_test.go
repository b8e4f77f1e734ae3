package store

import "testing"

// Exec runs a statement as somebody would who goes around this package.
func (s *Store) Exec(t testing.TB, sql string) error {
	_, err := s.sql.ExecContext(t.Context(), sql)
	return err
}

// Dialect is the engine that a test runs on.
func (s *Store) Dialect() Dialect { return s.dialect }
