package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// connectTimeout bounds one attempt to connect where the DSN does not say connect_timeout.
	connectTimeout = 5 * time.Second
	// renewEvery is how often all connections are ended at most.
	renewEvery = time.Second
	// drainFor is how long Close waits for statements that are being canceled.
	drainFor = 2 * time.Second
	// readOnlyState is the SQLSTATE of a write that a server refuses because it is read-only.
	readOnlyState = "25006"
	// diskFull is that of a write for which no disk is left.
	diskFull = "53100"
)

// ErrReadOnly is returned when the server that a new connection leads to takes no writes: it is a standby, or a primary
// that somebody turned read-only.
var ErrReadOnly = errors.New("the database server takes no writes: it is a standby or was turned read-only; " +
	"DATABASE_URL must lead to the primary")

// connections opens the connections to Postgres and can end all of them, so that the next ones lead to whatever server
// stands behind the address then.
type connections struct {
	config *pgx.ConnConfig
	// onReadOnly is told, on the goroutine of a statement, that the server refused to write.
	onReadOnly func()
	// onFull is told the same way that the server has no disk left.
	onFull func()
	// stale counts how often a prepared statement was found not to fit any more: every connection forgets all of its own
	// once for each.
	stale atomic.Int64

	mu      sync.Mutex
	open    map[*connection]struct{}
	renewed time.Time
	closed  chan struct{} // given a value when one was closed
}

// connection is one of them, below TLS.
type connection struct {
	net.Conn
	of     *connections
	server atomic.Pointer[string] // the Server.ID that it was dialed to
	ended  atomic.Bool
	// stale is how much of connections.stale it has obeyed.
	stale atomic.Int64
}

// Close closes it.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	err := c.Conn.Close()
	if errors.Is(err, net.ErrClosed) { // renew was first
		err = nil
	}
	select {
	case c.of.closed <- struct{}{}:
	default:
	}
	return err
}

// drain waits until every connection is closed, at most for drainFor: one whose statement is being canceled stays until
// the server has heard of that. PgBouncer 1.18 ends when who asked for it does not wait.
func (cs *connections) drain() {
	late := time.After(drainFor)
	for {
		cs.mu.Lock()
		n := len(cs.open)
		cs.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-cs.closed:
		case <-late:
			return
		}
	}
}

// newConnections reads a DSN. A connection is good only if it can write, unless the DSN says target_session_attrs
// itself.
func newConnections(dsn string, onReadOnly func()) (*connections, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := checkCaches(config); err != nil {
		return nil, err
	}
	cs := &connections{config: config, onReadOnly: onReadOnly, open: make(map[*connection]struct{}),
		closed: make(chan struct{}, 1)}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	said := config.ValidateConnect
	anyServer := strings.Contains(dsn, "target_session_attrs")
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if said != nil {
			if err := said(ctx, conn); err != nil {
				return err
			}
		}
		return identify(ctx, conn, anyServer)
	}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return cs.track(conn), nil
	}
	closes := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		switch {
		case e.Code == readOnlyState: // a failover: the other connections lead there as well
			cs.onReadOnly()
			return false
		case isStale(e):
			cs.stale.Add(1)
		case e.Code == diskFull:
			cs.onFull()
		}
		return closes(conn, e)
	}
	return cs, nil
}

// serverID is an expression that tells one server from another: after a failover, and after a restart, it is different.
const serverID = "extract(epoch FROM pg_postmaster_start_time())::text"

// identify notes which server a new connection leads to, and refuses one that takes no writes unless any will do.
func identify(ctx context.Context, conn *pgconn.PgConn, anyServer bool) error {
	results, err := conn.Exec(ctx, "SELECT current_setting('transaction_read_only'), "+serverID+", pg_backend_pid()").ReadAll()
	if err != nil {
		return err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return errors.New("the server did not say whether it takes writes")
	}
	row := results[0].Rows[0]
	if string(row[0]) == "on" && !anyServer {
		if string(row[2]) != strconv.FormatUint(uint64(conn.PID()), 10) {
			leavePooled(ctx, conn)
		}
		return ErrReadOnly
	}
	if c := below(conn); c != nil {
		server := string(row[1])
		c.server.Store(&server)
	}
	return nil
}

