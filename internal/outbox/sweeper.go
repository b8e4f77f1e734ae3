package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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
	// ExpiredLeases lists the ids of deliveries that a dead worker held.
	ExpiredLeases(ctx context.Context) ([]string, error)
	// RedisIncarnation names the Redis that tasks are put into; it changes when that was emptied.
	RedisIncarnation(ctx context.Context) (string, error)
	// Archive sees to it that a dead delivery's task is in the archive.
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
	// Ramp is when the n-th delivery that waited for an endpoint is due after it may have them again, n counting from 0;
	// nil is at once.
	Ramp func(n int) time.Duration
	// Timeout is how long a request may take at an endpoint that sets nothing else; 0 means 10 s.
	Timeout time.Duration
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

const (
	sweepWorkers = 64
	// archiveGrace is how long after a death its own worker has to archive the task.
	archiveGrace = 15 * time.Second
	archiveBatch = 200
	// probeLease is how long a half-open breaker waits for its probe: longer than the longest request, its commit and a lost
	// task together.
	probeLease = time.Minute
	// releaseMost is how many parked deliveries of one endpoint are let go in a pass.
	releaseMost = 10_000
	// settleSlack is how long after its timeout the verdict of a request is certainly on record.
	settleSlack = time.Second
	// secretsEvery is how often the age of secrets is measured.
	secretsEvery = 5 * time.Minute
)

// Sweeper finds deliveries without a live task and enqueues them again.
type Sweeper struct {
	SweeperOptions
	away        bool      // Redis did not answer in the last pass
	secretsSeen time.Time // when the age of secrets was last measured
	surge       surge
}

// NewSweeper checks the options and returns a Sweeper.
func NewSweeper(o SweeperOptions) (*Sweeper, error) {
	if o.Store == nil || o.Tasks == nil || o.Logger == nil || o.Now == nil {
		return nil, errors.New("outbox: Store, Tasks, Logger and Now are needed")
	}
	if o.Interval == 0 {
		o.Interval = 2 * time.Second
	}
	if o.Batch == 0 {
		o.Batch = 500
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Ramp == nil {
		o.Ramp = func(int) time.Duration { return 0 }
	}
	return &Sweeper{SweeperOptions: o}, nil
}

// Run makes a pass every interval, give or take a tenth, until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		n, err := s.Sweep(ctx)
		s.report(ctx, n, err)
		pause := s.Interval - s.Interval/10 + rand.N(s.Interval/5+1)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *Sweeper) report(ctx context.Context, n int, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !s.away:
		s.away = true
		s.Logger.WarnContext(ctx, "sweeper.failed", "error", err)
	case err == nil && s.away:
		s.away = false
		s.Logger.InfoContext(ctx, "sweeper.recovered")
	}
	if n > 0 {
		s.Logger.InfoContext(ctx, "sweeper.requeued", "deliveries", n)
	}
	s.Metrics.Requeued(n)
}

// Sweep makes one pass and returns how many deliveries it enqueued again.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	epoch, err := s.Tasks.RedisIncarnation(ctx) // nothing is claimed while Redis is away
	if err != nil {
		return 0, err
	}
	total, err := s.rebuild(ctx, epoch)
	if err != nil {
		return total, err
	}
	for _, step := range []func(context.Context) (int, error){s.rescue, s.probe, s.release} {
		n, err := step(ctx)
		total += n
		if err != nil {
			return total, err
		}
	}
	for {
		now := s.now()
		due, err := s.Store.ClaimSweep(ctx, now, s.Batch)
		if err != nil {
			return total, err
		}
		n, err := s.requeue(ctx, due, atOnce)
		total += n
		if err != nil {
			return total, err
		}
		if len(due) < s.Batch {
			break
		}
	}
	if err := s.bury(ctx); err != nil {
		return total, err
	}
	return total, s.measure(ctx)
}

// rebuild looks at everything that waits when Redis is not the one that it was. The workers are alive, and what they have
// under way has no task any more either: so nothing is due again before a request that is under way has its verdict on
// record, and a loss of Redis makes no duplicates.
func (s *Sweeper) rebuild(ctx context.Context, epoch string) (int, error) {
	known, err := s.Store.RedisIncarnation(ctx)
	if err != nil || known == epoch {
		return 0, err
	}
	settled, err := s.settled(ctx, known)
	if err != nil {
		return 0, err
	}
	total := 0
	var last models.Delivery
	for {
		rows, err := s.Store.WalkPending(ctx, last, s.Batch)
		if err != nil {
			return total, err
		}
		n, err := s.requeue(ctx, rows, settled)
		total += n
		if err != nil {
			return total, err
		}
		if len(rows) < s.Batch {
			break
		}
		last = rows[len(rows)-1]
	}
	if known != "" {
		s.Logger.WarnContext(ctx, "sweeper.redis_replaced", "requeued", total)
	}
	return total, s.Store.SetRedisIncarnation(ctx, epoch, s.now())
}

