package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// A database that was restored from a dump, or a standby that became the primary, may know less than its processes did:
// addresses, positions and sequences that were given out may be ahead of its counters. Which database it is, is written
// into it, and whoever finds another one moves the counters on before they give anything out.

const (
	// addressJump is how far every counter of addresses moves when what was given out is not known for certain.
	addressJump = 10_000
	// positionJump is the same for positions and the sequence of events.
	positionJump = 1_000_000
	// sequenceJump is the same for the events of a payment that can still change.
	sequenceJump = 1_000
	// branchStep is how far the branch of an account key moves when nobody says where to.
	branchStep = 1_000
	// identityEvery is how often a running process looks whether its database is still the same.
	identityEvery = 10 * time.Second
	// maxIndex is where the indexes of a branch end, and the branches of an account.
	maxIndex = 1 << 31
)

// ErrRestoreUnfinished says that the database was restored from a dump and nobody has prepared it yet.
var ErrRestoreUnfinished = errors.New("the database was restored from a backup: an operator runs `ctripctl restore prepare`")

// ErrNotRestored says that there is nothing to prepare.
var ErrNotRestored = errors.New("the database is the one that it was: there is nothing to prepare")

// Changes of a database's identity.
const (
	ChangeRestored = "restored" // another cluster, database or table: a dump was loaded
	ChangePromoted = "promoted" // the same cluster on another timeline: a failover, or a restore to a point in time
	ChangeBehind   = "behind"   // a counter of addresses is behind what was given out
)

// Identity is which database this is, as it is written in it.
type Identity struct {
	ID         int `gorm:"primaryKey"`
	Cluster    string
	Timeline   string
	OIDs       string `gorm:"column:place"` // ids of the database and of a table
	AdoptedAt  time.Time
	ChangedAt  *time.Time // when it was last found to be another one
	Change     string     // what had happened
	Unfinished bool       // restored, and not prepared yet
	PreparedAt *time.Time
}

// TableName is the one row's table.
func (Identity) TableName() string { return "database_identity" }

// differs tells what happened to a database that was stored and is now current; what a server does not tell is empty.
func (i Identity) differs(current Identity) string {
	other := func(a, b string) bool { return a != "" && b != "" && a != b }
	switch {
	case other(i.Cluster, current.Cluster), other(i.OIDs, current.OIDs):
		return ChangeRestored
	case other(i.Timeline, current.Timeline):
		return ChangePromoted
	}
	return ""
}

// differing is differs in SQL, and whether a restore is unfinished.
const differing = `SELECT 1 FROM database_identity i, current_identity() c WHERE i.unfinished
	OR i.cluster <> c.cluster AND i.cluster <> '' AND c.cluster <> '' OR i.place <> c.place
	OR i.timeline <> c.timeline AND i.timeline <> '' AND c.timeline <> ''`

// behind are the account keys whose counter is behind the table of addresses.
const behind = `SELECT k.id FROM account_keys k WHERE k.next_index <=
	(SELECT max(a.address_index) FROM addresses a WHERE a.account_key_id = k.id)`

// Identity reads which database this is; [models.ErrNotFound] before any process ran on it.
func (q *Queries) Identity(ctx context.Context) (Identity, error) {
	var i Identity
	return i, one("identity", q.with(ctx).Where("id = 1").Take(&i).Error)
}

func (q *Queries) currentIdentity(ctx context.Context) (Identity, error) {
	if q.dialect == SQLite {
		return Identity{Cluster: "sqlite"}, nil // a file is its own
	}
	var i Identity
	err := q.with(ctx).Raw("SELECT cluster, timeline, place FROM current_identity()").Scan(&i).Error
	return i, wrap("current identity", err)
}

// IdentityChange tells, without changing anything, what happened to the database since a process last looked; "" when
// nothing did.
func (q *Queries) IdentityChange(ctx context.Context) (string, error) {
	current, err := q.currentIdentity(ctx)
	if err != nil {
		return "", err
	}
	stored, err := q.Identity(ctx)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return q.firstChange(ctx)
	case err != nil:
		return "", err
	}
	if change := stored.differs(current); change != "" {
		return change, nil
	}
	var keys []string
	if err := q.with(ctx).Raw(behind).Scan(&keys).Error; err != nil || len(keys) == 0 {
		return "", wrap("counters behind", err)
	}
	return ChangeBehind, nil
}

// firstChange judges a database whose identity was never written: payments of transactions that this cluster has not
// had yet came with a dump.
func (q *Queries) firstChange(ctx context.Context) (string, error) {
	if q.dialect == SQLite {
		return "", nil
	}
	var ahead bool
	err := q.with(ctx).Raw("SELECT EXISTS (SELECT 1 FROM payments WHERE xact >= pg_snapshot_xmax(pg_current_snapshot()))").
		Scan(&ahead).Error
	if err != nil || !ahead {
		return "", wrap("transactions of another cluster", err)
	}
	return ChangeRestored, nil
}

