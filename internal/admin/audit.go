package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// MaxAuditLines is the most that [Admin.AuditLog] reads at once.
const MaxAuditLines = 1000

// AuditLine is one line of the audit log.
type AuditLine struct {
	Seq      int64             `json:"seq"`
	At       time.Time         `json:"at"`
	Actor    string            `json:"actor"`
	Action   string            `json:"action"`
	Subject  string            `json:"subject"`
	Merchant string            `json:"merchant_id"`
	Detail   map[string]string `json:"detail"`
	IP       string            `json:"ip"`
	Hash     string            `json:"hash"`
}

// AuditPage is a stretch of the audit log, oldest first.
type AuditPage struct {
	Data []AuditLine `json:"data"`
	// NextFrom is where to read on; null after the last line.
	NextFrom *int64 `json:"next_from"`
}

// AuditVerdict says whether the audit log is whole.
type AuditVerdict struct {
	OK    bool  `json:"ok"`
	Lines int64 `json:"lines"` // good ones, from the first on
	// Head is the last good line, as LINE:HASH, to be kept elsewhere and held against the log later; "" without lines.
	Head    string `json:"head"`
	Problem string `json:"problem,omitempty"`
}

// AuditLog reads up to limit lines from the line with number from on.
func (a *Admin) AuditLog(ctx context.Context, from int64, limit int) (AuditPage, error) {
	if limit < 1 || limit > MaxAuditLines {
		return AuditPage{}, fmt.Errorf("limit must be 1 to %d", MaxAuditLines)
	}
	rows, err := a.store.AuditLog(ctx, from, limit+1)
	if err != nil {
		return AuditPage{}, err
	}
	var page AuditPage
	if len(rows) > limit {
		page.NextFrom = &rows[limit].Seq
		rows = rows[:limit]
	}
	page.Data = convert(rows, func(e models.AuditEntry) AuditLine {
		return AuditLine{e.Seq, e.At.UTC(), e.Actor, e.Action, e.Subject, e.Merchant, e.Detail, e.IP, e.Hash}
	})
	return page, nil
}

// VerifyAudit follows the chain of hashes from the first line to the last. head, when not "", is the Head of an earlier
// verdict, which must still be there. A broken chain is a verdict, not an error.
func (a *Admin) VerifyAudit(ctx context.Context, head string) (AuditVerdict, error) {
	var known store.AuditMark
	if head != "" {
		var err error
		if known, err = store.ParseAuditMark(head); err != nil {
			return AuditVerdict{}, fmt.Errorf("head: %w", err)
		}
	}
	mark, err := a.store.VerifyAuditAgainst(ctx, known)
	v := AuditVerdict{OK: err == nil, Lines: mark.Seq}
	if mark.Seq > 0 {
		v.Head = mark.String()
	}
	if errors.Is(err, store.ErrAudit) {
		v.Problem, err = err.Error(), nil
	}
	return v, err
}
