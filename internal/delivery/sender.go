package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// Task names what a worker was given: a delivery and the generation under which it was enqueued.
type Task struct {
	DeliveryID string
	Generation int
	// EndpointID and MerchantID let a worker turn a task away without reading its row; "" when they are not known.
	EndpointID, MerchantID string
}

// Step is what a worker does with its task after an attempt, or instead of one.
type Step string

// The steps.
const (
	// Ack: the record needs this task no more.
	Ack Step = "ack"
	// Again: bring this task again at Outcome.At.
	Again Step = "again"
	// Handover: enqueue Outcome.Delivery under its own generation for Outcome.At, then ack this task.
	Handover Step = "handover"
	// Bury: the delivery is dead; put this task where operators see it.
	Bury Step = "bury"

	// postpone and park: tell the row that it is due at Outcome.At, in which case the sweeper makes it a new task then, or
	// that it waits for something to end; then ack this task.
	postpone Step = "postpone"
	park     Step = "park"
)

// Outcome is what follows for the task.
type Outcome struct {
	Do Step
	At time.Time
	// Attempted is set when a request was made and counted.
	Attempted bool
	Delivery  models.Delivery
	Reason    string // of Again and Bury, for people; never a secret
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
	// MaxInFlight bounds the requests to one endpoint that has no limit of its own, HostInFlight those to one host over all
	// merchants; both count in this process.
	MaxInFlight, HostInFlight int
	// CommitBatch is how many verdicts are committed together at most, CommitWait how long the first of them waits.
	CommitBatch int
	CommitWait  time.Duration
	Metrics     *telemetry.Metrics
	Tracing     *telemetry.Tracing
	Logger      *slog.Logger
	Now         func() time.Time
	// Random gives the jitter, uniform in [0, 1); nil is math/rand.
	Random func() float64
}

// Sender makes attempts: many at once, each with its own goroutine in [Sender.Attempt], while [Sender.Run] reads and
// commits for all of them.
type Sender struct {
	SenderOptions
	loader    *loader
	recorder  *recorder
	postponer *postponer
	health    *health
	switches  *switches
	keys      *signingKeys
	targets   *targets
	endpoints *limits
	hosts     *limits
	rates     *rates

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
	if o.Timeout <= 0 || o.MaxInFlight <= 0 || o.HostInFlight <= 0 || o.CommitBatch <= 0 || o.CommitWait < 0 || o.Schedule.Base <= 0 {
		return nil, errors.New("delivery: Timeout, MaxInFlight, HostInFlight, CommitBatch, CommitWait or Schedule out of range")
	}
	if err := o.Breaker.Check(); err != nil {
		return nil, err
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	var classes []string
	for _, c := range Classes() {
		classes = append(classes, string(c))
	}
	o.Metrics.DeclareClasses(classes...)
	s := &Sender{
		SenderOptions: o,
		keys:          &signingKeys{endpoints: o.Endpoints},
		targets:       &targets{endpoints: o.Endpoints, open: make(map[string]*target)},
		endpoints:     newLimits(), hosts: newLimits(), rates: newRates(o.Store), switches: &switches{store: o.Store, log: o.Logger},
	}
	s.loader = newLoader(o.Store, s.linger)
	s.recorder = newRecorder(o.Store, o.CommitBatch, s.commitLinger, o.Logger)
	s.postponer = newPostponer(o.Store, s.now)
	s.health = newHealth(o.Store, o.Endpoints, o.Breaker, o.Logger, s.now)
	return s, nil
}

const (
	// lingerEach is how much longer a batch waits for company for every attempt that is under way: few attempts are carried
	// out at once, many share their statements.
	lingerEach  = 40 * time.Microsecond
	lingerLeast = time.Millisecond
	lingerMost  = 12 * time.Millisecond
)

// linger is how long a batch waits for company.
func (s *Sender) linger() time.Duration {
	return min(max(time.Duration(s.underWay.Load())*lingerEach, lingerLeast), lingerMost)
}

// commitLinger is linger for verdicts, nobody waits for whom but their tasks.
func (s *Sender) commitLinger() time.Duration { return max(s.linger(), s.CommitWait) }

// Run reads and commits for the attempts until ctx ends, and returns when those that are under way then have their
// verdicts in the record. Whoever gives tasks to the Sender is stopped first; an attempt before Run waits for it.
func (s *Sender) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var helpers sync.WaitGroup
	for range loaders {
		helpers.Go(func() { s.loader.run(stop) })
	}
	for range flushers {
		helpers.Go(func() { s.recorder.run(stop) })
	}
	for range postponers {
		helpers.Go(func() { s.postponer.run(stop) })
	}
	helpers.Go(func() { s.health.run(stop) })
	helpers.Go(func() { s.switches.run(stop) })
	<-ctx.Done()
	s.close()
	idle := make(chan struct{})
	go func() {
		s.active.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-s.recorder.failingFor(idle, commitTimeout): // no use in waiting for a database that is away
	}
	close(stop)
	helpers.Wait()
	return nil
}

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

// now is the time to the microsecond, which is what both databases keep.
func (s *Sender) now() time.Time { return models.Now(s.Now) }

// timeout is the time for one request to an endpoint.
func (s *Sender) timeout(e models.Endpoint) time.Duration {
	if e.TimeoutMS != nil {
		return time.Duration(*e.TimeoutMS) * time.Millisecond
	}
	return s.Timeout
}