// AdoptIdentity writes down which database this is. When it is not the one that it was, or a counter is behind what was
// given out, every counter of addresses moves on by 10,000 first, and positions and sequences with it; the audit log
// has it. A restored one stays unfinished until [Store.PrepareRestore]. It returns what had happened, "" for nothing.
func (s *Store) AdoptIdentity(ctx context.Context, now time.Time) (string, error) {
	change, err := s.IdentityChange(ctx)
	if err != nil {
		return "", err
	}
	stored, err := s.Identity(ctx)
	if err == nil && change == "" {
		s.unfinished.Store(stored.Unfinished)
		return "", nil
	} else if err != nil && !errors.Is(err, models.ErrNotFound) {
		return "", err
	}
	err = s.InTx(ctx, func(tx *Tx) error {
		var err error
		change, err = tx.adopt(ctx, now)
		return err
	})
	if err != nil {
		return "", err
	}
	stored, err = s.Identity(ctx)
	s.unfinished.Store(stored.Unfinished)
	return change, err
}

func (tx *Tx) adopt(ctx context.Context, now time.Time) (string, error) {
	if tx.dialect == Postgres { // one at a time
		if err := tx.with(ctx).Exec("LOCK TABLE database_identity IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
			return "", wrap("lock identity", err)
		}
	}
	change, err := tx.IdentityChange(ctx)
	if err != nil {
		return "", err
	}
	current, err := tx.currentIdentity(ctx)
	if err != nil {
		return "", err
	}
	stored, err := tx.Identity(ctx)
	fresh := errors.Is(err, models.ErrNotFound)
	if err != nil && !fresh {
		return "", err
	}
	before := stored
	stored.ID, stored.Cluster, stored.Timeline, stored.OIDs = 1, current.Cluster, current.Timeline, current.OIDs
	if fresh {
		stored.AdoptedAt = now
	}
	if change != "" {
		stored.AdoptedAt, stored.ChangedAt, stored.Change = now, &now, change
		stored.Unfinished = stored.Unfinished || change == ChangeRestored
		if err := tx.moveOn(ctx, change, before, current, now); err != nil {
			return "", err
		}
	}
	return change, wrap("adopt identity", tx.with(ctx).Save(&stored).Error)
}

// moveOn takes every counter past what may have been given out.
func (tx *Tx) moveOn(ctx context.Context, change string, before, current Identity, now time.Time) error {
	if err := tx.jumpCounters(ctx); err != nil {
		return err
	}
	if change != ChangeBehind {
		if err := tx.with(ctx).Exec("UPDATE event_heads SET last = last + ?", positionJump).Error; err != nil {
			return wrap("move positions on", err)
		}
		if err := tx.with(ctx).Exec("SELECT setval(pg_get_serial_sequence('events', 'seq'), "+
			"nextval(pg_get_serial_sequence('events', 'seq')) + ?)", positionJump).Error; err != nil {
			return wrap("move the sequence of events on", err)
		}
	}
	return tx.Audit(ctx, models.AuditEntry{At: now, Actor: "gateway", Action: "database.changed", Subject: "database",
		Detail: map[string]string{"change": change, "address_counters_moved_by": strconv.Itoa(addressJump),
			"before": before.Cluster + "/" + before.Timeline + "/" + before.OIDs,
			"now":    current.Cluster + "/" + current.Timeline + "/" + current.OIDs}})
}

// jumpCounters moves every counter of addresses on, from what the table of addresses knows at least.
func (tx *Tx) jumpCounters(ctx context.Context) error {
	least, most := "LEAST", "GREATEST"
	if tx.dialect == SQLite {
		least, most = "MIN", "MAX"
	}
	return wrap("move counters on", tx.with(ctx).Exec(`UPDATE account_keys SET next_index = `+least+`(CAST(? AS BIGINT), ? + `+most+
		`(next_index, COALESCE((SELECT max(a.address_index) + 1 FROM addresses a WHERE a.account_key_id = account_keys.id), 0)))`,
		maxIndex, addressJump).Error)
}

// CounterBehind is called by a process that was given an index before which the counter of an account key gives out
// now: all counters move on, this one from that index at least.
func (s *Store) CounterBehind(ctx context.Context, accountKeyID string, seen uint32, now time.Time) error {
	return s.InTx(ctx, func(tx *Tx) error {
		err := tx.with(ctx).Exec("UPDATE account_keys SET next_index = ? WHERE id = ? AND next_index < ?", seen, accountKeyID,
			seen).Error
		if err != nil {
			return wrap("counter behind", err)
		}
		if err := tx.jumpCounters(ctx); err != nil {
			return err
		}
		return tx.Audit(ctx, models.AuditEntry{At: now, Actor: "gateway", Action: "database.changed", Subject: "database",
			Detail: map[string]string{"change": ChangeBehind, "address_counters_moved_by": strconv.Itoa(addressJump),
				"account_key": accountKeyID, "seen": strconv.FormatUint(uint64(seen), 10)}})
	})
}

// RestoreUnfinished reports whether a restored database waits for an operator, as this process last saw it.
func (s *Store) RestoreUnfinished() bool { return s.unfinished.Load() }

