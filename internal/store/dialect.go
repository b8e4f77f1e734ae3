package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// Dialect is the engine behind a store.
type Dialect string

// The engines. SQLite serves the quickstart and the tests: one process, one writer.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// forUpdate locks the rows that a SELECT reads. SQLite has one writer and needs no lock.
func (d Dialect) forUpdate() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// skipLocked locks the rows that a SELECT reads and passes over those that somebody else holds.
func (d Dialect) skipLocked() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE SKIP LOCKED"
}

// columns are those of a model's table that this binary knows, each behind a prefix. No statement reads *: what was
// prepared would end when a newer binary's migration adds a column.
func (q *Queries) columns(model any, prefix string) string {
	s := &gorm.Statement{DB: q.db}
	if err := s.Parse(model); err != nil {
		panic(err) // of a type that the store itself declares
	}
	return prefix + strings.Join(s.Schema.DBNames, ", "+prefix)
}

// violates reports whether err is a violation of a unique constraint. Postgres names the constraint or the index;
// SQLite names the columns, so both are given: violates(err, "payments_order", "payments.order_id").
func violates(err error, constraint, column string) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" && pg.ConstraintName == constraint
	}
	return err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed") && strings.Contains(err.Error(), column)
}
