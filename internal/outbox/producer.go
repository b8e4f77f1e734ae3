package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Enqueuer puts the task of a delivery, under its current generation, where a worker finds it at the time given (now or
// in the past: at once). Enqueueing it again changes nothing.
type Enqueuer interface {
	Enqueue(ctx context.Context, d models.Delivery, at time.Time) error
}

// ProducerOptions are what a Producer needs.
type ProducerOptions struct {
	Enqueuer Enqueuer
	// Queue is how many deliveries may wait; more are left to the sweeper. 0 means 16,384.
	Queue int
	// Workers is how many are enqueued at the same time; 0 means 64. They share round trips.
	Workers int
	Logger  *slog.Logger
	Now     func() time.Time
}

// Producer enqueues deliveries right after their commit. What it cannot enqueue it forgets: the sweeper finds it.
type Producer struct {
	opts    ProducerOptions
	queue   chan models.Delivery
	dropped atomic.Int64
	buckets tokenBuckets
	downAt  atomic.Int64 // Unix nanoseconds of the last failure, 0 while Redis answers
}

// NewProducer checks the options and returns a Producer.
func NewProducer(o ProducerOptions) (*Producer, error) {
	if o.Enqueuer == nil || o.Logger == nil || o.Now == nil {
		return nil, errors.New("outbox: Enqueuer, Logger and Now are needed")
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	return &Producer{opts: o, queue: make(chan models.Delivery, o.Queue)}, nil
}

// Offer takes deliveries whose rows were just committed. It never blocks and never fails.
func (p *Producer) Offer(ds []models.Delivery) {
	now := p.opts.Now()
	for _, d := range ds {
		d.Slow = d.Slow || p.buckets.exceeded(d.EndpointID, now)
		select {
		case p.queue <- d:
		default:
			p.dropped.Add(1)
		}
	}
}

// Run enqueues what is offered until ctx ends, then what is left of it, and returns.
func (p *Producer) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range p.opts.Workers {
		workers.Go(func() { p.work(ctx) })
	}
	workers.Wait()
	return nil
}

func (p *Producer) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			p.drain(context.WithoutCancel(ctx))
			return
		case d := <-p.queue:
			p.enqueue(context.WithoutCancel(ctx), d)
		}
	}
}

func (p *Producer) drain(ctx context.Context) {
	deadline := time.Now().Add(drainTimeout)
	for time.Now().Before(deadline) {
		select {
		case d := <-p.queue:
			p.enqueue(ctx, d)
		default:
			return
		}
	}
}

// enqueue tries one delivery. While Redis does not answer only one a second is tried, and only changes of that are
// logged.
func (p *Producer) enqueue(ctx context.Context, d models.Delivery) {
	down := p.downAt.Load()
	if down != 0 {
		now := time.Now().UnixNano()
		if now-down < int64(retryRedisAfter) || !p.downAt.CompareAndSwap(down, now) {
			p.dropped.Add(1)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, enqueueTimeout)
	defer cancel()
	if err := p.opts.Enqueuer.Enqueue(ctx, d, d.NextAttemptAt); err != nil {
		p.dropped.Add(1)
		if p.downAt.Swap(time.Now().UnixNano()) == 0 {
			p.opts.Logger.WarnContext(ctx, "producer.redis_away", "error", err)
		}
		return
	}
	if p.downAt.Swap(0) != 0 {
		p.opts.Logger.InfoContext(ctx, "producer.redis_back", "left_to_sweeper", p.dropped.Swap(0))
	}
}

// Dropped is how many deliveries were left to the sweeper since Redis last came back.
func (p *Producer) Dropped() int64 { return p.dropped.Load() }
