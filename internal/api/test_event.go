package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// testPatience is how long after the timeout of its request a test gives up.
	testPatience = 3 * time.Second
	// maxTestWait is the longest wait where requests have no time limit.
	maxTestWait = 20 * time.Second
	// testsOfEndpoint, testsOfMerchant and testsOfAll are how many tests may wait at once in one process. The next is told
	// to come again in testsAgain, and nothing is sent.
	testsOfEndpoint = 3
	testsOfMerchant = 10
	testsOfAll      = 200
	testsAgain      = 2 * time.Second
)

// TestWebhookEndpoint sends a real signed event and waits for the verdict; when the endpoint takes longer than its
// timeout allows, the delivery is still pending in the answer.
func (h *handlers) TestWebhookEndpoint(ctx context.Context,
	r TestWebhookEndpointRequestObject) (TestWebhookEndpointResponseObject, error) {
	x := callerOf(ctx)
	e, err := h.ownEndpoint(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	var test endpoints.Test
	if b := r.Body; b != nil {
		test = endpoints.Test{EventType: webhook.EventType(deref(b.EventType)), SignWith: deref(b.SignWith)}
	}
	var d models.Delivery
	var leave func()
	defer func() {
		if leave != nil {
			leave()
		}
	}()
	a, err := h.once(ctx, r.Params.IdempotencyKey, func(tx *store.Tx) (savedAnswer, error) {
		var ok bool
		if leave == nil { // a transaction that is run again keeps its slot
			leave, ok = h.waiting.Take(map[string]int{e.ID: testsOfEndpoint, x.merchant.ID: testsOfMerchant,
				limits.Everybody: testsOfAll})
			if !ok {
				return savedAnswer{}, NewProblem(CodeRateLimited, "As many tests as may wait at once are waiting for this "+
					"endpoint, or for this merchant. Nothing was sent.").RetryAfter(testsAgain)
			}
		}
		if d, err = h.endpoints.SendTest(ctx, tx, x.actor(), x.merchant.ID, e.ID, test); err != nil {
			return savedAnswer{}, err
		}
		v, err := detailView(d, nil)
		if err != nil {
			return savedAnswer{}, err
		}
		return answer(http.StatusOK, v)
	})
	if err != nil || d.ID == "" { // refused, or an earlier answer again
		return a, err
	}
	wait, cancel := context.WithTimeout(ctx, h.testWait(e))
	defer cancel()
	x.share.Leave()
	h.verdicts.wait(wait, d.ID)
	if err := x.share.Reacquire(ctx); err != nil {
		return nil, err
	}
	row, err := h.store.Delivery(ctx, x.merchant.ID, d.ID)
	if err != nil {
		return nil, err
	}
	return h.detail(ctx, x, row)
}

// testWait is how long a test waits for its verdict: the endpoint's timeout, or the deployment's, and testPatience; but
// no longer than two thirds of the time that a request has, so that there is an answer before whoever asks gives up.
func (h *handlers) testWait(e models.Endpoint) time.Duration {
	longest := maxTestWait
	if h.limits.Timeout > 0 {
		longest = min(longest, h.limits.Timeout*2/3)
	}
	timeout := h.timeout
	if e.TimeoutMS != nil {
		timeout = time.Duration(*e.TimeoutMS) * time.Millisecond
	}
	return min(timeout+testPatience, longest)
}
