package app

import (
	"context"
	"errors"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	// watchEvery is how often a worker looks for what an operator or a merchant should hear of.
	watchEvery = time.Minute
	// rejectingSince is how far back answers of 401 and 403 are counted.
	rejectingSince = 10 * time.Minute
	// rejectingMost is how many endpoints are named in the log.
	rejectingMost = 100
	// auditWholeEvery is how often a worker reads all of the audit log again, and not only what was added to it.
	auditWholeEvery = 6 * time.Hour
)

// watch looks after what nobody asks about until it is too late: secrets that grow old, endpoints that turn our signatures
// away, and an audit log that is not as it was written.
func (a *App) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var audit auditWatch
	for {
		n, err := a.deliveries.WarnOfOldSecrets(ctx)
		if n > 0 {
			a.log.InfoContext(ctx, "secrets.expiring", "secrets", n)
		}
		err = errors.Join(err, a.watchRejections(ctx))
		if err = errors.Join(err, a.watchAudit(ctx, &audit, time.Now())); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "watch.failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchRejections names the endpoints that answer 401 or 403: a secret that does not match, or somebody in between.
func (a *App) watchRejections(ctx context.Context) error {
	rows, err := a.store.RejectingEndpoints(ctx, time.Now().Add(-rejectingSince), rejectingMost)
	if err != nil {
		return err
	}
	a.metrics.RejectingEndpoints(len(rows))
	for _, r := range rows {
		a.log.WarnContext(ctx, "endpoint.rejects", "endpoint_id", r.EndpointID, "merchant_id", r.MerchantID, "attempts", r.Attempts)
	}
	return nil
}

// auditWatch is what a process knows of the audit log.
type auditWatch struct {
	mark  store.AuditMark // the last line that it found good
	whole time.Time       // when it last read all of them
}

// watchAudit follows the audit log from where it was found whole, and now and then reads all of it. Where it got to goes into
// the log, out of reach of whoever has the database.
func (a *App) watchAudit(ctx context.Context, w *auditWatch, now time.Time) error {
	var mark store.AuditMark
	var err error
	if now.Sub(w.whole) >= auditWholeEvery {
		if mark, err = a.store.VerifyAuditAgainst(ctx, w.mark); err == nil {
			w.whole = now
		}
	} else {
		mark, err = a.store.FollowAudit(ctx, w.mark)
	}
	switch {
	case errors.Is(err, store.ErrAudit):
		a.metrics.AuditBroken(true)
		a.log.ErrorContext(ctx, "audit.broken", "error", err)
		return nil // the mark stays: what was known goes on being missed
	case err != nil:
		return err
	}
	a.metrics.AuditBroken(false)
	if mark != w.mark {
		a.log.InfoContext(ctx, "audit.followed", "head", mark.String())
	}
	w.mark = mark
	return nil
}
