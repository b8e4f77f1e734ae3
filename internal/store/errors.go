package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// unavailableStates are the SQLSTATEs, or their classes, by which a server says that it cannot do it now. Read-only and
// recovery are a failover; a timeout of the role's, a lock that was not free and a deadlock are the hour's.
var unavailableStates = []string{
	"08",           // the connection, and whatever a pooler has to say
	"53",           // no connection, disk or memory left
	"57P", "57014", // shutting down, starting, crashed, database dropped; statement_timeout or somebody who canceled it
	"58",             // the disk fails
	readOnlyState,    // it is a standby now
	"25P03",          // idle_in_transaction_session_timeout
	"25P04",          // transaction_timeout
	"55P03",          // lock_timeout
	"55000", "3D000", // in recovery, or takes no connections; the database is not there
	"40",                 // a deadlock, a serialization failure, a conflict with recovery, an unknown end
	noStatement, "42P05", // a pooler gave us another server connection
	stalePlan, // the plan was made for a table that has changed
}

// IsUnavailable reports whether an error says that the database could not be reached, or cannot do it now, rather than
// that it refused what we asked for. The statement may succeed when it is repeated; a COMMIT may have been carried out.
func IsUnavailable(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), pgconn.SafeToRetry(err):
		return true
	case errors.As(err, &pg):
		return isUnavailableState(pg) && !(pg.Code == "57014" && ended(err))
	}
	return false
}

func isUnavailableState(pg *pgconn.PgError) bool {
	if severe(pg.Severity) || severe(pg.SeverityUnlocalized) {
		return true // it ended the connection
	}
	for _, state := range unavailableStates {
		if strings.HasPrefix(pg.Code, state) {
			return true
		}
	}
	return false
}

func severe(severity string) bool { return severity == "FATAL" || severity == "PANIC" }

// ended reports whether it was our own context that ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// IsRefused reports whether a write failed because of what was written, so that trying it again cannot help: the
// database refused it, or this process could not even say it.
func IsRefused(err error) bool {
	var pg *pgconn.PgError
	if err == nil || IsUnavailable(err) || ended(err) {
		return false
	}
	return IsConstraint(err) || !errors.As(err, &pg) && !isSQLite(err)
}

// isSQLite reports whether an error is SQLite's own.
func isSQLite(err error) bool {
	var code interface{ Code() int }
	return errors.As(err, &code)
}

// IsConstraint reports whether a write failed because of what was written, so that trying it again cannot help.
func IsConstraint(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "21") || strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23")
	}
	return err != nil && strings.Contains(err.Error(), "constraint failed")
}

// IsConflict reports whether a write failed because of what was written or of who else writes the same, so that what
// was written with it may succeed without it.
func IsConflict(err error) bool {
	return IsConstraint(err) || errors.Is(err, ErrOrderTaken) || errors.Is(err, ErrIdempotencyTaken) ||
		errors.Is(err, ErrLockTimeout)
}

// IsBadText reports whether the database refused a text that is no text: it holds NUL, or is not UTF-8. What comes from
// outside is checked before; this is for what was forgotten.
func IsBadText(err error) bool { return hasState(err, "22021") }

// lockTimedOut reports whether a statement gave up waiting for a lock.
func lockTimedOut(err error) bool { return hasState(err, "55P03") }

// IsRepeatable reports whether the database rolled the transaction back only because of its neighbours, or because
// a prepared statement no longer fits a table that was changed meanwhile: [Store.InTx] repeats it as a whole.
func IsRepeatable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" || isStale(pg)
	}
	return false
}

// isStale reports whether a prepared statement does not fit its tables any more, or is gone from the session: it was
// not carried out, and the driver prepares it anew.
func isStale(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) &&
		(pg.Code == stalePlan && pg.Routine == "RevalidateCachedQuery" || pg.Code == noStatement)
}

const (
	// stalePlan is how Postgres says that a prepared statement would answer in other columns than it was prepared for. The
	// driver forgets the statement then.
	stalePlan = "0A000"
	// noStatement is how it says that a session knows no such statement.
	noStatement = "26000"
)

func hasState(err error, state string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == state
}
