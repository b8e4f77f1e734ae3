package redelivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// replayStep is how much of a job, in time at its rate, is done in one transaction.
	replayStep = 500 * time.Millisecond
	// maxReplayStep is how many deliveries a step makes at most, so that jobs of others have their turn soon.
	maxReplayStep = 100
	// replayIdle is how often a Replayer looks for jobs, replayPause how soon it looks for a step that is due.
	replayIdle  = time.Second
	replayPause = 20 * time.Millisecond
)

// ReplayerOptions are what a Replayer needs.
type ReplayerOptions struct {
	Service *Service
	Logger  *slog.Logger
}

// Replayer carries out replay jobs. A step, which is new deliveries, the cursor behind what they repeat and the count
// of both, is one transaction: a worker that dies loses nothing of it and repeats nothing, and another one goes on. Any
// number may run; they share the jobs, and each job keeps its rate.
type Replayer struct {
	service *Service
	log     *slog.Logger
	failing bool // the last step failed
}

// NewReplayer checks the options and returns a Replayer.
func NewReplayer(o ReplayerOptions) (*Replayer, error) {
	if o.Service == nil || o.Logger == nil {
		return nil, errors.New("redelivery: Service and Logger are needed")
	}
	return &Replayer{service: o.Service, log: o.Logger}, nil
}

// Run carries out jobs until ctx ends.
func (r *Replayer) Run(ctx context.Context) error {
	for {
		worked, err := r.Step(ctx)
		if err != nil && !r.failing && ctx.Err() == nil {
			r.log.WarnContext(ctx, "replayer.failed", "error", err)
		}
		r.failing = err != nil
		pause := time.Duration(0)
		switch {
		case err != nil:
			pause = replayIdle
		case !worked:
			pause = r.pause(ctx)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// pause is how long nothing is due.
func (r *Replayer) pause(ctx context.Context) time.Duration {
	at, err := r.service.store.NextReplayAt(ctx)
	if err != nil || at.IsZero() {
		return replayIdle
	}
	return min(max(at.Sub(r.service.now()), replayPause), replayIdle)
}

// Step does one step of a job, merchant by merchant in turn, and returns false when none is due.
func (r *Replayer) Step(ctx context.Context) (bool, error) {
	s := r.service
	var ended *models.Replay
	err := s.store.InTx(ctx, func(tx *store.Tx) error {
		ended = nil
		job, err := tx.ClaimReplay(ctx, s.now())
		if err != nil {
			return err
		}
		if err := s.advance(ctx, tx, &job); err != nil {
			return err
		}
		if job.Status != models.ReplayRunning {
			ended = &job
			action := "replay.done"
			if job.Status == models.ReplayCanceled {
				action = "replay.canceled"
			}
			if err := tx.SaveReplay(ctx, job); err != nil {
				return err
			}
			return s.auditReplay(ctx, tx, models.System, action, job)
		}
		return tx.SaveReplay(ctx, job)
	})
	if errors.Is(err, models.ErrNotFound) {
		return false, nil
	}
	if ended != nil && err == nil {
		r.log.InfoContext(ctx, "replay.ended", "replay_id", ended.ID, "status", ended.Status, "replayed", ended.Replayed,
			"skipped", ended.Skipped)
	}
	return err == nil, err
}

// advance makes deliveries of the next ones that match, and moves the job behind them.
func (s *Service) advance(ctx context.Context, tx *store.Tx, job *models.Replay) error {
	now := s.now()
	job.UpdatedAt = now
	e, err := tx.Endpoint(ctx, job.MerchantID, job.EndpointID)
	if errors.Is(err, models.ErrNotFound) { // deleted meanwhile, and with it the wish
		job.Status = models.ReplayCanceled
		return nil
	} else if err != nil {
		return err
	}
	size := min(max(1, int(time.Duration(job.Rate)*replayStep/time.Second)), maxReplayStep)
	matching, err := tx.NextReplayed(ctx, *job, size)
	if err != nil {
		return err
	}
	var again []models.Delivery
	for _, d := range matching {
		job.CursorAt, job.CursorID = &d.CreatedAt, d.ID
		if d.State == models.DeliveryPending || d.State == models.DeliveryHeld {
			job.Skipped++ // it is going to be sent anyway
			continue
		}
		next, err := s.repeat(ctx, tx, d, e, now)
		if errors.Is(err, models.ErrNotFound) { // its event's retention has ended
			job.Skipped++
			continue
		} else if err != nil {
			return err
		}
		next.ReplayID = &job.ID
		again = append(again, next)
	}
	job.Replayed += len(again)
	job.NextAt = now.Add(time.Duration(len(again)) * time.Second / time.Duration(job.Rate))
	if len(matching) < size {
		job.Status = models.ReplayDone
	}
	return tx.InsertDeliveries(ctx, again)
}
