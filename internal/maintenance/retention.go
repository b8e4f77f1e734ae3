package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	retentionEvery = 10 * time.Minute
	retentionBatch = 500
	// retentionPause lets others have the database between two batches.
	retentionPause = 20 * time.Millisecond
	// windowAge is longer than any window of a circuit breaker.
	windowAge = 24 * time.Hour
)

// RetentionOptions are what a Retention needs.
type RetentionOptions struct {
	Store *store.Store
	// Deliveries is how long what is over is kept with its attempts, and how long what is held waits for its endpoint.
	// Events is how long events are kept, at least as long as that. 0 keeps for good.
	Deliveries, Events time.Duration
	Logger             *slog.Logger
	Now                func() time.Time
}

// Retention deletes what is old: deliveries and attempts, then events of which no delivery is left, the bodies of
// batches, replay jobs, the windows of circuit breakers and expired answers of idempotency keys; and it cancels what
// was held for too long. It never touches what still waits to be sent, payments, or the audit log. Batches are small
// and pass over rows that somebody holds, so any number of them may run beside everything else.
type Retention struct{ opts RetentionOptions }

// NewRetention checks the options and returns a Retention.
func NewRetention(o RetentionOptions) (*Retention, error) {
	if o.Store == nil || o.Logger == nil || o.Now == nil {
		return nil, errors.New("maintenance: Store, Logger and Now are needed")
	}
	if o.Deliveries < 0 || o.Events < 0 || o.Events != 0 && o.Events < o.Deliveries {
		return nil, errors.New("maintenance: events are kept at least as long as deliveries")
	}
	return &Retention{o}, nil
}

// Run makes a pass at once and every ten minutes, until ctx ends.
func (r *Retention) Run(ctx context.Context) error {
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	for {
		if err := r.Pass(ctx); err != nil && ctx.Err() == nil {
			r.opts.Logger.WarnContext(ctx, "retention.failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Pass deletes all that is old now. What fails does not keep the rest from being deleted.
func (r *Retention) Pass(ctx context.Context) error {
	now := models.Now(r.opts.Now)
	s := r.opts.Store
	var all []error
	for _, step := range []struct {
		what    string
		expired time.Duration
		drop    func(before time.Time) (int, error)
	}{
		{"held deliveries canceled", r.opts.Deliveries, func(t time.Time) (int, error) {
			return s.CancelHeld(ctx, t, now, retentionBatch)
		}},
		{"deliveries", r.opts.Deliveries, func(t time.Time) (int, error) { return s.DropDeliveries(ctx, t, retentionBatch) }},
		{"batches", r.opts.Deliveries, func(t time.Time) (int, error) { return s.DropBatches(ctx, t, retentionBatch) }},
		{"events", r.opts.Events, func(t time.Time) (int, error) { return s.DropEvents(ctx, t, retentionBatch) }},
		{"replays", r.opts.Events, func(t time.Time) (int, error) { return s.DropReplays(ctx, t, retentionBatch) }},
		{"tallies", windowAge, func(t time.Time) (int, error) { return s.DropWindowBuckets(ctx, t, retentionBatch) }},
		{"idempotency records", time.Nanosecond, func(time.Time) (int, error) {
			n, err := s.DropExpiredAnswers(ctx, now, retentionBatch)
			return int(n), err
		}},
	} {
		if step.expired == 0 {
			continue
		}
		total, err := drain(ctx, func() (int, error) { return step.drop(now.Add(-step.expired)) })
		if total > 0 {
			r.opts.Logger.InfoContext(ctx, "retention.dropped", "what", step.what, "rows", total)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// drain repeats a batch until nothing is left.
func drain(ctx context.Context, batch func() (int, error)) (total int, err error) {
	for {
		n, err := batch()
		total += n
		if err != nil || n < retentionBatch {
			return total, err
		}
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-time.After(retentionPause):
		}
	}
}
