package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

// Task names what a worker was given: a delivery and the generation under which it was enqueued.
type Task struct {
	DeliveryID string
	Generation int
	// EndpointID and MerchantID let a worker turn a task away without reading its row; "" when they are not known.
	EndpointID, MerchantID string
	// Lane is the queue that the task came from, Workers how many tasks of it are worked on at once; 0 for no limit. The
	// merchants share them.
	Lane    string
	Workers int
}

// Step is what becomes of a task after an attempt, or instead of one.
type Step string

// The steps.
const (
	Ack        Step = "ack"         // the record needs this task no more
	RetryLater Step = "retry_later" // bring this task again at Outcome.At
	Requeue    Step = "requeue"     // enqueue Outcome.Delivery under its own generation for Outcome.At, then ack this task
	Archive    Step = "archive"     // the delivery is dead: put this task where operators see it
)

// Outcome says what becomes of a task.
type Outcome struct {
	Do Step
	At time.Time
	// Attempted is set when a request was made and counted.
	Attempted bool
	Delivery  models.Delivery // of [Requeue]
	Reason    string          // for people; never a secret
}

// SenderOptions are what a Sender needs.
type SenderOptions struct {
	Store *store.Store
	// Endpoints opens an endpoint and disables one that is gone; Redelivery runs a dead delivery once more.
	Endpoints  *endpoints.Service
	Redelivery *redelivery.Service
	Client     *egress.Client
	Schedule   Schedule
	Breaker    breaker.Rules
	// Timeout is the time of one request in all, for endpoints that have none of their own.
	Timeout time.Duration
	// MaxInFlight bounds the requests to one endpoint that has no limit of its own, HostInFlight those to one host over
	// all merchants; both over all workers.
	MaxInFlight, HostInFlight int
	// Slots are those of all workers; without them each worker has an equal share of a limit.
	Slots SharedSlots
	// CommitBatch is how many verdicts are committed together at most, CommitWait how long the first of them waits.
	CommitBatch int
	CommitWait  time.Duration
	Metrics     *telemetry.Metrics
	Tracing     *telemetry.Tracing
	Logger      *slog.Logger
	Now         func() time.Time
	// Writes, where it is given, returns a channel that is closed once the record takes writes: no request is made before.
	Writes func() <-chan struct{}
	// VerdictSaver keeps the verdicts that cannot be recorded before the process has to stop, sealed by Vault.
	VerdictSaver VerdictSaver
	Vault        *vault.Vault
	// Random gives the jitter, uniform in [0, 1); nil is math/rand.
	Random func() float64
}

// Sender makes attempts: many at once, each with its own goroutine in [Sender.Attempt], while [Sender.Run] reads and
// commits for all of them.
type Sender struct {
	opts        SenderOptions
	batches     *batchLoader
	writer      *attemptWriter
	deferWriter *deferWriter
	health      *health
	pauseFlags  *pauseFlags
	keys        *signingKeys
	testKeys    *signingKeys
	targets     *targets
	endpoints   *limits
	hosts       *limits
	lanes       *limits
	rates       *rates
	fleet       *fleet

	leaving  sync.Once
	mu       sync.Mutex
	stopped  bool
	active   sync.WaitGroup
	underWay atomic.Int64
}

