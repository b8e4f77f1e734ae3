package api

import (
	"context"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// statusDryRun is the status of a replay that was only counted.
const statusDryRun = "dry_run"

// ReplayWebhookEndpoint makes a job that sends again what matches, or tells how much that would be.
func (h *handlers) ReplayWebhookEndpoint(ctx context.Context,
	r ReplayWebhookEndpointRequestObject) (ReplayWebhookEndpointResponseObject, error) {
	x := callerOf(ctx)
	e, err := h.ownEndpoint(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	b := r.Body
	if b == nil {
		b = &ReplayCreate{}
	}
	ask := redelivery.ReplayRequest{
		EventType: string(deref(b.EventType)), State: deref(b.State), CreatedAfter: b.CreatedAfter,
		CreatedBefore: b.CreatedBefore, Rate: deref(b.Rate), Test: x.key.Test,
	}
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		if deref(b.DryRun) {
			plan, err := h.redelivery.PlanReplay(ctx, &tx.Queries, x.merchant.ID, e.ID, ask)
			if err != nil {
				return savedAnswer{}, err
			}
			v := replayView(plan)
			v.ID, v.Status = nil, statusDryRun
			return answer(http.StatusOK, v)
		}
		job, err := h.redelivery.StartReplay(ctx, tx, x.actor(), x.merchant.ID, e.ID, ask)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusAccepted, replayView(job))
	})
}

// GetReplay shows a job and how far it is.
func (h *handlers) GetReplay(ctx context.Context, r GetReplayRequestObject) (GetReplayResponseObject, error) {
	job, err := h.ownReplay(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return GetReplay200JSONResponse(replayView(job)), nil
}

// CancelReplay ends a job.
func (h *handlers) CancelReplay(ctx context.Context, r CancelReplayRequestObject) (CancelReplayResponseObject, error) {
	x := callerOf(ctx)
	if _, err := h.ownReplay(ctx, r.ID); err != nil {
		return nil, err
	}
	return h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		job, err := h.redelivery.CancelReplay(ctx, tx, x.actor(), x.merchant.ID, r.ID)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusOK, replayView(job))
	})
}

// ownReplay reads a job of the caller; a test key sees those to test endpoints alone.
func (h *handlers) ownReplay(ctx context.Context, id string) (models.Replay, error) {
	x := callerOf(ctx)
	if !models.IsID(models.PrefixReplay, id) {
		return models.Replay{}, NotFound("replay")
	}
	job, err := h.store.Replay(ctx, x.merchant.ID, id)
	if err == nil && x.key.Test {
		var e models.Endpoint
		if e, err = h.store.EndpointByID(ctx, job.EndpointID); err == nil && (!job.Test || !x.key.Sees(e.Mode)) {
			err = models.ErrNotFound
		}
	}
	return job, h.orNotFound(err, "replay")
}

func replayView(j models.Replay) Replay {
	return Replay{
		ID: &j.ID, EndpointID: j.EndpointID, EventType: orNull(j.EventType), State: orNull(j.State),
		CreatedAfter: webhook.AtPtr(j.CreatedAfter), CreatedBefore: webhook.At(j.CreatedBefore), Rate: j.Rate,
		Status: j.Status, Matched: j.Matched, Replayed: j.Replayed, Skipped: j.Skipped, CreatedAt: webhook.At(j.CreatedAt),
		UpdatedAt: webhook.At(j.UpdatedAt),
	}
}
