package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// auditLock is the advisory lock of whoever chains lines of the audit log, also of binaries of before that append
// chained lines themselves.
const auditLock = 0x6354726970 // "cTrip"

// Audit writes a line of the audit log in the transaction of what it tells about. Seq, PrevHash and Hash are filled in
// when the line is chained, after the commit: writers do not wait for each other.
func (tx *Tx) Audit(ctx context.Context, e models.AuditEntry) error {
	return tx.AuditAll(ctx, []models.AuditEntry{e})
}

// AuditAll is [Tx.Audit] for several lines.
func (tx *Tx) AuditAll(ctx context.Context, lines []models.AuditEntry) error {
	if len(lines) == 0 {
		return nil
	}
	entries := make([]auditLine, len(lines))
	for i, e := range lines {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		entries[i] = auditLine{At: e.At.UTC().Truncate(time.Microsecond), Actor: e.Actor, Action: e.Action,
			Subject: e.Subject, Merchant: e.Merchant, Detail: e.Detail, IP: e.IP}
	}
	if !tx.audited {
		tx.audited = true
		tx.AfterCommit(tx.wakeChain)
	}
	return wrap("audit "+lines[0].Action, tx.with(ctx).CreateInBatches(entries, chunk).Error)
}

// ErrAudit says that the audit log is not as it was written.
var ErrAudit = errors.New("store: the audit log is broken")

// AuditMark is how far the log was found whole: the last line and its hash. The zero mark is before the first line.
type AuditMark struct {
	Seq  int64
	Hash string
}

// String is the mark as [ParseAuditMark] reads it: 42:9f86d0…
func (m AuditMark) String() string { return strconv.FormatInt(m.Seq, 10) + ":" + m.Hash }

var auditMark = regexp.MustCompile(`^([1-9][0-9]{0,17}):([0-9a-f]{64})$`)

// ParseAuditMark reads LINE:HASH.
func ParseAuditMark(s string) (AuditMark, error) {
	parts := auditMark.FindStringSubmatch(s)
	if parts == nil {
		return AuditMark{}, errors.New("want the number of a line of the audit log, a colon and the line's hash")
	}
	seq, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return AuditMark{}, fmt.Errorf("store: audit mark: %w", err)
	}
	return AuditMark{seq, parts[2]}, nil
}

// AuditLog reads lines of the log from seq on, oldest first, those that were not chained yet included.
func (s *Store) AuditLog(ctx context.Context, from int64, limit int) ([]models.AuditEntry, error) {
	if _, err := s.ChainAudit(ctx); err != nil {
		return nil, err
	}
	return s.auditLog(ctx, from, limit)
}

func (q *Queries) auditLog(ctx context.Context, from int64, limit int) ([]models.AuditEntry, error) {
	var lines []models.AuditEntry
	err := q.with(ctx).Where("seq >= ?", from).Order("seq").Limit(limit).Find(&lines).Error
	return lines, wrap("audit log", err)
}

// VerifyAudit reads the whole log and returns how many lines it has. [ErrAudit] is in the error when a line is missing,
// changed or out of its place; it names the first.
func (s *Store) VerifyAudit(ctx context.Context) (int64, error) {
	mark, err := s.VerifyAuditAgainst(ctx, AuditMark{})
	return mark.Seq, err
}

// VerifyAuditAgainst reads the whole log, holds it against a mark that was taken before, and returns the mark of the
// last good line. Without a mark nobody can see that lines were cut off the end, or that all were hashed anew.
func (s *Store) VerifyAuditAgainst(ctx context.Context, known AuditMark) (AuditMark, error) {
	mark, err := s.FollowAudit(ctx, AuditMark{})
	if err != nil {
		return mark, err
	}
	_, err = s.FollowAudit(ctx, known)
	return mark, err
}

