package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
)

// ServerOptions are what a Server needs.
type ServerOptions struct {
	Redis  *Redis
	Client *Client
	Sender *delivery.Sender
	// Concurrency is how many tasks are worked on at the same time, over all lanes. A quarter of it is for retries, an
	// eighth for slow endpoints.
	Concurrency int
	// PollInterval is how often an idle lane looks for a new task when REDIS_BATCHING is off, half of it being the latency
	// it adds; 0 means 10 ms.
	PollInterval time.Duration
	// RetryPollInterval is how often waiting retries are looked at; 0 means 500 ms.
	RetryPollInterval time.Duration
	// ShutdownGrace is how long Run waits at its end for the tasks that are worked on; what is not done then is handed
	// back. 0 means 45 s.
	ShutdownGrace time.Duration
	Logger        *slog.Logger
}

const (
	minConcurrency = 8
	drainInterval  = time.Minute
)

// Server works on tasks: an Asynq server for each lane of first tries, because one takes its tasks one after the other,
// one for the retries, so that those never stand in front of first tries, and one for slow endpoints, so that those
// hold up nobody else.
type Server struct {
	opts        ServerOptions
	servers     map[string]*asynq.Server
	slots       map[string]*slots
	prefetchers []*prefetcher
	slowPace    time.Duration
}

// NewServer checks the options and returns a Server. Nothing is dialed.
func NewServer(o ServerOptions) (*Server, error) {
	if o.Redis == nil || o.Client == nil || o.Sender == nil || o.Logger == nil {
		return nil, errors.New("jobs: Redis, Client, Sender and Logger are needed")
	}
	if o.Concurrency < 1 {
		return nil, errors.New("jobs: Concurrency is not positive")
	}
	if o.PollInterval == 0 {
		o.PollInterval = 10 * time.Millisecond
	}
	if o.RetryPollInterval == 0 {
		o.RetryPollInterval = 500 * time.Millisecond
	}
	if o.ShutdownGrace == 0 {
		o.ShutdownGrace = 45 * time.Second
	}
	s := &Server{opts: o, servers: make(map[string]*asynq.Server), slots: make(map[string]*slots)}
	first := (o.Concurrency*5/8 + int(o.Client.lanes) - 1) / int(o.Client.lanes)
	for _, queue := range o.Client.lanes.names() {
		concurrency, poll := max(first, minConcurrency), o.PollInterval
		switch queue {
		case retryQueue:
			concurrency, poll = max(o.Concurrency/4, minConcurrency), max(o.PollInterval, o.RetryPollInterval/5)
		case slowQueue:
			concurrency, poll = max(o.Concurrency/8, minConcurrency), max(o.PollInterval, o.RetryPollInterval/5)
			s.slowPace = time.Duration(concurrency) * time.Second / turnedAway
		}
		s.slots[queue] = &slots{total: concurrency}
		if !o.Redis.plainAsynq {
			poll = time.Millisecond // an empty lane waits by itself
		}
		lane := newLaneClient(o.Redis, queue, s.slots[queue])
		if lane.prefetcher != nil {
			s.prefetchers = append(s.prefetchers, lane.prefetcher)
		}
		s.servers[queue] = asynq.NewServerFromRedisClient(lane, asynq.Config{
			Concurrency: concurrency, Queues: map[string]int{queue: 1}, TaskCheckInterval: poll,
			DelayedTaskCheckInterval: o.RetryPollInterval, ShutdownTimeout: o.ShutdownGrace,
			IsFailure: isFailure, RetryDelayFunc: delays(o.Client.now),
			Logger: logger{o.Logger, queue}, LogLevel: asynq.WarnLevel,
		})
	}
	return s, nil
}

// Run works on tasks until ctx ends, and returns when what was in flight then is finished or handed back. A Redis that
// is away is waited for.
func (s *Server) Run(ctx context.Context) error {
	h := &handler{client: s.opts.Client, sender: s.opts.Sender, slots: s.slots, slowPace: s.slowPace}
	mux := asynq.NewServeMux()
	mux.Handle(TypeSendWebhook, h)
	var started []*asynq.Server
	var failed error
	for queue, srv := range s.servers {
		if err := srv.Start(mux); err != nil {
			failed = fmt.Errorf("jobs: start %s: %w", queue, err)
			break
		}
		started = append(started, srv)
	}
	hearing, deaf := context.WithCancel(context.WithoutCancel(ctx))
	var subscription sync.WaitGroup
	subscription.Go(func() { s.opts.Redis.wake.run(hearing) })
	if failed == nil {
		s.drain(ctx)
	}
	s.opts.Redis.wake.close()
	s.opts.Sender.Leave() // before the tasks are waited for, some of which may wait for the record
	// All of them at once: no lane takes new work while another finishes, or waits for a Redis that hangs.
	for _, p := range s.prefetchers {
		p.closed.Store(true)
	}
	var halting, stopping sync.WaitGroup
	for _, srv := range started {
		halting.Go(srv.Stop)
	}
	halting.Wait()
	s.handBack(ctx)
	for _, srv := range started {
		stopping.Go(srv.Shutdown)
	}
	stopping.Wait()
	deaf()
	subscription.Wait()
	h.workers.dismiss()
	return failed
}

// handBack gives back what was taken and not begun. Nobody asks for it any more, and another worker can have it now.
func (s *Server) handBack(ctx context.Context) {
	for _, t := range s.prefetchers {
		if err := t.close(context.WithoutCancel(ctx)); err != nil {
			s.opts.Logger.WarnContext(ctx, "tasks.not_handed_back", "error", err)
		}
	}
}

// drain keeps the archive short until ctx ends.
func (s *Server) drain(ctx context.Context) {
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n, err := s.opts.Client.DrainArchive(ctx, ArchiveMost); err != nil {
				s.opts.Logger.WarnContext(ctx, "archive.drain_failed", "error", err)
			} else if n > 0 {
				s.opts.Logger.InfoContext(ctx, "archive.drained", "tasks", n)
			}
		}
	}
}

// logger gives what Asynq says to slog. Its "Retry exhausted" for every archived task is the dead delivery that the
// record tells about already.
type logger struct {
	to    *slog.Logger
	queue string
}

func (l logger) Debug(args ...any) {
	l.to.Debug("asynq.said", "queue", l.queue, "text", fmt.Sprint(args...))
}
func (l logger) Info(args ...any) {
	l.to.Debug("asynq.said", "queue", l.queue, "text", fmt.Sprint(args...))
}
func (l logger) Error(args ...any) {
	l.to.Error("asynq.said", "queue", l.queue, "text", fmt.Sprint(args...))
}
func (l logger) Fatal(args ...any) {
	l.to.Error("asynq.said", "queue", l.queue, "text", fmt.Sprint(args...))
}

func (l logger) Warn(args ...any) {
	text := fmt.Sprint(args...)
	level := slog.LevelWarn
	if strings.HasPrefix(text, "Retry exhausted") {
		level = slog.LevelDebug
	}
	l.to.Log(context.Background(), level, "asynq.said", "queue", l.queue, "text", text)
}
