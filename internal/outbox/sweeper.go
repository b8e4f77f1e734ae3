package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// Tasks is what the sweeper asks of the queue.
type Tasks interface {
	Enqueuer
	// MissingTasks tells for each delivery whether the task of its current generation is gone or can never run.
	MissingTasks(ctx context.Context, ds []models.Delivery) ([]bool, error)
	// ExpiredLeases lists the ids of deliveries whose worker died while it held their task.
	ExpiredLeases(ctx context.Context) ([]string, error)
	// RedisIncarnation names the Redis that tasks are put into; another name means that it was emptied, replaced or
	// restarted.
	RedisIncarnation(ctx context.Context) (string, error)
	// Archive puts the task of a dead delivery into the archive, unless it is there.
	Archive(ctx context.Context, d models.Delivery) error
}

// SweeperOptions are what a Sweeper needs.
type SweeperOptions struct {
	Store *store.Store
	Tasks Tasks
	// Interval is the time between two passes; 0 means 2 s.
	Interval time.Duration
	// Batch is how many rows are taken at a time; 0 means 500.
	Batch int
	// SlowStart is when the n-th suspended delivery of an endpoint is due after its release, n counting from 0; nil is at
	// once.
	SlowStart func(n int) time.Duration
	// Timeout is how long a request may take at an endpoint that sets nothing else; 0 means 10 s.
	Timeout time.Duration
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Sweeper finds deliveries without a live task and enqueues them again.
type Sweeper struct {
	opts    SweeperOptions
	failing bool // the last pass failed
	buckets tokenBuckets
}

// NewSweeper checks the options and returns a Sweeper.
func NewSweeper(o SweeperOptions) (*Sweeper, error) {
	if o.Store == nil || o.Tasks == nil || o.Logger == nil || o.Now == nil {
		return nil, errors.New("outbox: Store, Tasks, Logger and Now are needed")
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.SlowStart == nil {
		o.SlowStart = func(int) time.Duration { return 0 }
	}
	return &Sweeper{opts: o}, nil
}

// Run makes a pass every interval, give or take a tenth, until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		r, err := s.Sweep(ctx)
		s.report(ctx, r, err)
		pause := s.opts.Interval - s.opts.Interval/10 + rand.N(s.opts.Interval/5+1)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *Sweeper) report(ctx context.Context, r SweepResult, err error) {
	log := s.opts.Logger
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrDenied) && !s.failing:
		s.failing = true
		log.ErrorContext(ctx, "sweeper.denied", "error", err)
	case err != nil && !s.failing:
		s.failing = true
		log.WarnContext(ctx, "sweeper.failed", "error", err)
	case err == nil && s.failing:
		s.failing = false
		log.InfoContext(ctx, "sweeper.recovered")
	}
	if r.Released > 0 {
		log.InfoContext(ctx, "sweeper.released", "deliveries", r.Released)
	}
	if n := r.Requeued(); n > 0 {
		log.InfoContext(ctx, "sweeper.requeued", "deliveries", n)
	}
	s.opts.Metrics.Requeued(r.Requeued())
}

// SweepResult is what a pass did, by the step that did it.
type SweepResult struct {
	Rebuilt       int // enqueued again because Redis is not the one that it was
	ExpiredLeases int // enqueued again because the worker that held the task is dead
	Probes        int // enqueued as the one delivery that an open breaker lets through
	Released      int // suspended before, now due; the step after it enqueues those that are due at once
	Missing       int // enqueued again because the sweeper's time for them had come and they had no task
	Archived      int // dead deliveries whose task is in the archive now
}

// Requeued is how many deliveries the pass enqueued.
func (r SweepResult) Requeued() int { return r.Rebuilt + r.ExpiredLeases + r.Probes + r.Missing }

// ErrDenied marks what the queue's server does not let its user do. It stops nothing but the step that it concerns.
var ErrDenied = errors.New("denied by Redis")

