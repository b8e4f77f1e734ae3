package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ReplayRequest asks to send again to an endpoint what matches; empty fields match everything.
type ReplayRequest = redelivery.ReplayRequest

// Replay is a replay job and how far it is. A dry run has no id.
type Replay struct {
	ID            string     `json:"id"`
	MerchantID    string     `json:"merchant_id"`
	EndpointID    string     `json:"endpoint_id"`
	EventType     string     `json:"event_type"`
	State         string     `json:"state"`
	CreatedAfter  *time.Time `json:"created_after"`
	CreatedBefore time.Time  `json:"created_before"`
	Rate          int        `json:"rate"` // deliveries a second
	Status        string     `json:"status"`
	Matched       int        `json:"matched"`
	Replayed      int        `json:"replayed"`
	Skipped       int        `json:"skipped"`
}

// Ended reports whether nothing more comes of it.
func (r Replay) Ended() bool { return r.Status != models.ReplayRunning }

func replayOf(j models.Replay) Replay {
	return Replay{
		ID: j.ID, MerchantID: j.MerchantID, EndpointID: j.EndpointID, EventType: j.EventType, State: j.State,
		CreatedAfter: utc(j.CreatedAfter), CreatedBefore: j.CreatedBefore.UTC(), Rate: j.Rate, Status: j.Status,
		Matched: j.Matched, Replayed: j.Replayed, Skipped: j.Skipped,
	}
}

// PlanReplay tells what a replay would come to.
func (a *Admin) PlanReplay(ctx context.Context, endpointID string, r ReplayRequest) (Replay, error) {
	return a.replay(ctx, endpointID, func(s *redelivery.Service, tx *store.Tx, merchantID string) (models.Replay, error) {
		job, err := s.PlanReplay(ctx, &tx.Queries, merchantID, endpointID, r)
		job.ID, job.Status = "", "dry_run"
		return job, err
	})
}

// StartReplay makes a job that workers carry out.
func (a *Admin) StartReplay(ctx context.Context, endpointID string, r ReplayRequest) (Replay, error) {
	return a.replay(ctx, endpointID, func(s *redelivery.Service, tx *store.Tx, merchantID string) (models.Replay, error) {
		return s.StartReplay(ctx, tx, a.actor, merchantID, endpointID, r)
	})
}

// replay runs one operation of the endpoint's owner.
func (a *Admin) replay(
	ctx context.Context, endpointID string, operation func(*redelivery.Service, *store.Tx, string) (models.Replay, error),
) (Replay, error) {
	service, err := a.redelivery()
	if err != nil {
		return Replay{}, err
	}
	var job models.Replay
	err = a.store.InTx(ctx, func(tx *store.Tx) error {
		merchantID, err := tx.MerchantOfEndpoint(ctx, endpointID)
		if err == nil {
			job, err = operation(service, tx, merchantID)
		}
		return notFound(err, "webhook endpoint", endpointID)
	})
	return replayOf(job), err
}

// Replay reads a job.
func (a *Admin) Replay(ctx context.Context, id string) (Replay, error) {
	job, err := a.store.ReplayByID(ctx, id)
	return replayOf(job), notFound(err, "replay", id)
}

// CancelReplay ends a job; what it has made deliveries of is sent all the same.
func (a *Admin) CancelReplay(ctx context.Context, id string) (Replay, error) {
	service, err := a.redelivery()
	if err != nil {
		return Replay{}, err
	}
	job, err := a.store.ReplayByID(ctx, id)
	if err != nil {
		return Replay{}, notFound(err, "replay", id)
	}
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		job, err = service.CancelReplay(ctx, tx, a.actor, job.MerchantID, id)
		return err
	})
	return replayOf(job), err
}
