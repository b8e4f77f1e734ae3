package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// gatheringsEvery is how often endpoints that ask for batches are looked for.
	gatheringsEvery = 2 * time.Second
	// tickLeast and tickMost bound how often it is looked whether a batch can be formed: twice in the shortest wait.
	tickLeast = 20 * time.Millisecond
	tickMost  = 500 * time.Millisecond
	// formMost is how many deliveries of an endpoint are gathered in one transaction.
	formMost = 500
	// awayPause is how long a Batcher leaves a database alone that did not answer.
	awayPause = time.Second
)

// BatcherOptions are what a Batcher needs.
type BatcherOptions struct {
	Store *store.Store
	// MaxAttempts is the budget of a batch for an endpoint that has none of its own.
	MaxAttempts int
	Logger      *slog.Logger
	Now         func() time.Time
}

// Batcher forms batches for the endpoints that asked for them: when as many events as they want are waiting, or the
// first of them has waited for long enough, or no more fit into 256 KiB. It promises that an event is in one batch at
// most, however many Batchers there are, and that the events of a batch are in the order of their creation. An event
// that nobody joined in time goes alone, in the form of any other, and so does everything that no Batcher took within
// 10 s of its time, through the sweeper.
type Batcher struct {
	store       *store.Store
	maxAttempts int
	log         *slog.Logger
	clock       func() time.Time

	gatherings []store.BatchSubscription
	looked     time.Time // when they were looked for
	away       bool
}

// NewBatcher checks the options and returns a Batcher.
func NewBatcher(o BatcherOptions) (*Batcher, error) {
	if o.Store == nil || o.MaxAttempts <= 0 || o.Logger == nil || o.Now == nil {
		return nil, errors.New("maintenance: Store, MaxAttempts, Logger and Now are needed")
	}
	return &Batcher{store: o.Store, maxAttempts: o.MaxAttempts, log: o.Logger, clock: o.Now}, nil
}

// Run forms batches until ctx ends. While no endpoint asks for any it costs one small query every two seconds.
func (b *Batcher) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(b.pass(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// pass forms what can be formed and returns when to look again.
func (b *Batcher) pass(ctx context.Context) time.Duration {
	if time.Since(b.looked) >= gatheringsEvery {
		all, err := b.store.BatchSubscriptions(ctx)
		if err != nil {
			return b.failed(ctx, err)
		}
		b.gatherings, b.looked = all, time.Now()
	}
	if _, err := b.form(ctx); err != nil {
		return b.failed(ctx, err)
	}
	if b.away {
		b.away = false
		b.log.InfoContext(ctx, "batcher.recovered")
	}
	return tick(b.gatherings)
}

// tick is when to look again.
func tick(gs []store.BatchSubscription) time.Duration {
	if len(gs) == 0 {
		return gatheringsEvery
	}
	least := gs[0].Wait
	for _, g := range gs {
		least = min(least, g.Wait)
	}
	return min(max(least/2, tickLeast), tickMost)
}

func (b *Batcher) failed(ctx context.Context, err error) time.Duration {
	if !b.away && ctx.Err() == nil {
		b.away = true
		b.log.WarnContext(ctx, "batcher.failed", "error", err)
	}
	return awayPause
}

// Form looks for endpoints that ask for batches, forms those that can be formed now and returns how many.
func (b *Batcher) Form(ctx context.Context) (int, error) {
	var err error
	if b.gatherings, err = b.store.BatchSubscriptions(ctx); err != nil {
		return 0, err
	}
	return b.form(ctx)
}

func (b *Batcher) form(ctx context.Context) (int, error) {
	due, err := b.store.DueBatchSubscriptions(ctx, b.gatherings, b.now())
	total := 0
	for _, id := range due {
		for more := true; more && err == nil; {
			var n int
			n, more, err = b.formOf(ctx, id)
			total += n
		}
		if err != nil {
			return total, err
		}
	}
	return total, err
}

// formOf forms the batches of one endpoint and reports whether there may be more to form at once.
func (b *Batcher) formOf(ctx context.Context, endpointID string) (formed int, more bool, err error) {
	type line struct {
		batch         models.Delivery
		events, bytes int
	}
	var lines []line
	err = b.store.InTx(ctx, func(tx *store.Tx) error {
		lines, more = nil, false
		ep, free, err := tx.LockBatchSubscription(ctx, endpointID)
		if err != nil || !free {
			return err
		}
		most, wait, yes := ep.Batching()
		if !yes { // not any more: what waits is swept
			return nil
		}
		waiting, err := tx.BatchCandidates(ctx, endpointID, formMost)
		if err != nil {
			return err
		}
		now := b.now()
		packed := pack(waiting, most, now.Add(-wait))
		more = len(waiting) == formMost && len(packed) > 0
		for _, members := range packed {
			if len(members) == 1 {
				if err := outbox.SendAlone(ctx, tx, ep, members[0].Delivery, now); err != nil {
					return err
				}
				continue
			}
			body, err := webhook.EncodeBatch(bodies(members))
			if err != nil {
				return err
			}
			batch, err := outbox.InsertBatch(ctx, tx, ep, body, members, b.maxAttempts, now)
			if err != nil {
				return err
			}
			lines = append(lines, line{batch, len(members), len(body)})
		}
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	for _, l := range lines {
		b.log.InfoContext(ctx, "batch.formed", "batch_id", *l.batch.BatchID, "delivery_id", l.batch.ID, "endpoint_id",
			endpointID,
			"merchant_id", l.batch.MerchantID, "events", l.events, "bytes", l.bytes)
	}
	return len(lines), more, nil
}

func bodies(members []store.BatchCandidate) [][]byte {
	all := make([][]byte, len(members))
	for i, m := range members {
		all[i] = m.Body
	}
	return all
}

func (b *Batcher) now() time.Time { return models.Now(b.clock) }

// pack divides what waits for an endpoint, oldest first, into batches of at most that many events and of
// [webhook.MaxBatchBytes]. The last of them is left to wait unless it is full, or its first event was there by due. It
// is pure.
func pack(waiting []store.BatchCandidate, most int, due time.Time) [][]store.BatchCandidate {
	var batches [][]store.BatchCandidate
	first, size := 0, 0
	for i, g := range waiting {
		if i > first && (i-first == most || webhook.BatchSize(i-first+1, size+len(g.Body)) > webhook.MaxBatchBytes) {
			batches = append(batches, waiting[first:i])
			first, size = i, 0
		}
		size += len(g.Body)
	}
	if rest := waiting[first:]; len(rest) == most || len(rest) > 0 && !rest[0].CreatedAt.After(due) {
		batches = append(batches, rest)
	}
	return batches
}
