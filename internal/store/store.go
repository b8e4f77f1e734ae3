package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/ctrip-gateway/ctrip/models"
)

// txAttempts is how often InTx runs its function before it gives a deadlock or a serialization failure to the caller.
const txAttempts = 5

// Store is a database that holds the record.
type Store struct {
	Queries
	sql      *sql.DB
	log      *slog.Logger
	onCommit func([]models.Delivery)
	// chainWake says that a line of the audit log was written.
	chainWake chan struct{}
	reads     *reads
	// unfinished is whether the database was restored and not prepared, as this process last saw it.
	unfinished atomic.Bool
	// fresh dials for every statement anew: what it meets is what a new connection meets. On SQLite it is sql.
	fresh *sql.DB
	// connections are those of Postgres, nil on SQLite.
	connections *connections
	maxConns    int
	// refusedWrites says that the server refused a write because it is read-only or has no disk left.
	refusedWrites chan struct{}
	// doubtSpace is whether [Store.Seen] has to find out whether the server has disk left.
	doubtSpace atomic.Bool
}

// Queries are the reads and writes that need no surrounding transaction.
type Queries struct {
	db      *gorm.DB
	dialect Dialect
}

// Tx is a transaction: everything written through it is committed together or not at all.
type Tx struct {
	Queries
	written     []models.Delivery
	afterCommit []func()
	audited     bool
	wakeChain   func()
	// events wait for their positions, which are taken right before the commit.
	events []placed
	// waits says that WaitAtMost was called.
	waits bool
}

// AfterCommit runs f once the transaction is committed, on the goroutine of the caller of InTx, and not at all when it
// fails: for what a process remembers of rows. f must not block.
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// Options say how to reach a database.
type Options struct {
	// DSN of Postgres, "postgres://…".
	DSN      string
	MaxConns int // open connections; 0 means 32
	// MaxLifetime is the age at which a connection is replaced; 0 means never.
	MaxLifetime time.Duration
	Logger      *slog.Logger
}

// Open connects to Postgres. It does not look at the schema: a boot calls [Store.CheckSchema], an operator
// [Store.Migrate].
func Open(ctx context.Context, o Options) (*Store, error) {
	refused := make(chan struct{}, 1)
	cs, err := newConnections(o.DSN, nil)
	if err != nil {
		return nil, err
	}
	tell := func() {
		select {
		case refused <- struct{}{}:
		default:
		}
	}
	cs.onReadOnly = func() {
		cs.renew(time.Now(), "")
		tell()
	}
	if o.MaxConns == 0 {
		o.MaxConns = 32
	}
	db, fresh := cs.db(), cs.db()
	fresh.SetMaxIdleConns(-1)
	s, err := New(postgres.New(postgres.Config{Conn: db}), Postgres, o.Logger)
	if err != nil {
		return nil, errors.Join(err, db.Close(), fresh.Close())
	}
	s.fresh, s.connections, s.maxConns, s.refusedWrites = fresh, cs, o.MaxConns, refused
	s.doubtSpace.Store(true)
	cs.onFull = func() {
		s.doubtSpace.Store(true)
		tell()
	}
	s.sql.SetMaxOpenConns(o.MaxConns)
	s.sql.SetMaxIdleConns(o.MaxConns)
	s.sql.SetConnMaxIdleTime(5 * time.Minute)
	s.sql.SetConnMaxLifetime(o.MaxLifetime)
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(Explain(err), s.Close())
	}
	return s, nil
}

// New makes a store of any dialector; internal/store/sqlite uses it, so that no SQLite driver is linked into a
// production binary.
func New(dialector gorm.Dialector, dialect Dialect, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, err := gorm.Open(dialector, &gorm.Config{
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		QueryFields:            true, // never *, see columns
		NowFunc:                func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
	})
	if err != nil {
		return nil, fmt.Errorf("store: open: %w", err)
	}
	raw, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("store: open: %w", err)
	}
	if dialect == SQLite { // one writer, and a connection that is never dropped
		raw.SetMaxOpenConns(1)
		raw.SetMaxIdleConns(1)
	}
	s := &Store{Queries: Queries{db: db, dialect: dialect}, sql: raw, fresh: raw, log: log,
		chainWake: make(chan struct{}, 1)}
	s.reads = newReads(&s.Queries)
	return s, nil
}

// OnCommit sets what is told about the delivery rows of every committed transaction. It is called on the goroutine of
// the caller of InTx and must not block; it is set once, before the store is used.
func (s *Store) OnCommit(f func([]models.Delivery)) { s.onCommit = f }

// PoolStats is how the connections to the database stand.
func (s *Store) PoolStats() sql.DBStats { return s.sql.Stats() }

// InTx runs f in one transaction and commits when f returns nil. Events get their positions after f, right before the
// commit. What [IsRepeatable] says of an error makes it run f again, so f must keep no state between runs.
func (s *Store) InTx(ctx context.Context, f func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		var tx Tx
		err := s.db.WithContext(ctx).Transaction(func(db *gorm.DB) error {
			tx = Tx{Queries: Queries{db: db, dialect: s.dialect}, wakeChain: s.wakeChain}
			if err := f(&tx); err != nil {
				return err
			}
			return tx.numberEvents(ctx)
		})
		if err == nil {
			if s.onCommit != nil && len(tx.written) > 0 {
				s.onCommit(tx.written)
			}
			for _, f := range tx.afterCommit {
				f()
			}
			return nil
		}
		if tx.waits && lockTimedOut(err) {
			err = fmt.Errorf("%w: %w", ErrLockTimeout, err)
		}
		if attempt == txAttempts || !IsRepeatable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(rand.IntN(10*attempt)+1) * time.Millisecond):
		}
	}
}

// WaitAtMost bounds, for the rest of the transaction, how long a statement waits for what another transaction holds.
// Where it ends the transaction, InTx returns [ErrLockTimeout].
// SQLite, with its one writer, has nothing to wait for.
func (tx *Tx) WaitAtMost(ctx context.Context, d time.Duration) error {
	if tx.dialect == SQLite {
		return nil
	}
	tx.waits = true
	return wrap("lock timeout", tx.with(ctx).Exec("SELECT set_config('lock_timeout', ?, true)", d.String()).Error)
}

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.sql.PingContext(ctx); err != nil {
		return fmt.Errorf("store: ping: %w", err)
	}
	return nil
}

// Now returns the database's clock, to compare with ours.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if s.dialect == SQLite {
		return time.Now().UTC(), nil // the same machine by construction
	}
	var now time.Time
	if err := s.sql.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("store: clock: %w", err)
	}
	return now.UTC(), nil
}

// Close closes every connection.
func (s *Store) Close() error {
	if s.fresh == s.sql {
		return s.sql.Close()
	}
	err := errors.Join(s.sql.Close(), s.fresh.Close())
	s.connections.drain()
	return err
}

// with starts a statement under ctx.
func (q *Queries) with(ctx context.Context) *gorm.DB { return q.db.WithContext(ctx) }

// one turns GORM's "record not found" into ours and names the call.
func one(call string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gorm.ErrRecordNotFound):
		return models.ErrNotFound
	}
	return fmt.Errorf("store: %s: %w", call, err)
}

// wrap names the call.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s: %w", call, err)
}
