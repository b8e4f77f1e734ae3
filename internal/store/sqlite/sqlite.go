package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/glebarez/sqlite"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// Open opens or creates the database file at path. The schema is not touched; call Migrate.
func Open(ctx context.Context, path string, log *slog.Logger) (*store.Store, error) {
	pragmas := url.Values{"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "busy_timeout(10000)"}}
	s, err := store.New(sqlite.Open("file:"+path+"?"+pragmas.Encode()), store.SQLite, log)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	return s, nil
}