// Sweep makes one pass. With an error it returns what was done before it, or beside it where that is [ErrDenied].
func (s *Sweeper) Sweep(ctx context.Context) (SweepResult, error) {
	r, err := s.sweep(ctx)
	return r, errors.Join(err, s.measure(ctx)) // how late deliveries are is told above all while the steps fail
}

func (s *Sweeper) sweep(ctx context.Context) (SweepResult, error) {
	var r SweepResult
	incarnation, err := s.opts.Tasks.RedisIncarnation(ctx) // nothing is claimed while Redis does not answer
	var problems error
	if errors.Is(err, ErrDenied) {
		problems, err = err, nil
	}
	if err != nil {
		return r, err
	}
	for _, step := range []struct {
		count *int
		do    func(context.Context) (int, error)
	}{
		{&r.Rebuilt, func(ctx context.Context) (int, error) { return s.rebuildQueue(ctx, incarnation) }},
		{&r.ExpiredLeases, s.requeueExpiredLeases},
		{&r.Probes, s.enqueueProbes},
		{&r.Released, s.releaseSuspended},
		{&r.Missing, s.requeueMissing},
		{&r.Archived, s.archiveDead},
	} {
		*step.count, err = step.do(ctx)
		if err != nil && !errors.Is(err, ErrDenied) {
			return r, errors.Join(problems, err)
		}
		problems = errors.Join(problems, err)
	}
	return r, problems
}

// rebuildQueue looks at everything that is pending when Redis is not the one that it was. The workers are alive, and
// what they are sending has no task any more either. So nothing is due again before a request that is under way has its
// verdict on record, and a loss of Redis makes no duplicates.
func (s *Sweeper) rebuildQueue(ctx context.Context, incarnation string) (int, error) {
	known, err := s.opts.Store.RedisIncarnation(ctx)
	if err != nil || known == incarnation {
		return 0, err
	}
	settled, err := s.settled(ctx, known)
	if err != nil {
		return 0, err
	}
	total := 0
	var last models.Delivery
	for {
		rows, err := s.opts.Store.WalkPending(ctx, last, s.opts.Batch)
		if err != nil {
			return total, err
		}
		n, err := s.requeue(ctx, rows, settled)
		total += n
		if err != nil && !errors.Is(err, ErrDenied) {
			return total, err
		}
		if len(rows) < s.opts.Batch {
			break
		}
		last = rows[len(rows)-1]
	}
	if known != "" {
		s.opts.Logger.WarnContext(ctx, "sweeper.redis_replaced", "requeued", total)
	}
	return total, s.opts.Store.SetRedisIncarnation(ctx, incarnation, s.now())
}

