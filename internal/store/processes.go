package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// processForgotten is how long after its last sign the row of a dead process is kept, for those who ask when it died.
const processForgotten = time.Hour

// spaceTried is how many bytes are written to see whether the server has disk left.
const spaceTried = 64 << 10

// Server is the database server that a new connection leads to.
type Server struct {
	// ID tells one server from another: after a failover, and after a restart, it is different. "" for SQLite.
	ID string
	// MaxConns is how many connections it gives to users who are no superusers, 0 where that is not known.
	MaxConns int
}

// Seen writes that a process lives, over a connection that was dialed for it, so that it learns what new connections
// meet, and returns the server. Where the server has no connection left, one of the process's own serves. It also
// removes the rows of those who died long ago.
func (s *Store) Seen(ctx context.Context, p models.Process) (Server, error) {
	server, err := s.seen(ctx, s.fresh, p)
	if err != nil && s.fresh != s.sql && isFull(err) {
		server, err = s.seen(ctx, s.sql, p)
	}
	return server, wrap("process seen", Explain(err))
}

// isFull reports whether a server has no connection left for a new client, or PgBouncer has none, which says so with
// 08P01 as it says much else.
func isFull(err error) bool {
	return hasState(err, "53300") || hasState(err, "08P01") && strings.Contains(err.Error(), "no more connections allowed")
}

func (s *Store) seen(ctx context.Context, db *sql.DB, p models.Process) (server Server, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return server, err
	}
	defer func() { err = errors.Join(err, closed(conn)) }()
	tx, err := conn.BeginTx(ctx, nil) // as all that is to be recorded is written
	if err != nil {
		return server, err
	}
	defer tx.Rollback()
	now := time.Now().UTC()
	if s.dialect == Postgres {
		if err := tx.QueryRowContext(ctx, `SELECT clock_timestamp(), `+serverID+`,
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(
			&now, &server.ID, &server.MaxConns); err != nil {
			return server, err
		}
	}
	if _, err := tx.ExecContext(ctx, s.bound(`INSERT INTO processes (id, role, version, schema, max_conns, started_at, seen_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`),
		p.ID, p.Role, p.Version, p.Schema, p.MaxConns, now, now); err != nil {
		return server, err
	}
	if _, err := tx.ExecContext(ctx, s.bound("DELETE FROM processes WHERE seen_at < $1"), now.Add(-processForgotten)); err != nil {
		return server, err
	}
	if err := tx.Commit(); err != nil || !s.doubtSpace.Load() {
		return server, err
	}
	return server, s.trySpace(ctx, conn, p.ID)
}

// trySpace writes what the server has to find new disk for, and takes it back. What says that a process lives fits
// where it was before, even on a disk that is full.
func (s *Store) trySpace(ctx context.Context, conn *sql.Conn, id string) error {
	if s.dialect == SQLite {
		return nil
	}
	random := make([]byte, spaceTried) // no compression makes it small
	_, _ = rand.Read(random)           // never fails
	s.doubtSpace.Store(false)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		s.doubtSpace.Store(true)
		return err
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(ctx, `INSERT INTO processes (id, role, version, schema, max_conns, started_at, seen_at)
		VALUES ($1, '', $2, 0, 0, now(), now())`, "space-"+id, base64.StdEncoding.EncodeToString(random))
	if err != nil {
		s.doubtSpace.Store(true)
	}
	return err
}

var placeholder = regexp.MustCompile(`\$\d+`)

// bound is a statement, whose parameters stand in order, for the engine.
func (s *Store) bound(query string) string {
	if s.dialect == SQLite {
		return placeholder.ReplaceAllLiteralString(query, "?")
	}
	return query
}

// closed gives a connection back. One that is broken cannot be, which is no news.
func closed(conn *sql.Conn) error {
	if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) && !IsUnavailable(err) {
		return err
	}
	return nil
}

// RemoveProcess removes the row of a process that ends in an orderly way.
func (s *Store) RemoveProcess(ctx context.Context, id string) error {
	_, err := s.sql.ExecContext(ctx, s.bound("DELETE FROM processes WHERE id = $1"), id)
	return wrap("remove process", err)
}

// Processes reads those that live and those that died within the hour, the newest sign first, and the clock by which
// their signs are dated.
func (s *Store) Processes(ctx context.Context) ([]models.Process, time.Time, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, now, err
	}
	rows, err := s.sql.QueryContext(ctx, `SELECT id, role, version, schema, max_conns, started_at, seen_at FROM processes
		ORDER BY seen_at DESC, id`)
	all, err := scanRows(rows, err, func(rows *sql.Rows) (p models.Process, err error) {
		err = rows.Scan(&p.ID, &p.Role, &p.Version, &p.Schema, &p.MaxConns, &p.StartedAt, &p.SeenAt)
		p.StartedAt, p.SeenAt = p.StartedAt.UTC(), p.SeenAt.UTC()
		return p, err
	})
	return all, now, wrap("processes", err)
}

// Leases reads who leads which chain, by chain id.
func (s *Store) Leases(ctx context.Context) ([]models.ChainLease, error) {
	var all []models.ChainLease
	return all, wrap("leases", s.with(ctx).Order("chain_id").Find(&all).Error)
}

// MaxConns is how many connections this store opens at most, 0 for SQLite.
func (s *Store) MaxConns() int { return s.maxConns }

// RefusedWrites gives a value when the server refused a write because it takes none any more, or has no disk left.
func (s *Store) RefusedWrites() <-chan struct{} { return s.refusedWrites }

// Renew ends the connections that lead to another server than new ones do.
func (s *Store) Renew(server Server) {
	if s.connections == nil || server.ID == "" {
		return
	}
	if n := s.connections.renew(time.Now(), server.ID); n > 0 {
		s.log.Warn("store.connections_renewed", "connections", n)
	}
}

// errRehearsal rolls back what ProbeVerdict wrote.
var errRehearsal = errors.New("store: a rehearsal")

// ProbeVerdict writes a verdict on a delivery that does not exist, and takes it back: whether this process can say, and
// the database take, what it will have to record.
func (s *Store) ProbeVerdict(ctx context.Context) error {
	now := time.Now().UTC()
	v := Verdict{
		Attempt: models.Attempt{
			ID: models.NewID(models.PrefixAttempt, now), DeliveryID: models.NewID(models.PrefixDelivery, now),
			Class: "ok", Number: 1, Generation: 1, StartedAt: now, ResponseBody: []byte("probe"),
		},
		State: models.DeliveryDelivered, NextAttemptAt: now, At: now,
	}
	err := s.InTx(ctx, func(tx *Tx) error {
		_, err := tx.Record(ctx, []Verdict{v}, SweepDelays{})
		if err == nil || hasState(err, "23503") { // it was said and understood
			return errRehearsal
		}
		return err
	})
	if errors.Is(err, errRehearsal) {
		return nil
	}
	return fmt.Errorf("store: a verdict cannot be recorded: %w", err)
}
