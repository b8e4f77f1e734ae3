package app

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/jobs"
)

const (
	// stopMargin is what the rest of a worker needs of the grace period after its tasks are done.
	stopMargin = 5 * time.Second
	// defaultsEvery is how often merchants without an endpoint are looked for while there is a default WEBHOOK_URL.
	defaultsEvery = 30 * time.Second
)

// buildWorker makes what delivers: the sender, the Asynq servers that feed it, and the sweeper.
func (a *App) buildWorker(context.Context) error {
	if a.o.Roles&Worker == 0 {
		return nil
	}
	w := a.cfg.Webhook
	sender, err := delivery.NewSender(delivery.SenderOptions{
		Store: a.store, Endpoints: a.endpoints, Redelivery: a.redelivery, Client: a.egress,
		Schedule: delivery.Schedule{Base: w.RetryBase, Factor: w.RetryFactor, Max: w.RetryMax, Jitter: w.RetryJitter},
		Breaker: breaker.Rules{
			Window: w.BreakerWindow, MinAttempts: w.BreakerAttempts, FailureRatio: w.BreakerRatio, Timeouts: w.BreakerTimeouts,
			Open: w.BreakerOpen, MaxOpen: w.BreakerOpenMax, DisableAfter: w.DisableAfter, SlowAbove: w.SlowAbove,
		},
		Timeout: w.Timeout, MaxInFlight: w.MaxInFlight, HostInFlight: w.HostInFlight, Slots: a.redis,
		CommitBatch: w.CommitBatch, CommitWait: w.CommitWait,
		Writes: a.heart.Beats, VerdictSaver: a.jobs, Vault: a.vault,
		Metrics: a.metrics, Tracing: a.tracing, Logger: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	a.checks = append(a.checks, check{"verdicts", a.o.Roles&API == 0, sender.Check})
	a.part("sender", sender.Run)
	sweeper, err := outbox.NewSweeper(outbox.SweeperOptions{
		Store: a.store, Tasks: a.jobs, Interval: w.SweepInterval, Batch: w.SweepBatch, SlowStart: breaker.SlowStart,
		Timeout: w.Timeout, Metrics: a.metrics, Logger: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	a.part("sweeper", sweeper.Run)
	server, err := jobs.NewServer(jobs.ServerOptions{
		Redis: a.redis, Client: a.jobs, Sender: sender, Concurrency: w.Concurrency, PollInterval: w.PollInterval,
		RetryPollInterval: w.RetryPollInterval, ShutdownGrace: max(a.cfg.ShutdownGrace-stopMargin, time.Second),
		Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.part("asynq", server.Run)
	a.metrics.Lanes(a.jobs.Lanes)
	return a.buildMaintenance()
}

// buildMaintenance builds what a worker does beside sending.
func (a *App) buildMaintenance() error {
	w := a.cfg.Webhook
	batcher, err := maintenance.NewBatcher(maintenance.BatcherOptions{Store: a.store, MaxAttempts: w.MaxAttempts,
		Logger: a.log, Now: time.Now})
	if err != nil {
		return err
	}
	a.part("batcher", batcher.Run)
	replayer, err := redelivery.NewReplayer(redelivery.ReplayerOptions{Service: a.redelivery, Logger: a.log})
	if err != nil {
		return err
	}
	a.part("replayer", replayer.Run)
	retention, err := maintenance.NewRetention(maintenance.RetentionOptions{
		Store: a.store, Deliveries: a.cfg.Retention.Deliveries, Events: a.cfg.Retention.Events, Logger: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	a.part("retention", retention.Run)
	watch, err := maintenance.NewWatch(maintenance.WatchOptions{
		Store: a.store, Endpoints: a.endpoints, SecretMaxAge: w.SecretMaxAge, Every: a.cfg.WatchInterval,
		Metrics: a.metrics, Logger: a.log,
		Now: time.Now,
	})
	if err != nil {
		return err
	}
	a.part("watch", watch.Run)
	if w.URL.Reveal() != "" {
		a.part("default endpoints", a.ensureDefaults)
	}
	return nil
}

// ensureDefaults gives every merchant without an endpoint the deployment's own.
func (a *App) ensureDefaults(ctx context.Context) error {
	tick := time.NewTicker(defaultsEvery)
	defer tick.Stop()
	for {
		merchants, err := a.store.Merchants(ctx)
		ids := make([]string, len(merchants))
		for i, m := range merchants {
			ids[i] = m.ID
		}
		if err == nil {
			err = a.endpoints.EnsureDefaults(ctx, ids)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "default_endpoints.failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