// FollowAudit reads the log from a mark on, the line of the mark included, and returns the mark of its last good line.
// The error is that of [Store.VerifyAudit]. What waits to be chained is chained first.
func (s *Store) FollowAudit(ctx context.Context, mark AuditMark) (AuditMark, error) {
	if _, err := s.ChainAudit(ctx); err != nil {
		return mark, err
	}
	return s.followAudit(ctx, mark)
}

func (q *Queries) followAudit(ctx context.Context, mark AuditMark) (AuditMark, error) {
	if mark.Seq > 0 {
		lines, err := q.auditLog(ctx, mark.Seq, 1)
		if err != nil {
			return mark, err
		}
		if len(lines) == 0 || lines[0].Seq != mark.Seq || lines[0].Hash != mark.Hash || lines[0].ChainHash() != mark.Hash {
			return mark, fmt.Errorf("%w: line %d, which was there, is gone or was changed", ErrAudit, mark.Seq)
		}
	}
	from := mark.Seq + 1
	if mark.Seq == 0 {
		from = math.MinInt64 // nobody writes a line before the first
	}
	for {
		lines, err := q.auditLog(ctx, from, chunk)
		if err != nil {
			return mark, err
		}
		for _, e := range lines {
			switch {
			case e.Seq <= mark.Seq:
				return mark, fmt.Errorf("%w: line %d was put before the first", ErrAudit, e.Seq)
			case e.Seq != mark.Seq+1:
				return mark, fmt.Errorf("%w: line %d is missing", ErrAudit, mark.Seq+1)
			case e.PrevHash != mark.Hash:
				return mark, fmt.Errorf("%w: line %d does not follow the line before it", ErrAudit, e.Seq)
			case e.Hash != e.ChainHash():
				return mark, fmt.Errorf("%w: line %d was changed", ErrAudit, e.Seq)
			}
			mark = AuditMark{e.Seq, e.Hash}
		}
		from = mark.Seq + 1
		if len(lines) < chunk {
			return mark, nil
		}
	}
}

// AuditFilter says which lines of a merchant somebody may read: what one of the actors did, and what has one of the
// prefixes.
type AuditFilter struct {
	Actors   []string
	Prefixes []string // of actions
	// TestKeys keeps to what test keys of the merchant did.
	TestKeys bool
	Before   int64 // lines before this one; 0 begins with the newest
	Limit    int
	Look     int // at most so many lines of the merchant, whether somebody may read them or not
}

// MerchantAudit reads lines of the audit log about a merchant, the newest first, with those that wait to be chained.
// When there are lines that it did not look at, older is the Before to go on with.
func (s *Store) MerchantAudit(ctx context.Context, merchantID string,
	f AuditFilter) (lines []models.AuditEntry, older int64, err error) {
	if _, err := s.ChainAudit(ctx); err != nil {
		return nil, 0, err
	}
	about := func() *gorm.DB {
		db := s.with(ctx).Where("merchant = ?", merchantID)
		if f.Before > 0 {
			db = db.Where("seq < ?", f.Before)
		}
		return db
	}
	var beyond []int64
	err = about().Model(&models.AuditEntry{}).Order("seq DESC").Offset(f.Look).Limit(1).Pluck("seq", &beyond).Error
	if err != nil {
		return nil, 0, wrap("audit log of "+merchantID, err)
	}
	db := about()
	if len(beyond) > 0 {
		db, older = db.Where("seq > ?", beyond[0]), beyond[0]+1
	}
	allowed := s.with(ctx).Where("actor IN ?", append([]string{""}, f.Actors...))
	for _, prefix := range f.Prefixes {
		allowed = allowed.Or("action LIKE ?", prefix+"%")
	}
	db = db.Where(allowed)
	if f.TestKeys {
		db = db.Where("actor IN (SELECT 'key:' || id FROM api_keys WHERE merchant_id = ? AND test)", merchantID)
	}
	err = db.Order("seq DESC").Limit(f.Limit).Find(&lines).Error
	return lines, older, wrap("audit log of "+merchantID, err)
}
