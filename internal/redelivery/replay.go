package redelivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// MaxReplayRate is the most deliveries a second that a replay job may ask for.
	MaxReplayRate = 1000
	// DefaultReplayRate is what it gets when it asks for nothing.
	DefaultReplayRate = 50
)

// replayable are the states of deliveries that a job can be narrowed to: what is over.
var replayable = []models.DeliveryState{models.DeliveryDelivered, models.DeliveryDead, models.DeliveryCanceled}

// ReplayRunningError says that a job sends to the endpoint again already.
type ReplayRunningError struct{ ID string }

func (e *ReplayRunningError) Error() string {
	return "replay " + e.ID + " to this endpoint is still running: wait for its end or cancel it"
}

// ReplayRequest asks to send again what matches. Empty fields match everything.
type ReplayRequest struct {
	EventType     string
	State         string // of the newest delivery of an event
	CreatedAfter  *time.Time
	CreatedBefore *time.Time
	Rate          int  // deliveries a second, 0 meaning [DefaultReplayRate]
	Test          bool // only events of test mode
}

// PlanReplay checks a request and tells what it would come to, as a job that is not on record: its Matched is the
// answer of a dry run. It returns [models.FieldErrors] for a request that makes no sense, [ErrEndpointDisabled] for a
// disabled endpoint.
func (s *Service) PlanReplay(ctx context.Context, q *store.Queries, merchantID, endpointID string,
	r ReplayRequest) (models.Replay, error) {
	e, err := q.Endpoint(ctx, merchantID, endpointID)
	if err != nil {
		return models.Replay{}, err
	}
	if e.Status == models.EndpointDisabled {
		return models.Replay{}, ErrEndpointDisabled
	}
	now := s.now()
	job := models.Replay{
		ID: models.NewID(models.PrefixReplay, now), MerchantID: merchantID, EndpointID: endpointID, EventType: r.EventType,
		State: r.State, CreatedBefore: now, Rate: r.Rate, Test: r.Test || e.Mode == models.ModeTest,
		Status: models.ReplayRunning, NextAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if r.CreatedAfter != nil {
		after := r.CreatedAfter.UTC().Truncate(time.Microsecond)
		job.CreatedAfter = &after
	}
	if r.CreatedBefore != nil && r.CreatedBefore.Before(now) {
		job.CreatedBefore = r.CreatedBefore.UTC().Truncate(time.Microsecond)
	}
	if job.Rate == 0 {
		job.Rate = DefaultReplayRate
	}
	var problems models.FieldErrors
	if job.Rate < 1 || job.Rate > MaxReplayRate {
		problems = append(problems, models.FieldError{Field: "rate",
			Message: fmt.Sprintf("must be 1 to %d deliveries a second", MaxReplayRate), Example: fmt.Sprint(DefaultReplayRate)})
	}
	if r.State != "" && !slices.Contains(replayable, models.DeliveryState(r.State)) {
		problems = append(problems, models.FieldError{Field: "state", Message: "must be delivered, dead or canceled",
			Example: "dead"})
	}
	if job.CreatedAfter != nil && !job.CreatedAfter.Before(job.CreatedBefore) {
		problems = append(problems, models.FieldError{Field: "created_after",
			Message: "must be earlier than created_before " +
				"and than now", Example: now.Add(-time.Hour).Format(time.RFC3339)})
	}
	if len(problems) > 0 {
		return job, problems
	}
	job.Matched, err = q.CountReplayed(ctx, job)
	return job, err
}

// StartReplay puts a job on record; any worker carries it out. While another one sends to the endpoint it is a
// [*ReplayRunningError].
func (s *Service) StartReplay(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID, endpointID string,
	r ReplayRequest) (models.Replay, error) {
	e, err := tx.LockEndpoint(ctx, merchantID, endpointID) // one at a time
	if err != nil {
		return models.Replay{}, err
	}
	if other, err := tx.RunningReplay(ctx, endpointID); err == nil {
		return other, &ReplayRunningError{other.ID}
	} else if !errors.Is(err, models.ErrNotFound) {
		return other, err
	}
	job, err := s.PlanReplay(ctx, &tx.Queries, merchantID, endpointID, r)
	if err != nil {
		return job, err
	}
	job.Actor = actor.Name
	if err := tx.InsertReplay(ctx, job); err != nil {
		return job, err
	}
	return job, s.audit(ctx, tx, actor, "replay.started", e.ID, e.MerchantID, map[string]string{
		"replay_id": job.ID, "matched": fmt.Sprint(job.Matched), "rate": fmt.Sprint(job.Rate), "event_type": job.EventType,
		"state": job.State,
	})
}

// CancelReplay ends a job; what it has made deliveries of is sent all the same. A job that is over stays as it is.
func (s *Service) CancelReplay(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	id string) (models.Replay, error) {
	job, err := tx.LockReplay(ctx, merchantID, id)
	if err != nil || job.Status != models.ReplayRunning {
		return job, err
	}
	job.Status, job.UpdatedAt = models.ReplayCanceled, s.now()
	if err := tx.SaveReplay(ctx, job); err != nil {
		return job, err
	}
	return job, s.auditReplay(ctx, tx, actor, "replay.canceled", job)
}

func (s *Service) auditReplay(ctx context.Context, tx *store.Tx, actor models.Actor, action string,
	job models.Replay) error {
	return s.audit(ctx, tx, actor, action, job.EndpointID, job.MerchantID, map[string]string{
		"replay_id": job.ID, "matched": fmt.Sprint(job.Matched), "replayed": fmt.Sprint(job.Replayed),
		"skipped": fmt.Sprint(job.Skipped),
	})
}
