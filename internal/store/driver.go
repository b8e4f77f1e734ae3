package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ctrip-gateway/ctrip/models"
)

// ErrPooler is returned when DATABASE_URL leads through a pooler in a way in which statements would fail or meet
// somebody else's session. Its text says what to set.
var ErrPooler = errors.New("DATABASE_URL leads through a pooler in a way that cannot work")

const (
	// poolerStep bounds one question to a pooler, which may have no server connection left to answer it.
	poolerStep = 2 * time.Second
	// poolerOthers is how many connections are opened beside the first to see whether they share a session.
	poolerOthers = 2
)

// What to set, for each way that cannot work.
const (
	saysStatementPooling = "the pooler is in statement mode, in which there are no transactions: set pool_mode=transaction " +
		"or pool_mode=session"
	saysPrepared = "the pooler is in transaction mode and keeps no prepared statements: add " +
		"default_query_exec_mode=cache_describe to DATABASE_URL, or set max_prepared_statements=200 (PgBouncer 1.21 or " +
		"newer), or set pool_mode=session"
	saysNoCache = "default_query_exec_mode needs the cache that DATABASE_URL turns off: leave statement_cache_capacity and " +
		"description_cache_capacity out, or add default_query_exec_mode=exec"
	saysDescribeExec = "default_query_exec_mode=describe_exec needs a session of its own, and the pooler is in transaction " +
		"mode: use cache_describe, or set pool_mode=session"
)

// Pooling is what stands between a process and the server.
type Pooling string

// The ways.
const (
	Direct             Pooling = "direct"
	SessionPooling     Pooling = "pooler in session mode"
	TransactionPooling Pooling = "pooler in transaction mode"
)

// ErrDriver is returned when the options of DATABASE_URL contradict each other. Its text says what to set.
var ErrDriver = errors.New("DATABASE_URL cannot be used")

// checkCaches refuses options with which no statement could be made.
func checkCaches(c *pgx.ConnConfig) error {
	if c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && c.StatementCacheCapacity <= 0 ||
		c.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe && c.DescriptionCacheCapacity <= 0 {
		return fmt.Errorf("%w: %s", ErrDriver, saysNoCache)
	}
	return nil
}

// CheckDriver is what a boot calls: it refuses, with [ErrPooler], a pooler that cannot carry our statements in the way
// in which DATABASE_URL says that they are made.
func (s *Store) CheckDriver(ctx context.Context) (Pooling, error) {
	if s.connections == nil {
		return Direct, nil
	}
	first, err := s.sql.Conn(ctx)
	if err != nil {
		return Direct, fmt.Errorf("store: %w", Explain(err))
	}
	defer first.Close()
	if told, real, err := backend(ctx, first); err != nil || told == real {
		return Direct, err
	}
	pooling, err := s.pooling(ctx, first)
	if err != nil || pooling != TransactionPooling {
		return pooling, err
	}
	switch s.connections.config.DefaultQueryExecMode {
	case pgx.QueryExecModeDescribeExec:
		return pooling, fmt.Errorf("%w: %s", ErrPooler, saysDescribeExec)
	case pgx.QueryExecModeCacheStatement:
		return pooling, s.tryPrepared(ctx, first)
	}
	return pooling, nil
}

// backend is the process id that the connection was told when it was made, and that of the server process which
// answers. Poolers invent the first.
func backend(ctx context.Context, conn *sql.Conn) (told, real uint32, err error) {
	err = conn.Raw(func(driver any) error {
		told = driver.(repeating).Conn.Conn().PgConn().PID()
		return nil
	})
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&real)
	}
	return told, real, wrap("backend", err)
}

// pooling leaves a mark in the session of the first connection and looks whether others find it.
func (s *Store) pooling(ctx context.Context, first *sql.Conn) (Pooling, error) {
	mark := models.NewID("mark_", time.Now())
	const put = "SELECT set_config('ctrip.session', $1, false)"
	if _, err := first.ExecContext(ctx, put, pgx.QueryExecModeSimpleProtocol, mark); err != nil {
		return "", wrap("pooling", err)
	}
	defer first.ExecContext(context.WithoutCancel(ctx), put, pgx.QueryExecModeSimpleProtocol, "")
	const look = "SELECT COALESCE(current_setting('ctrip.session', true), '')"
	shared := false
	err := s.beside(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var found string
		err := tx.QueryRowContext(ctx, look, pgx.QueryExecModeSimpleProtocol).Scan(&found)
		shared = shared || found == mark
		return err
	})
	if err != nil {
		return "", err
	}
	if shared {
		return TransactionPooling, nil
	}
	return SessionPooling, nil
}

// beside calls f in transactions of other connections that are open at the same time.
func (s *Store) beside(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	for range poolerOthers {
		step, cancel := context.WithTimeout(ctx, poolerStep)
		defer cancel()
		conn, err := s.fresh.Conn(step)
		if err != nil {
			return nil // the pool is full: what was seen so far has to do
		}
		defer conn.Close()
		tx, err := conn.BeginTx(step, nil)
		if err == nil {
			defer tx.Rollback()
			err = f(step, tx)
		}
		switch {
		case err != nil && strings.Contains(err.Error(), "statement pooling"):
			return fmt.Errorf("%w: %s", ErrPooler, saysStatementPooling)
		case err != nil && step.Err() == nil:
			return wrap("pooling", err)
		}
	}
	return nil
}

// tryPrepared prepares the same statement on connections that a pooler gives the same session in turn.
func (s *Store) tryPrepared(ctx context.Context, first *sql.Conn) error {
	const query = "SELECT $1::int"
	refused := func(err error) error {
		if hasState(err, "42P05") || hasState(err, "26000") {
			return fmt.Errorf("%w: %s", ErrPooler, saysPrepared)
		}
		return wrap("prepared statements", err)
	}
	var n int
	if err := first.QueryRowContext(ctx, query, 1).Scan(&n); err != nil {
		return refused(err)
	}
	err := s.beside(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var n int
		return tx.QueryRowContext(ctx, query, 1).Scan(&n)
	})
	if err != nil {
		return refused(err)
	}
	return refused(first.QueryRowContext(ctx, query, 1).Scan(&n))
}

// Explain adds to an error of the database what an operator has to set, where that is known.
func Explain(err error) error {
	switch {
	case err == nil:
		return nil
	case hasState(err, "42P05"), hasState(err, "26000"):
		return fmt.Errorf("%w: %s: %w", ErrPooler, saysPrepared, err)
	case strings.Contains(err.Error(), "unsupported startup parameter"):
		return fmt.Errorf("the pooler refuses a parameter of DATABASE_URL: leave it out and set it with ALTER ROLE … SET, "+
			"or name it in ignore_startup_parameters: %w", err)
	case strings.Contains(err.Error(), "statement pooling"):
		return fmt.Errorf("%w: %s: %w", ErrPooler, saysStatementPooling, err)
	}
	return err
}
