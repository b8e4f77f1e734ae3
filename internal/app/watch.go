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
)

// watch looks after what nobody asks about until it is too late: secrets that grow old, endpoints that turn our signatures
// away, and an audit log that is not as it was written.
func (a *App) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var mark store.AuditMark
	for {
		n, err := a.deliveries.WarnOfOldSecrets(ctx)
		if n > 0 {
			a.log.InfoContext(ctx, "secrets.expiring", "secrets", n)
		}
		err = errors.Join(err, a.watchRejections(ctx))
		var auditErr error
		mark, auditErr = a.watchAudit(ctx, mark)
		if err = errors.Join(err, auditErr); err != nil && ctx.Err() == nil {
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

// watchAudit follows the audit log from where it was found whole. At its start a process reads all of it.
func (a *App) watchAudit(ctx context.Context, from store.AuditMark) (store.AuditMark, error) {
	mark, err := a.store.FollowAudit(ctx, from)
	broken := errors.Is(err, store.ErrAudit)
	if err == nil || broken {
		a.metrics.AuditBroken(broken)
	}
	if broken {
		a.log.ErrorContext(ctx, "audit.broken", "error", err)
		return mark, nil
	}
	return mark, err
}