// leavePooled ends the connection that a pooler holds to a server which takes no writes. The pooler would go on handing
// it out, for an hour as PgBouncer comes, after its address leads to another server.
func leavePooled(ctx context.Context, conn *pgconn.PgConn) {
	_, _ = conn.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid()) "+
		"WHERE current_setting('transaction_read_only') = 'on'").ReadAll() // the answer is that it has ended
}

// below is the connection below TLS.
func below(conn *pgconn.PgConn) *connection {
	c := conn.Conn()
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	mine, _ := c.(*connection)
	return mine
}

func (cs *connections) track(conn net.Conn) *connection {
	c := &connection{Conn: conn, of: cs}
	c.stale.Store(cs.stale.Load())
	cs.mu.Lock()
	cs.open[c] = struct{}{}
	cs.mu.Unlock()
	return c
}

// renew ends the connections to other servers than this one, "" for all, statements that are under way included, and
// returns how many there were. A second call within renewEvery does nothing.
func (cs *connections) renew(now time.Time, except string) int {
	cs.mu.Lock()
	if now.Sub(cs.renewed) < renewEvery {
		cs.mu.Unlock()
		return 0
	}
	cs.renewed = now
	all := make([]*connection, 0, len(cs.open))
	for c := range cs.open {
		if server := c.server.Load(); except == "" || server != nil && *server != except {
			all = append(all, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range all {
		c.ended.Store(true)
		_ = c.Conn.Close() // whoever uses it is told by its next read or write
	}
	return len(all)
}

// db makes a database/sql pool of connections.
func (cs *connections) db() *sql.DB {
	return sql.OpenDB(repeatingConnector{stdlib.GetConnector(*cs.config, stdlib.OptionAfterConnect(registerTypes),
		stdlib.OptionResetSession(resetSession))})
}

// resetSession lets database/sql drop a connection that renew ended, and a connection forget what it has prepared once
// any has met a plan that does not fit its table any more.
func resetSession(ctx context.Context, conn *pgx.Conn) error {
	c := below(conn.PgConn())
	if c == nil {
		return nil
	}
	if c.ended.Load() {
		return driver.ErrBadConn
	}
	if n := c.of.stale.Load(); c.stale.Swap(n) != n {
		if err := conn.DeallocateAll(ctx); err != nil {
			return driver.ErrBadConn
		}
	}
	return nil
}

// repeatingConnector makes connections that repeat what [isStale] says of.
type repeatingConnector struct{ driver.Connector }

// Connect dials.
func (c repeatingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return repeating{conn.(*stdlib.Conn)}, nil
}

// repeating is a connection that makes a statement once more which was refused before it was carried out, because what
// was prepared does not fit or is not there any more: a table was changed under a process that runs. In a transaction
// that is left to InTx.
type repeating struct{ *stdlib.Conn }

func (c repeating) outside() bool { return c.Conn.Conn().PgConn().TxStatus() == 'I' }

// QueryContext reads.
func (c repeating) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	outside := c.outside()
	rows, err := c.Conn.QueryContext(ctx, query, args)
	if outside && isStale(err) {
		return c.Conn.QueryContext(ctx, query, args)
	}
	return rows, err
}

// ExecContext writes.
func (c repeating) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	outside := c.outside()
	result, err := c.Conn.ExecContext(ctx, query, args)
	if outside && isStale(err) {
		return c.Conn.ExecContext(ctx, query, args)
	}
	return result, err
}

// registerTypes tells a connection what our columns are. Where the server is asked for the types of parameters that
// is not needed; with default_query_exec_mode exec and simple_protocol nobody is asked.
func registerTypes(_ context.Context, conn *pgx.Conn) error {
	m := conn.TypeMap()
	register(m, column[textElement]{}, "_text")
	register(m, column[intElement]{}, "_int8")
	register(m, column[int64Element]{}, "_int8")
	register(m, column[bytesElement]{}, "_bytea")
	register(m, column[timeElement]{}, "_timestamptz")
	return nil
}

func register(m *pgtype.Map, value any, name string) { m.RegisterDefaultPgType(value, name) }
