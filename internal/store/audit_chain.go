package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// chainAtOnce is how many lines are chained in one transaction.
	chainAtOnce = 1000
	// chainDelay is how long a line waits for others to be chained with, chainInterval how often a process looks for
	// lines that others left.
	chainDelay    = 20 * time.Millisecond
	chainInterval = 5 * time.Second
)

// auditLine is a line of the audit log that is not in the chain of hashes yet.
type auditLine struct {
	ID       int64 `gorm:"primaryKey"`
	At       time.Time
	Actor    string
	Action   string
	Subject  string
	Merchant string
	Detail   map[string]string `gorm:"serializer:json"`
	IP       string            `gorm:"column:ip"`
}

// TableName is that of the lines that wait.
func (auditLine) TableName() string { return "audit_entries" }

// RunAudit chains the lines that this process writes a moment after they were committed, and from time to time those
// that others left, until ctx ends. Several processes may do that at once; one of them does it at a time.
func (s *Store) RunAudit(ctx context.Context) error {
	tick := time.NewTicker(chainInterval)
	defer tick.Stop()
	for {
		if _, err := s.ChainAudit(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "audit.not_chained", "error", err)
			select { // a database that is away is not asked for every line
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.chainWake:
			time.Sleep(chainDelay)
		}
	}
}

// ChainAudit gives every line that was committed its place in the chain of hashes and returns how many that were. Lines
// of one transaction keep their order.
func (s *Store) ChainAudit(ctx context.Context) (chained int, err error) {
	for {
		if waits, err := s.auditWaits(ctx); err != nil || !waits {
			return chained, err
		}
		n := 0
		err := s.InTx(ctx, func(tx *Tx) (err error) {
			n, err = tx.chainAudit(ctx)
			return err
		})
		if err != nil {
			return chained, err
		}
		chained += n
	}
}

// auditWaits reports whether a line is not chained yet.
func (q *Queries) auditWaits(ctx context.Context) (bool, error) {
	var waits bool
	err := q.with(ctx).Raw("SELECT EXISTS (SELECT 1 FROM audit_entries)").Scan(&waits).Error
	return waits, wrap("audit entries", err)
}

// chainAudit moves the oldest lines that wait into the log. The lock is held until the transaction ends.
func (tx *Tx) chainAudit(ctx context.Context) (int, error) {
	if tx.dialect == Postgres {
		if err := tx.with(ctx).Exec("SELECT pg_advisory_xact_lock(?)", int64(auditLock)).Error; err != nil {
			return 0, wrap("audit lock", err)
		}
	}
	var entries []auditLine
	if err := tx.with(ctx).Order("id").Limit(chainAtOnce).Find(&entries).Error; err != nil || len(entries) == 0 {
		return 0, wrap("audit entries", err)
	}
	var tail []models.AuditEntry
	if err := tx.with(ctx).Select("seq", "hash").Order("seq DESC").Limit(1).Find(&tail).Error; err != nil {
		return 0, wrap("audit tail", err)
	}
	var last models.AuditEntry
	if len(tail) > 0 {
		last = tail[0]
	}
	lines, ids := make([]models.AuditEntry, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
		last = models.AuditEntry{Seq: last.Seq + 1, At: e.At.UTC(), Actor: e.Actor, Action: e.Action, Subject: e.Subject,
			Merchant: e.Merchant, Detail: e.Detail, IP: e.IP, PrevHash: last.Hash}
		last.Hash = last.ChainHash()
		lines[i] = last
	}
	if err := tx.with(ctx).CreateInBatches(lines, chunk).Error; err != nil {
		return 0, wrap("audit log", err)
	}
	gone := tx.with(ctx).Where("id IN ?", ids).Delete(&auditLine{})
	if gone.Error == nil && gone.RowsAffected != int64(len(ids)) {
		return 0, fmt.Errorf("store: audit entries: %d of %d were there", gone.RowsAffected, len(ids))
	}
	return len(ids), wrap("audit entries", gone.Error)
}

// wakeChain tells RunAudit of this process that there is a line.
func (s *Store) wakeChain() {
	select {
	case s.chainWake <- struct{}{}:
	default:
	}
}