// RunIdentity looks every few seconds whether the database is still the one that it was, until ctx ends.
func (s *Store) RunIdentity(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(identityEvery):
		}
		change, err := s.AdoptIdentity(ctx, time.Now().UTC().Truncate(time.Microsecond))
		switch {
		case err != nil && ctx.Err() == nil && !IsUnavailable(err):
			s.log.WarnContext(ctx, "database.identity_failed", "error", err)
		case change != "":
			s.log.WarnContext(ctx, "database.changed", "change", change, "address_counters_moved_by", addressJump)
		}
	}
}

// RestoreFacts are what a restored database holds, and what may follow from it.
type RestoreFacts struct {
	Change       string     `json:"change"`         // of a database that nobody has looked at yet
	Unfinished   bool       `json:"unfinished"`     // POST /payments is refused
	NewestEvent  *time.Time `json:"newest_event"`   // about how old the dump is
	OpenPayments int64      `json:"open_payments"`  // that wait for money or finality
	Waiting      int64      `json:"waiting"`        // deliveries that will be sent, some of them again
	Keys         int64      `json:"account_keys"`   // whose counters and branches are concerned
	LowestBranch int64      `json:"lowest_branch"`  // of an account key
	HighestIndex int64      `json:"highest_index"`  // that a counter of addresses has reached
	AuditLines   int64      `json:"audit_log_line"` // the newest line, to compare with what was kept elsewhere
}

// RestoreFacts reads them and changes nothing.
func (q *Queries) RestoreFacts(ctx context.Context) (RestoreFacts, error) {
	var f RestoreFacts
	change, err := q.IdentityChange(ctx)
	if err != nil {
		return f, err
	}
	err = q.with(ctx).Raw(`SELECT (SELECT count(*) FROM payments WHERE status IN ('pending', 'detected')) AS open_payments,
		(SELECT count(*) FROM deliveries WHERE state = 'pending') AS waiting,
		(SELECT count(*) FROM account_keys) AS keys,
		(SELECT COALESCE(min(branch), 0) FROM account_keys) AS lowest_branch,
		(SELECT COALESCE(max(next_index), 0) FROM account_keys) AS highest_index,
		(SELECT COALESCE(max(seq), 0) FROM audit_log) AS audit_lines`).Scan(&f).Error
	if err != nil {
		return f, wrap("facts of a restore", err)
	}
	var newest []models.Event
	if err := q.with(ctx).Select("created_at").Order("id DESC").Limit(1).Find(&newest).Error; err != nil {
		return f, wrap("newest event", err)
	}
	if len(newest) > 0 {
		at := newest[0].CreatedAt.UTC()
		f.NewestEvent = &at
	}
	stored, err := q.Identity(ctx)
	if err != nil && !errors.Is(err, models.ErrNotFound) {
		return f, err
	}
	f.Change, f.Unfinished = change, stored.Unfinished || change == ChangeRestored
	return f, nil
}

// Preparation says how a restored database is made ready.
type Preparation struct {
	// Branch is where account keys derive addresses from now on; nil moves each by 1,000.
	Branch *uint32
	// SameBranch leaves branches as they are: the counters have moved on all the same.
	SameBranch bool
	// Complete says that nothing was written after the dump was taken: branches and sequences stay.
	Complete bool
}

// PrepareRestore makes a restored database ready for new payments. Its caller writes the line of the audit log. It is
// [ErrNotRestored] when the database is prepared, or was never restored.
func (tx *Tx) PrepareRestore(ctx context.Context, p Preparation, now time.Time) error {
	if _, err := tx.adopt(ctx, now); err != nil {
		return err
	}
	stored, err := tx.Identity(ctx)
	if err != nil {
		return err
	}
	if !stored.Unfinished {
		return ErrNotRestored
	}
	if !p.Complete {
		if err := tx.prepareCounters(ctx, p, now); err != nil {
			return err
		}
	}
	stored.Unfinished, stored.PreparedAt = false, &now
	return wrap("prepare", tx.with(ctx).Save(&stored).Error)
}

func (tx *Tx) prepareCounters(ctx context.Context, p Preparation, now time.Time) error {
	if !p.SameBranch {
		branch, value := "branch + ?", uint32(branchStep)
		if p.Branch != nil {
			branch, value = "?", *p.Branch
		}
		var beyond int64
		if err := tx.with(ctx).Raw("SELECT count(*) FROM account_keys WHERE "+branch+" >= ?", value, maxIndex).
			Scan(&beyond).Error; err != nil {
			return wrap("branches", err)
		}
		if beyond > 0 {
			return fmt.Errorf("store: prepare: a branch of 2^31 or more does not exist: %w", models.ErrConflict)
		}
		if err := tx.with(ctx).Exec("UPDATE account_keys SET branch = "+branch, value).Error; err != nil {
			return wrap("move branches on", err)
		}
	}
	// Whatever can still announce something; what it announced after the dump is not known here.
	return wrap("move sequences on", tx.with(ctx).Exec("UPDATE payments SET sequence = sequence + ?, updated_at = ? WHERE "+
		"status IN ('pending', 'detected') OR watch_until IS NULL OR watch_until >= ?", sequenceJump, now, now).Error)
}
