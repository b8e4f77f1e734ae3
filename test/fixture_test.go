package test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/api"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/contract"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// fixture is a whole gateway of processes, with one merchant that has one endpoint.
type fixture struct {
	*gateway.Gateway
	t        *testing.T
	receiver *testkit.Receiver
	merchant gateway.Merchant
	api      *client.Client // as the merchant
	endpoint string
	secret   webhook.Secret
}

// newFixture sets everything up and starts api, worker and scanner.
func newFixture(t *testing.T, c gateway.Chain, extra ...string) *fixture {
	t.Helper()
	return newFixtureOn(t, c, "", extra...)
}

// newFixtureOn is newFixture on a Redis that the test has started; "" for one of its own.
func newFixtureOn(t *testing.T, c gateway.Chain, redisURL string, extra ...string) *fixture {
	t.Helper()
	h := &fixture{t: t, receiver: testkit.NewReceiver(t)}
	h.Gateway = gateway.New(t, gateway.Options{Chain: c, DatabaseURL: testkit.Postgres(t), RedisURL: redisURL,
		Env: append([]string{"WEBHOOK_LANES=2"}, extra...)})
	checkContract(t, h.Gateway)
	for _, name := range []string{"api", "worker", "scanner"} {
		h.Start(name)
	}
	h.WaitReady("api")
	h.WaitScanned()
	h.merchant = h.NewMerchant()
	h.api = h.API(h.merchant)
	e := h.NewEndpoint(h.merchant, client.WebhookEndpointCreate{URL: h.receiver.URL + "/hooks"})
	h.endpoint, h.secret = e.ID, e.Secret
	return h
}

// checkContract holds every answer that the gateway gives to its callers against the OpenAPI file.
func checkContract(t *testing.T, h *gateway.Gateway) {
	t.Helper()
	c, err := contract.New(api.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	h.Client.Transport = c.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
}

// create makes a payment, however often the API dies meanwhile: the idempotency key makes it one.
func (h *fixture) create(ctx context.Context, key, asset, amount string) client.Payment {
	h.t.Helper()
	for ctx.Err() == nil {
		in := client.PaymentCreate{Chain: h.Chain, Asset: asset, Amount: &amount, OrderID: &key}
		p, err := h.api.CreatePayment(ctx, in, client.IdempotencyKey(key))
		if err == nil {
			return p
		}
		h.t.Log(err)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	h.t.Errorf("payment %s could not be made", key)
	return client.Payment{}
}

func (h *fixture) status(id string) string {
	h.t.Helper()
	p, err := h.api.GetPayment(h.t.Context(), id)
	if err != nil {
		h.t.Log(err)
	}
	return p.Status
}

// holdsEverything holds what the receiver has against what the record says was to be sent.
func (h *fixture) holdsEverything() {
	h.t.Helper()
	rows, err := h.DB.Query("SELECT id, coalesce(payment_id, ''), type, sequence FROM events")
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	got := make(map[string][]byte)
	for _, r := range h.receiver.All() {
		if first, ok := got[r.ID()]; ok && !bytes.Equal(first, r.Body) {
			h.t.Errorf("%s came with two bodies", r.ID())
		}
		got[r.ID()] = r.Body
	}
	sent, bySequence := 0, make(map[string]string)
	for rows.Next() {
		var id, pay, kind string
		var sequence int
		if err := rows.Scan(&id, &pay, &kind, &sequence); err != nil {
			h.t.Fatal(err)
		}
		sent++
		if _, ok := got[id]; !ok {
			h.t.Errorf("%s (%s of %s) was never received", id, kind, pay)
		}
		key := fmt.Sprintf("%s %d", pay, sequence)
		if other, ok := bySequence[key]; ok && pay != "" {
			h.t.Errorf("%s has two ids: %s and %s", key, other, id)
		}
		bySequence[key] = id
		delete(got, id)
	}
	for id := range got {
		h.t.Errorf("%s was received and is on no record", id)
	}
	h.t.Logf("%d events, %d requests", sent, len(h.receiver.All()))
}
