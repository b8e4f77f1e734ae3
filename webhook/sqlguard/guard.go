package sqlguard

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// Schema makes the table. Columns hold Unix milliseconds; token is 0 once the event was handled.
const Schema = `CREATE TABLE IF NOT EXISTS webhook_events (
    id    VARCHAR(64) NOT NULL PRIMARY KEY,
    token BIGINT      NOT NULL,
    ends  BIGINT      NOT NULL
)`

// Placeholders is how a database writes the n-th parameter of a statement, from 1.
type Placeholders func(n int) string

// Dollar is PostgreSQL's way, Question that of MySQL and SQLite.
func Dollar(n int) string { return fmt.Sprintf("$%d", n) }

// Question is the way of MySQL and SQLite.
func Question(int) string { return "?" }

// Options configure a Guard; zero values of the times mean the defaults of [webhook.GuardOptions].
type Options struct {
	DB           *sql.DB
	Placeholders Placeholders  // required
	TTL          time.Duration // how long a handled id is remembered at least
	ClaimTTL     time.Duration // after which an unfinished claim is taken for dead; longer than any handler runs
	Now          func() time.Time
}

// Guard is a [webhook.Guard] over the table of [Schema].
type Guard struct {
	opts                                                 Options
	insert, take, state, finish, commit, release, forget string
}

// New checks the options; the table has to be there.
func New(o Options) (*Guard, error) {
	if o.DB == nil || o.Placeholders == nil {
		return nil, errors.New("sqlguard: DB and Placeholders are needed")
	}
	if o.TTL < 0 || o.ClaimTTL < 0 {
		return nil, errors.New("sqlguard: TTL and ClaimTTL must not be negative")
	}
	if o.TTL == 0 {
		o.TTL = webhook.DefaultGuardTTL
	}
	if o.ClaimTTL == 0 {
		o.ClaimTTL = webhook.DefaultClaimTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := o.Placeholders
	return &Guard{
		opts:   o,
		insert: "INSERT INTO webhook_events (id, token, ends) VALUES (" + p(1) + ", " + p(2) + ", " + p(3) + ")",
		take: "UPDATE webhook_events SET token = " + p(1) + ", ends = " + p(2) + " WHERE id = " + p(3) + " AND ends <= " +
			p(4),
		state:   "SELECT token, ends FROM webhook_events WHERE id = " + p(1),
		finish:  "UPDATE webhook_events SET token = 0, ends = " + p(1) + " WHERE id = " + p(2) + " AND token = " + p(3),
		commit:  "UPDATE webhook_events SET token = 0, ends = " + p(1) + " WHERE id = " + p(2),
		release: "DELETE FROM webhook_events WHERE id = " + p(1) + " AND token = " + p(2),
		forget:  "DELETE FROM webhook_events WHERE ends <= " + p(1),
	}, nil
}

// ErrClaimed is returned by [Guard.Insert] for an id that somebody holds by [Guard.Claim] and may yet fail to handle:
// roll back, and let the event come again.
var ErrClaimed = errors.New("sqlguard: another request is handling the event")

// Insert records an id as handled, as part of the caller's own transaction, and reports whether it was new. With it a
// receiver needs no claims: effect and id are committed together or not at all. Of two transactions that insert one id
// at once, the second fails or waits for the first, as the database does it: roll back on an error, and let the event
// come again.
func (g *Guard) Insert(ctx context.Context, tx *sql.Tx, id string) (bool, error) {
	now := g.opts.Now()
	ends := now.Add(g.opts.TTL).UnixMilli()
	var token, claimedUntil int64
	switch err := tx.QueryRowContext(ctx, g.state, id).Scan(&token, &claimedUntil); {
	case errors.Is(err, sql.ErrNoRows):
		if _, err := tx.ExecContext(ctx, g.insert, id, 0, ends); err != nil {
			return false, fmt.Errorf("sqlguard: insert: %w", err)
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("sqlguard: insert: %w", err)
	case token == 0:
		return false, nil
	case claimedUntil > now.UnixMilli():
		return false, ErrClaimed
	}
	res, err := tx.ExecContext(ctx, g.finish, ends, id, token) // a claim that nobody finished
	if err != nil {
		return false, fmt.Errorf("sqlguard: insert: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, errors.Join(ErrClaimed, err)
	}
	return true, nil
}

// Claim takes id unless it is taken or done.
func (g *Guard) Claim(ctx context.Context, id string) (webhook.Claim, error) {
	now := g.opts.Now()
	token, err := newToken()
	if err != nil {
		return webhook.Claim{}, err
	}
	ends := now.Add(g.opts.ClaimTTL).UnixMilli()
	won := webhook.Claim{ID: id, State: webhook.ClaimWon, Token: uint64(token)}
	_, insertErr := g.opts.DB.ExecContext(ctx, g.insert, id, token, ends)
	if insertErr == nil {
		return won, nil
	}
	// Somebody has the id, or the database failed: the rest tells, without a word about any database's errors.
	res, err := g.opts.DB.ExecContext(ctx, g.take, token, ends, id, now.UnixMilli())
	if err != nil {
		return webhook.Claim{}, fmt.Errorf("sqlguard: claim: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return won, err
	}
	var held, until int64
	switch err := g.opts.DB.QueryRowContext(ctx, g.state, id).Scan(&held, &until); {
	case errors.Is(err, sql.ErrNoRows): // released since: let it come again
		return webhook.Claim{}, fmt.Errorf("sqlguard: claim: %w", insertErr)
	case err != nil:
		return webhook.Claim{}, fmt.Errorf("sqlguard: claim: %w", err)
	case held == 0:
		return webhook.Claim{ID: id, State: webhook.ClaimDone}, nil
	}
	return webhook.Claim{ID: id, State: webhook.ClaimBusy}, nil
}

// Commit records the id as handled.
func (g *Guard) Commit(ctx context.Context, c webhook.Claim) error {
	ends := g.opts.Now().Add(g.opts.TTL).UnixMilli()
	res, err := g.opts.DB.ExecContext(ctx, g.commit, ends, c.ID)
	if err != nil {
		return fmt.Errorf("sqlguard: commit: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	if _, err = g.opts.DB.ExecContext(ctx, g.insert, c.ID, 0, ends); err == nil { // the claim ran out and was dropped
		return nil
	}
	res, again := g.opts.DB.ExecContext(ctx, g.commit, ends, c.ID) // claimed by another since
	if again == nil {
		if n, _ := res.RowsAffected(); n == 1 {
			return nil
		}
	}
	return fmt.Errorf("sqlguard: commit: %w", errors.Join(err, again))
}

// Release gives the id back, unless the claim ran out and it is another's.
func (g *Guard) Release(ctx context.Context, c webhook.Claim) error {
	if c.Token == 0 {
		return nil
	}
	if _, err := g.opts.DB.ExecContext(ctx, g.release, c.ID, int64(c.Token)); err != nil {
		return fmt.Errorf("sqlguard: release: %w", err)
	}
	return nil
}

// Forget drops what is older than TTL, and returns how many ids that were. Call it now and then.
func (g *Guard) Forget(ctx context.Context) (int64, error) {
	res, err := g.opts.DB.ExecContext(ctx, g.forget, g.opts.Now().UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("sqlguard: forget: %w", err)
	}
	return res.RowsAffected()
}

// newToken is a random positive number, never 0.
func newToken() (int64, error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("sqlguard: %w", err)
	}
	return int64(binary.BigEndian.Uint64(raw[:])>>1 | 1), nil
}