// NewSender checks the options and returns a Sender.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Store == nil || o.Endpoints == nil || o.Redelivery == nil || o.Client == nil || o.Logger == nil || o.Now == nil {
		return nil, errors.New("delivery: Store, Endpoints, Redelivery, Client, Logger and Now are needed")
	}
	if o.Timeout <= 0 || o.MaxInFlight <= 0 || o.HostInFlight <= 0 || o.CommitBatch <= 0 || o.CommitWait < 0 ||
		o.Schedule.Base <= 0 {
		return nil,
			errors.New("delivery: Timeout, MaxInFlight, HostInFlight, CommitBatch, CommitWait or Schedule out of range")
	}
	if err := o.Breaker.Check(); err != nil {
		return nil, err
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	classes := make([]string, 0, len(answer.Classes()))
	for _, c := range answer.Classes() {
		classes = append(classes, string(c))
	}
	o.Metrics.DeclareClasses(classes...)
	s := &Sender{
		opts: o, keys: &signingKeys{endpoints: o.Endpoints},
		testKeys:  &signingKeys{endpoints: o.Endpoints, test: true},
		targets:   &targets{endpoints: o.Endpoints, open: make(map[string]*target)},
		endpoints: newLimits(0, patience), hosts: newLimits(hostReserve, patience),
		lanes: newLimits(laneReserve, lanePatience), rates: newRates(o.Store),
		pauseFlags: &pauseFlags{store: o.Store, log: o.Logger},
		fleet:      &fleet{store: o.Store, shared: o.Slots, log: o.Logger},
	}
	s.batches = newBatchLoader(o.Store, s.batchDelay)
	s.writer = newAttemptWriter(o.Store, o.CommitBatch, s.commitDelay, o.Logger)
	s.writer.also = s.alongside
	s.writer.saved = &savedVerdicts{saver: o.VerdictSaver, vault: o.Vault, log: o.Logger}
	s.deferWriter = newDeferWriter(o.Store, s.now)
	s.health = newHealth(o.Store, o.Endpoints, o.Breaker, o.Logger, s.now)
	return s, nil
}

const (
	// delayEach is how much longer a batch of statements waits to grow, for every attempt that is under way: few attempts
	// are carried out at once, many share their statements.
	delayEach = 40 * time.Microsecond
	minDelay  = time.Millisecond
	maxDelay  = 12 * time.Millisecond
)

// batchDelay is how long a batch of statements waits to grow.
func (s *Sender) batchDelay() time.Duration {
	return min(max(time.Duration(s.underWay.Load())*delayEach, minDelay), maxDelay)
}

// commitDelay is batchDelay for verdicts, for which nothing waits but their tasks.
func (s *Sender) commitDelay() time.Duration { return max(s.batchDelay(), s.opts.CommitWait) }

// Run reads and commits for the attempts until ctx ends, and returns when those that are under way then have their
// verdicts in the record. Whoever gives tasks to the Sender is stopped first; an attempt before Run waits for it.
func (s *Sender) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var helpers sync.WaitGroup
	for range loaders {
		helpers.Go(func() { s.batches.run(stop) })
	}
	for range flushers {
		helpers.Go(func() { s.writer.run(stop) })
	}
	for range deferWriters {
		helpers.Go(func() { s.deferWriter.run(stop) })
	}
	helpers.Go(func() { s.writer.begin(stop) })
	helpers.Go(func() { s.health.run(stop) })
	helpers.Go(func() { s.pauseFlags.run(stop) })
	helpers.Go(func() { s.fleet.run(stop) })
	<-ctx.Done()
	s.Leave()
	s.close()
	idle := make(chan struct{})
	go func() {
		s.active.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-s.writer.failingFor(idle, commitTimeout): // a database that does not answer is not waited for
	}
	close(stop)
	helpers.Wait()
	return nil
}

// Check says since when no verdict could be recorded, while that is so. No requests are made then.
func (s *Sender) Check(context.Context) error {
	if closed := s.writer.closedFor(); closed > unreadyAfter {
		return fmt.Errorf("no verdict could be recorded for %s; the log says why", closed.Round(time.Second))
	}
	return nil
}

// Leave says that the process was told to stop: verdicts that cannot be committed are handed over to another process,
// so that its end is not held up by a record that takes no writes. It is called before the tasks are waited for.
func (s *Sender) Leave() { s.leaving.Do(s.writer.leave) }

func (s *Sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// enter counts an attempt as under way, unless the Sender stops.
func (s *Sender) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.active.Add(1)
		s.underWay.Add(1)
	}
	return !s.stopped
}

func (s *Sender) leave() {
	s.underWay.Add(-1)
	s.active.Done()
}

func (s *Sender) now() time.Time { return models.Now(s.opts.Now) }

// timeout is the time for one request to an endpoint.
func (s *Sender) timeout(e models.Endpoint) time.Duration {
	if e.TimeoutMS != nil {
		return time.Duration(*e.TimeoutMS) * time.Millisecond
	}
	return s.opts.Timeout
}
