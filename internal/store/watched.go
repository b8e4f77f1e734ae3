package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Watched is an address that a scanner has to look for.
type Watched struct {
	Address   string
	PaymentID string
}

// WatchMark remembers how much of the watch set a scanner has read: in Postgres the snapshot at the time and whose it
// is, in SQLite the next row id.
type WatchMark struct{ value, database string }

// WatchSet reads the addresses of payments that were committed since mark, and the mark for next time; with the zero
// mark it reads all that are still watched at blockTime. In Postgres those are the payments of transactions that were
// running at the mark, and of those that began since: however long a transaction runs, and in whatever order
// they commit, each payment is read once. Payments of a restored dump have transactions of another cluster, which lie
// ahead of this one's and are cut off. A mark of another database reads everything.
func (q *Queries) WatchSet(ctx context.Context, mark WatchMark, blockTime time.Time) ([]Watched, WatchMark, error) {
	// The mark is read first: what commits between the two statements is then read twice, not lost.
	next, err := q.watchMark(ctx)
	if err != nil {
		return nil, mark, wrap("watch mark", err)
	}
	db := q.with(ctx).Table("payments").Select("address", "id AS payment_id")
	if since, ok := q.since(db, mark, next); ok {
		db = since
	} else {
		db = db.Where("watch_until IS NULL OR watch_until >= ?", blockTime)
	}
	var rows []Watched
	if err := db.Find(&rows).Error; err != nil {
		return nil, mark, wrap("watch set", err)
	}
	return rows, next, nil
}

func (q *Queries) watchMark(ctx context.Context) (WatchMark, error) {
	query := "SELECT pg_current_snapshot()::text AS value, cluster || '/' || timeline || '/' || place AS database " +
		"FROM current_identity()"
	if q.dialect == SQLite {
		query = "SELECT CAST(COALESCE(max(rowid), 0) + 1 AS TEXT) AS value, 'sqlite' AS database FROM payments"
	}
	var row struct{ Value, Database string }
	err := q.with(ctx).Raw(query).Scan(&row).Error
	return WatchMark{row.Value, row.Database}, err
}

// since narrows payments to those between two marks; false when everything has to be read.
func (q *Queries) since(db *gorm.DB, mark, next WatchMark) (*gorm.DB, bool) {
	if mark.value == "" || mark.database != next.database {
		return nil, false
	}
	if q.dialect == SQLite {
		return db.Where("rowid >= CAST(? AS INTEGER)", mark.value), true
	}
	before, now := strings.Split(mark.value, ":"), strings.Split(next.value, ":") // xmin:xmax:those that run
	if len(before) != 3 || len(now) != 3 || older(now[1], before[1]) {
		return nil, false
	}
	return db.Where("xact = ANY (CAST(? AS text)::xid8[]) OR "+
		"xact >= CAST(? AS text)::xid8 AND xact < CAST(? AS text)::xid8",
		"{"+before[2]+"}", before[1], now[1]), true
}

// older reports whether transaction a comes before b; of what is no number nothing is known: everything is read then.
func older(a, b string) bool {
	x, err := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	return err != nil || err2 != nil || x < y
}