// settled tells for a delivery when a request that is under way now has its verdict on record.
func (s *Sweeper) settled(ctx context.Context, known string) (func(models.Delivery) time.Time, error) {
	if known == "" { // the first Redis of this database
		return atOnce, nil
	}
	own, err := s.Store.EndpointTimeouts(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return func(d models.Delivery) time.Time {
		timeout, ok := own[d.EndpointID]
		if !ok {
			timeout = s.Timeout
		}
		return now.Add(timeout + settleSlack)
	}, nil
}

func atOnce(models.Delivery) time.Time { return time.Time{} }

// rescue enqueues what a dead worker held.
func (s *Sweeper) rescue(ctx context.Context) (int, error) {
	ids, err := s.Tasks.ExpiredLeases(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	rows, err := s.Store.PendingByID(ctx, ids)
	if err != nil {
		return 0, err
	}
	return s.requeue(ctx, rows, atOnce)
}

// probe lets one delivery through every breaker that was open for long enough.
func (s *Sweeper) probe(ctx context.Context) (int, error) {
	probes, err := s.Store.ClaimProbes(ctx, s.now(), probeLease)
	if err != nil || len(probes) == 0 {
		return 0, err
	}
	failed, err := s.enqueue(ctx, probes, atOnce)
	return len(probes) - len(failed), errors.Join(err, s.Store.SweepAt(ctx, failed, s.now()))
}

// release lets go what waited for an endpoint or a merchant that may have it again; the pass goes on to enqueue what of it
// is due at once.
func (s *Sweeper) release(ctx context.Context) (int, error) {
	n, err := s.Store.ReleaseSuspended(ctx, s.now(), releaseMost, s.Ramp)
	if n > 0 {
		s.Logger.InfoContext(ctx, "sweeper.released", "deliveries", n)
	}
	return 0, err
}

// requeue gives those of the rows that have no live task a new generation and enqueues them, each for when it is due and
// not before a moment that notBefore tells.
func (s *Sweeper) requeue(ctx context.Context, rows []models.Delivery, notBefore func(models.Delivery) time.Time) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	lost, err := s.Tasks.MissingTasks(ctx, rows)
	if err != nil {
		return 0, errors.Join(err, s.Store.SweepAt(ctx, ids(rows), s.now()))
	}
	var gone []models.Delivery
	for i, row := range rows {
		if lost[i] {
			gone = append(gone, row)
		}
	}
	bumped, err := s.Store.BumpGeneration(ctx, gone, s.now())
	if err != nil {
		return 0, err
	}
	failed, err := s.enqueue(ctx, bumped, notBefore)
	if err != nil {
		return len(bumped) - len(failed), errors.Join(err, s.Store.SweepAt(ctx, failed, s.now()))
	}
	return len(bumped), nil
}

// enqueue enqueues many, the oldest first, and returns the ids of those that failed and one of the errors.
func (s *Sweeper) enqueue(ctx context.Context, rows []models.Delivery, notBefore func(models.Delivery) time.Time) (failed []string, err error) {
	next := make(chan models.Delivery)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(sweepWorkers, len(rows)) {
		workers.Go(func() {
			for d := range next {
				at := d.NextAttemptAt
				if earliest := notBefore(d); earliest.After(at) {
					at = earliest
				}
				if e := s.Tasks.Enqueue(ctx, d, at); e != nil {
					mu.Lock()
					failed, err = append(failed, d.ID), e
					mu.Unlock()
				}
			}
		})
	}
	now := s.now()
	for _, d := range rows {
		d.Slow = d.Slow || s.surge.over(d.EndpointID, now)
		next <- d
	}
	close(next)
	workers.Wait()
	return failed, err
}

// bury sees to it that dead deliveries are in the archive, where operators look.
func (s *Sweeper) bury(ctx context.Context) error {
	dead, err := s.Store.Unarchived(ctx, s.now().Add(-archiveGrace), archiveBatch)
	if err != nil || len(dead) == 0 {
		return err
	}
	var done []string
	for _, d := range dead {
		if err = s.Tasks.Archive(ctx, d); err != nil {
			break
		}
		done = append(done, d.ID)
	}
	return errors.Join(err, s.Store.MarkArchived(ctx, done, s.now()))
}

func (s *Sweeper) measure(ctx context.Context) error {
	now := s.now()
	oldest, err := s.Store.OldestDue(ctx, now)
	if err != nil {
		return err
	}
	age := time.Duration(0)
	if !oldest.IsZero() {
		age = now.Sub(oldest)
	}
	s.Metrics.OldestDue(age)
	open, err := s.Store.OpenBreakers(ctx)
	if err != nil {
		return err
	}
	s.Metrics.BreakersOpen(int(open))
	return s.measureSecrets(ctx, now)
}

// measureSecrets tells now and then how old the oldest secret is.
func (s *Sweeper) measureSecrets(ctx context.Context, now time.Time) error {
	if now.Sub(s.secretsSeen) < secretsEvery {
		return nil
	}
	since, err := s.Store.OldestSecret(ctx)
	if err != nil {
		return err
	}
	s.secretsSeen = now
	age := time.Duration(0)
	if !since.IsZero() {
		age = now.Sub(since)
	}
	s.Metrics.SecretAge(age)
	return nil
}

func (s *Sweeper) now() time.Time { return models.Now(s.Now) }

func ids(rows []models.Delivery) []string {
	all := make([]string, len(rows))
	for i, d := range rows {
		all[i] = d.ID
	}
	return all
}