// settled tells for a delivery when a request that is under way now has its verdict on record.
func (s *Sweeper) settled(ctx context.Context, known string) (func(models.Delivery) time.Time, error) {
	if known == "" { // the first Redis of this database
		return atOnce, nil
	}
	own, err := s.opts.Store.EndpointTimeouts(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return func(d models.Delivery) time.Time {
		timeout, ok := own[d.EndpointID]
		if !ok {
			timeout = s.opts.Timeout
		}
		return now.Add(timeout + settleSlack)
	}, nil
}

func atOnce(models.Delivery) time.Time { return time.Time{} }

// requeueExpiredLeases enqueues again what a dead worker held.
func (s *Sweeper) requeueExpiredLeases(ctx context.Context) (int, error) {
	ids, err := s.opts.Tasks.ExpiredLeases(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	rows, err := s.opts.Store.PendingByID(ctx, ids)
	if err != nil {
		return 0, err
	}
	return s.requeue(ctx, rows, atOnce)
}

// enqueueProbes lets one delivery through every breaker that was open for long enough.
func (s *Sweeper) enqueueProbes(ctx context.Context) (int, error) {
	probes, err := s.opts.Store.ClaimProbes(ctx, s.now(), probeLease, Sweep)
	if err != nil || len(probes) == 0 {
		return 0, err
	}
	failed, err := s.enqueue(ctx, probes, atOnce)
	return len(probes) - len(failed), errors.Join(err, s.opts.Store.SweepAt(ctx, failed, s.now()))
}

// releaseSuspended makes due what was suspended for an endpoint or a merchant that may have it again.
func (s *Sweeper) releaseSuspended(ctx context.Context) (int, error) {
	return s.opts.Store.ReleaseSuspended(ctx, s.now(), maxReleased, s.opts.SlowStart)
}

// requeueMissing looks at what the sweeper's time has come for and enqueues again what has no task.
func (s *Sweeper) requeueMissing(ctx context.Context) (int, error) {
	total := 0
	for {
		due, err := s.opts.Store.ClaimSweep(ctx, s.now(), s.opts.Batch, Sweep)
		if err != nil {
			return total, err
		}
		n, err := s.requeue(ctx, due, atOnce)
		total += n
		if err != nil && !errors.Is(err, ErrDenied) || len(due) < s.opts.Batch {
			return total, err
		}
	}
}

// requeue gives those of the rows that have no live task a new generation and enqueues them, each for when it is due
// and not before a moment that notBefore tells.
func (s *Sweeper) requeue(ctx context.Context, rows []models.Delivery,
	notBefore func(models.Delivery) time.Time) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	missing, err := s.opts.Tasks.MissingTasks(ctx, rows)
	var unseen error
	if errors.Is(err, ErrDenied) { // a second task makes no second request, and a lost one none at all
		missing, unseen, err = slices.Repeat([]bool{true}, len(rows)), err, nil
	}
	if err != nil {
		return 0, errors.Join(err, s.opts.Store.SweepAt(ctx, ids(rows), s.now()))
	}
	var gone []models.Delivery
	for i, row := range rows {
		if missing[i] {
			gone = append(gone, row)
		}
	}
	bumped, err := s.opts.Store.BumpGeneration(ctx, gone, s.now(), Sweep)
	if err != nil {
		return 0, err
	}
	failed, err := s.enqueue(ctx, bumped, notBefore)
	if err != nil {
		return len(bumped) - len(failed), errors.Join(err, s.opts.Store.SweepAt(ctx, failed, s.now()))
	}
	return len(bumped), unseen
}

// enqueue enqueues many, the oldest first, and returns the ids of those that failed and one of the errors.
func (s *Sweeper) enqueue(ctx context.Context, rows []models.Delivery,
	notBefore func(models.Delivery) time.Time) (failed []string, err error) {
	next := make(chan models.Delivery)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(sweepWorkers, len(rows)) {
		workers.Go(func() {
			for d := range next {
				if e := s.opts.Tasks.Enqueue(ctx, d, later(d.NextAttemptAt, notBefore(d))); e != nil {
					mu.Lock()
					failed, err = append(failed, d.ID), e
					mu.Unlock()
				}
			}
		})
	}
	now := s.now()
	for _, d := range rows {
		d.Slow = d.Slow || s.buckets.exceeded(d.EndpointID, now)
		next <- d
	}
	close(next)
	workers.Wait()
	return failed, err
}

// archiveDead puts the tasks of dead deliveries into the archive, where operators look.
func (s *Sweeper) archiveDead(ctx context.Context) (int, error) {
	dead, err := s.opts.Store.Unarchived(ctx, s.now().Add(-archiveGrace), archiveBatch)
	if err != nil || len(dead) == 0 {
		return 0, err
	}
	var done []string
	for _, d := range dead {
		if err = s.opts.Tasks.Archive(ctx, d); err != nil {
			break
		}
		done = append(done, d.ID)
	}
	return len(done), errors.Join(err, s.opts.Store.MarkArchived(ctx, done, s.now()))
}

func (s *Sweeper) now() time.Time { return models.Now(s.opts.Now) }

func ids(rows []models.Delivery) []string {
	all := make([]string, len(rows))
	for i, d := range rows {
		all[i] = d.ID
	}
	return all
}
