package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// SchemaVersion is the schema that this binary was built for: the highest number under migrations/.
const SchemaVersion = 24

const (
	// migrateLease is how long after its end a migration that died still keeps the next one waiting.
	migrateLease = 30 * time.Second
	// migratePatience is for how many seconds a migration waits for another one.
	migratePatience = 3600
)

// ErrSchema is returned when the database's schema and the binary do not fit.
var ErrSchema = errors.New("schema does not fit this binary")

// SchemaStatus tells where a database's schema stands.
type SchemaStatus struct {
	Version   int64 `json:"version"`    // the last migration applied, 0 for an empty database
	Binary    int64 `json:"binary"`     // SchemaVersion
	MinBinary int64 `json:"min_binary"` // the oldest binary that this schema can serve
}

// Migrate applies what is missing, in order, under a lease, and returns the names of the files applied. The lease is a
// row, so that it holds through a pooler as well. GORM's AutoMigrate is never used.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	provider, err := s.migrator()
	if err != nil {
		return nil, err
	}
	if err := s.refuseNewer(ctx); err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: migrate: %w", err)
	}
	var applied []string
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	return applied, nil
}

// refuseNewer is [ErrSchema] when a newer binary has migrated the database: ours has nothing to add to it.
func (s *Store) refuseNewer(ctx context.Context) error {
	st, err := s.SchemaStatus(ctx)
	if err != nil || st.Version == 0 {
		return err
	}
	var newest int64
	if err := s.sql.QueryRowContext(ctx,
		"SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&newest); err != nil {
		return fmt.Errorf("store: schema status: %w", err)
	}
	if newest > SchemaVersion {
		return fmt.Errorf("%w: the schema is newer, version %d, and this binary knows %d: nothing was changed; run the "+
			"`ctripctl` of the newest release", ErrSchema, newest, SchemaVersion)
	}
	return nil
}

// SchemaStatus reads the version of the schema without changing anything.
func (s *Store) SchemaStatus(ctx context.Context) (SchemaStatus, error) {
	st := SchemaStatus{Binary: SchemaVersion}
	known := "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_info'"
	if s.dialect == SQLite {
		known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_info'"
	}
	var tables int
	if err := s.sql.QueryRowContext(ctx, known).Scan(&tables); err != nil {
		return st, fmt.Errorf("store: schema status: %w", err)
	}
	if tables == 0 {
		return st, nil
	}
	if err := s.sql.QueryRowContext(ctx,
		"SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&st.Version); err != nil {
		return st, fmt.Errorf("store: schema status: %w", err)
	}
	if err := s.beforeMissing(ctx, &st); err != nil {
		return st, err
	}
	if err := s.sql.QueryRowContext(ctx, "SELECT min_binary FROM schema_info").Scan(&st.MinBinary); err != nil {
		return st, fmt.Errorf("store: schema status: %w", err)
	}
	return st, nil
}

// beforeMissing lowers the version to the one before the first of our migrations that is not applied: numbers are given
// out before the files are written, so a lower one may arrive after a higher one.
func (s *Store) beforeMissing(ctx context.Context, st *SchemaStatus) error {
	rows, err := s.sql.QueryContext(ctx, "SELECT version_id FROM goose_db_version WHERE is_applied")
	if err != nil {
		return fmt.Errorf("store: schema status: %w", err)
	}
	defer rows.Close()
	applied := make(map[int64]bool)
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return fmt.Errorf("store: schema status: %w", err)
		}
		applied[version] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: schema status: %w", err)
	}
	files, err := fs.Glob(migrations, "migrations/"+string(s.dialect)+"/*.sql")
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	for _, file := range files {
		var number int64
		if _, err := fmt.Sscanf(path.Base(file), "%d_", &number); err == nil && !applied[number] {
			st.Version = min(st.Version, number-1)
		}
	}
	return nil
}

// CheckSchema is what a boot calls: nil when the schema is this binary's or a newer one that still serves it,
// otherwise an error that wraps [ErrSchema] and says what to do.
func (s *Store) CheckSchema(ctx context.Context) error {
	st, err := s.SchemaStatus(ctx)
	if err != nil {
		return err
	}
	switch {
	case st.Version < SchemaVersion:
		return fmt.Errorf("%w: the database is at version %d, this binary needs %d: run `ctripctl migrate up`", ErrSchema,
			st.Version, SchemaVersion)
	case st.MinBinary > SchemaVersion:
		return fmt.Errorf("%w: the database is at version %d and needs a binary for version %d or later, this one is for "+
			"%d: upgrade it", ErrSchema, st.Version, st.MinBinary, SchemaVersion)
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+string(s.dialect))
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	// Numbers are given out before the work is done: one that comes later than a higher one is applied all the same.
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithAllowOutofOrder(true)}
	if s.dialect == Postgres {
		locker, err := lock.NewPostgresTableLocker(lock.WithTableName("goose_lease"),
			lock.WithTableLeaseDuration(migrateLease),
			lock.WithTableHeartbeatInterval(migrateLease/6), lock.WithTableLockTimeout(time.Second, migratePatience))
		if err != nil {
			return nil, fmt.Errorf("store: migration lease: %w", err)
		}
		dialect, options = goose.DialectPostgres, append(options, goose.WithLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, s.sql, files, options...)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	return provider, nil
}
