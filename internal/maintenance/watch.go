package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// defaultWatch is the time between two looks.
	defaultWatch = time.Minute
	// rejectingSince is how far back answers of 401 and 403 are counted.
	rejectingSince = 10 * time.Minute
	// UnannouncedAfter is how long the webhook of a confirmed payment may reach no endpoint before it counts, and
	// UnannouncedFor how far back payments are looked at.
	UnannouncedAfter, UnannouncedFor = time.Hour, 7 * 24 * time.Hour
	// mostQuarantined is up to how many payments in quarantine are counted.
	mostQuarantined = 1000
	// maxRejecting is how many rejecting endpoints are named in the log.
	maxRejecting = 100
	// auditWholeEvery is how often all of the audit log is read again, and not only what was added to it.
	auditWholeEvery = 6 * time.Hour
	// warnAhead is how long before a secret is too old its merchant is told, at most a quarter of the greatest age.
	warnAhead = 14 * 24 * time.Hour
	// warnBatch is how many secrets are read at a time.
	warnBatch = 100
)

// WatchOptions are what a Watch needs.
type WatchOptions struct {
	Store     *store.Store
	Endpoints *endpoints.Service
	// SecretMaxAge is the age at which a secret is too old; 0 is never.
	SecretMaxAge time.Duration
	// Every is the time between two looks; 0 means a minute.
	Every   time.Duration
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Watch looks for what nobody asks about until it is too late: secrets that grow old, endpoints that reject our
// signatures, payments that nobody was told of, dead letters, and an audit log that is not as it was written.
type Watch struct {
	opts WatchOptions

	auditMark  store.AuditMark // the last line of the audit log that was found good
	auditWhole time.Time       // when all of it was last read
}

// NewWatch checks the options and returns a Watch.
func NewWatch(o WatchOptions) (*Watch, error) {
	if o.Store == nil || o.Endpoints == nil || o.Logger == nil || o.Now == nil || o.SecretMaxAge < 0 {
		return nil,
			errors.New("maintenance: Store, Endpoints, Logger, Now and a SecretMaxAge that is not negative are needed")
	}
	if o.Every == 0 {
		o.Every = defaultWatch
	}
	return &Watch{opts: o}, nil
}

// Run looks again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	for {
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.opts.Logger.WarnContext(ctx, "watch.failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Look looks once at everything. What fails does not keep the rest from being looked at.
func (w *Watch) Look(ctx context.Context) error {
	now := models.Now(w.opts.Now)
	n, err := w.warnOfOldSecrets(ctx, now)
	if n > 0 {
		w.opts.Logger.InfoContext(ctx, "secrets.expiring", "secrets", n)
	}
	return errors.Join(err, w.reportRejections(ctx, now), w.measure(ctx, now), w.followAudit(ctx, now))
}

// measure counts what waits for a person: dead letters, confirmed payments that no endpoint has heard of, payments that
// are set aside; and it tells how old the oldest secret is.
func (w *Watch) measure(ctx context.Context, now time.Time) error {
	dead, err := w.opts.Store.DeadLetters(ctx)
	if err == nil {
		w.opts.Metrics.DeadLetters(dead)
	}
	silent, e := w.opts.Store.Unannounced(ctx, now.Add(-UnannouncedFor), now.Add(-UnannouncedAfter))
	if e == nil {
		w.opts.Metrics.Unannounced(silent)
	}
	err = errors.Join(err, e)
	aside, e := w.opts.Store.Quarantined(ctx, now, mostQuarantined)
	if e == nil {
		w.opts.Metrics.InQuarantine(len(aside))
	}
	err = errors.Join(err, e)
	oldest, e := w.opts.Store.OldestSecret(ctx)
	switch {
	case e != nil:
	case oldest.IsZero():
		w.opts.Metrics.SecretAge(0)
	default:
		w.opts.Metrics.SecretAge(now.Sub(oldest))
	}
	return errors.Join(err, e)
}

// warnOfOldSecrets publishes endpoint.secret_expiring, once for each secret that will soon be too old, and returns how
// many there were.
func (w *Watch) warnOfOldSecrets(ctx context.Context, now time.Time) (int, error) {
	if w.opts.SecretMaxAge == 0 {
		return 0, nil
	}
	before := now.Add(min(warnAhead, w.opts.SecretMaxAge/4) - w.opts.SecretMaxAge)
	warned := 0
	for {
		aging, err := w.opts.Store.AgingSecrets(ctx, before, warnBatch)
		if err != nil || len(aging) == 0 {
			return warned, err
		}
		for _, k := range aging {
			err := w.opts.Store.InTx(ctx, func(tx *store.Tx) error {
				return w.opts.Endpoints.WarnExpiring(ctx, tx, models.System, k)
			})
			if err != nil && !errors.Is(err, models.ErrNotFound) {
				return warned, err
			}
			warned++
		}
	}
}

// reportRejections names the endpoints that answer 401 or 403: their secret does not match, or something in between
// turns our requests away.
func (w *Watch) reportRejections(ctx context.Context, now time.Time) error {
	rows, err := w.opts.Store.RejectingEndpoints(ctx, now.Add(-rejectingSince), maxRejecting)
	if err != nil {
		return err
	}
	w.opts.Metrics.RejectingEndpoints(len(rows))
	for _, r := range rows {
		w.opts.Logger.WarnContext(ctx, "endpoint.rejects", "endpoint_id", r.EndpointID, "merchant_id", r.MerchantID,
			"attempts", r.Attempts)
	}
	return nil
}

// followAudit reads the audit log from where it was last found good, and now and then all of it. Where it got to goes
// into the log of the process, which somebody who has the database cannot change.
func (w *Watch) followAudit(ctx context.Context, now time.Time) error {
	var mark store.AuditMark
	var err error
	if now.Sub(w.auditWhole) >= auditWholeEvery {
		if mark, err = w.opts.Store.VerifyAuditAgainst(ctx, w.auditMark); err == nil {
			w.auditWhole = now
		}
	} else {
		mark, err = w.opts.Store.FollowAudit(ctx, w.auditMark)
	}
	switch {
	case errors.Is(err, store.ErrAudit):
		w.opts.Metrics.AuditBroken(true)
		w.opts.Logger.ErrorContext(ctx, "audit.broken", "error", err)
		return nil // the mark stays, so that what is missing is reported again
	case err != nil:
		return err
	}
	w.opts.Metrics.AuditBroken(false)
	if mark != w.auditMark {
		w.opts.Logger.InfoContext(ctx, "audit.followed", "head", mark.String())
	}
	w.auditMark = mark
	return nil
}
