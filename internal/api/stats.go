package api

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// statsWindow is how far back attempts are counted.
const statsWindow = 24 * time.Hour

// GetWebhookEndpointStats tells how an endpoint does.
func (h *handlers) GetWebhookEndpointStats(ctx context.Context,
	r GetWebhookEndpointStatsRequestObject) (GetWebhookEndpointStatsResponseObject, error) {
	e, err := h.ownEndpoint(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	since := h.now().UTC().Add(-statsWindow)
	s, err := h.store.EndpointStats(ctx, e, since)
	if err != nil {
		return nil, err
	}
	v := GetWebhookEndpointStats200JSONResponse{
		EndpointID: e.ID, Since: webhook.At(since), Attempts: s.Attempts, Succeeded: s.Succeeded,
		AuthRejected: s.AuthRejected, Pending: s.Pending, Held: s.Held, Dead: s.Dead,
		Breaker:         Breaker{State: e.BreakerState, OpenUntil: webhook.AtPtr(e.BreakerOpenUntil)},
		OldestPendingAt: webhook.AtPtr(s.OldestPending),
	}
	if s.Attempts > 0 {
		rate, p50, p95 := float64(s.Succeeded)/float64(s.Attempts), millis(s.P50Micros), millis(s.P95Micros)
		v.SuccessRate, v.P50Ms, v.P95Ms = &rate, &p50, &p95
	}
	return v, nil
}
