package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// auditLock is the advisory lock that makes the writers of the audit log form one line.
const auditLock = 0x6354726970 // "cTrip"

// Audit appends a line to the audit log, in the transaction of what it tells about. Seq, PrevHash and Hash are filled
// in here. Writers wait for each other until their transactions end, so it is called last.
func (tx *Tx) Audit(ctx context.Context, e models.AuditEntry) error {
	if tx.dialect == Postgres {
		if err := tx.with(ctx).Exec("SELECT pg_advisory_xact_lock(?)", int64(auditLock)).Error; err != nil {
			return wrap("audit lock", err)
		}
	}
	var last []models.AuditEntry
	if err := tx.with(ctx).Select("seq", "hash").Order("seq DESC").Limit(1).Find(&last).Error; err != nil {
		return wrap("audit tail", err)
	}
	e.Seq, e.PrevHash = 1, ""
	if len(last) > 0 {
		e.Seq, e.PrevHash = last[0].Seq+1, last[0].Hash
	}
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.Hash = e.ChainHash()
	return wrap("audit "+e.Action, tx.with(ctx).Create(&e).Error)
}

// AuditLog reads lines of the log from seq on, oldest first.
func (q *Queries) AuditLog(ctx context.Context, from int64, limit int) ([]models.AuditEntry, error) {
	var lines []models.AuditEntry
	err := q.with(ctx).Where("seq >= ?", from).Order("seq").Limit(limit).Find(&lines).Error
	return lines, wrap("audit log", err)
}

// VerifyAudit reads the whole log and returns how many lines it has. The error names the first line that is missing,
// changed or out of its place.
func (q *Queries) VerifyAudit(ctx context.Context) (int64, error) {
	var n int64
	prev := ""
	for {
		lines, err := q.AuditLog(ctx, n+1, chunk)
		if err != nil {
			return n, err
		}
		for _, e := range lines {
			switch {
			case e.Seq != n+1:
				return n, fmt.Errorf("store: audit log: line %d is missing", n+1)
			case e.PrevHash != prev:
				return n, fmt.Errorf("store: audit log: line %d does not follow the line before it", e.Seq)
			case e.Hash != e.ChainHash():
				return n, fmt.Errorf("store: audit log: line %d was changed", e.Seq)
			}
			n, prev = e.Seq, e.Hash
		}
		if len(lines) < chunk {
			return n, nil
		}
	}
}
