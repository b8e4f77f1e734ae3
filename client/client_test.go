package client_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/app/apptest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// try ends the test at an error.
func try[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestOperations calls every operation of a merchant once, on a running gateway.
func TestOperations(t *testing.T) {
	c, ctx := merchant(), t.Context()
	receiver := testkit.NewReceiver(t)

	m := try[client.Merchant](t)(c.GetMerchant(ctx))
	if m.AccountKey == nil || m.Name != "Shop" {
		t.Errorf("%+v", m)
	}
	if assets := try[client.AssetList](t)(c.ListAssets(ctx)); len(assets.Data) != 2 {
		t.Errorf("%+v", assets)
	}
	e := try[client.WebhookEndpoint](t)(c.CreateWebhookEndpoint(ctx,
		client.WebhookEndpointCreate{URL: receiver.URL + "/hooks", Headers: &map[string]string{"X-Team": "a"}}))
	if e.Secret == nil || e.Status != client.EndpointStatusEnabled {
		t.Fatalf("%+v", e)
	}
	secret, err := webhook.ParseSecret(*e.Secret)
	if err != nil {
		t.Fatal(err)
	}
	tested := try[client.DeliveryDetail](t)(c.TestWebhookEndpoint(ctx, e.ID,
		client.WebhookEndpointTest{EventType: new(webhook.PaymentConfirmed)}))
	if tested.State != client.DeliveryStateDelivered || len(tested.AttemptLog) != 1 ||
		*tested.AttemptLog[0].Status != http.StatusNoContent {
		t.Errorf("%+v", tested)
	}

	p := try[client.Payment](t)(c.CreatePayment(ctx,
		client.PaymentCreate{Chain: apptest.ChainName, Asset: "native", AmountDecimal: new("0.001"),
			Metadata: &map[string]string{"cart": "9"}}))
	if got := try[client.Payment](t)(c.GetPayment(ctx, p.ID)); got.Address != p.Address || got.Metadata["cart"] != "9" {
		t.Errorf("%+v", got)
	}
	if p = try[client.Payment](t)(c.CancelPayment(ctx, p.ID)); p.Status != string(client.PaymentStatusCanceled) {
		t.Errorf("%+v", p)
	}
	canceled := receiver.WaitFor(t, func(r testkit.Received) bool { return r.Type() == string(webhook.PaymentCanceled) },
		30*time.Second)

	// The bytes of an event are the same on the wire, in the list and alone.
	if _, err := webhook.Verify(canceled.Header, canceled.Body, []webhook.Secret{secret}); err != nil {
		t.Error(err)
	}
	alone := try[client.Event](t)(c.GetEvent(ctx, canceled.ID()))
	found := false
	for body, err := range c.Events(ctx, client.ListEventsParams{PaymentID: &p.ID, Limit: new(1)}) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Equal(body, canceled.Body)
	}
	if !bytes.Equal(alone, canceled.Body) || !found {
		t.Errorf("sent\n%s\nshown\n%s\nlisted: %v", canceled.Body, alone, found)
	}

	var delivery client.Delivery
	testkit.Eventually(t, 30*time.Second, "the event is delivered", func() bool {
		for d, err := range c.Deliveries(ctx, client.ListDeliveriesParams{EventID: new(canceled.ID()),
			State: new(client.DeliveryStateDelivered), CreatedAfter: new(time.Now().Add(-time.Hour))}) {
			if err != nil {
				t.Fatal(err)
			}
			delivery = d
		}
		return delivery.ID != ""
	})
	if d := try[client.DeliveryDetail](t)(c.GetDelivery(ctx, delivery.ID)); len(d.AttemptLog) != 1 ||
		d.AttemptLog[0].RequestHeaders["x-team"] != "[redacted]" && d.AttemptLog[0].RequestHeaders["X-Team"] != "[redacted]" {
		t.Errorf("%+v", d)
	}
	if d := try[client.Delivery](t)(c.Redeliver(ctx, delivery.ID)); d.ReplayOf == nil || *d.ReplayOf != delivery.ID {
		t.Errorf("%+v", d)
	}
	receiver.WaitFor(t, func(r testkit.Received) bool {
		return r.ID() == canceled.ID() && r.Header.Get(webhook.HeaderAttempt) == "2"
	}, 30*time.Second)

	if r := try[client.Replay](t)(c.ReplayWebhookEndpoint(ctx, e.ID,
		client.ReplayCreate{State: new("dead"), DryRun: new(true)})); r.ID != nil || r.Matched != 0 {
		t.Errorf("%+v", r)
	}
	r := try[client.Replay](t)(c.ReplayWebhookEndpoint(ctx, e.ID, client.ReplayCreate{State: new("dead")}))
	if got := try[client.Replay](t)(c.GetReplay(ctx, *r.ID)); got.EndpointID != e.ID {
		t.Errorf("%+v", got)
	}
	if got := try[client.Replay](t)(c.CancelReplay(ctx, *r.ID)); got.Status != "canceled" && got.Status != "done" {
		t.Errorf("%+v", got)
	}
	if s := try[client.EndpointStats](t)(c.GetWebhookEndpointStats(ctx, e.ID)); s.EndpointID != e.ID {
		t.Errorf("%+v", s)
	}
	if got := try[client.WebhookEndpoint](t)(c.DisableWebhookEndpoint(ctx, e.ID,
		client.WebhookEndpointDisable{Reason: new("moving")})); got.Status != client.EndpointStatusDisabled {
		t.Errorf("%+v", got)
	}
	if got := try[client.WebhookEndpoint](t)(c.EnableWebhookEndpoint(ctx,
		e.ID)); got.Status != client.EndpointStatusEnabled {
		t.Errorf("%+v", got)
	}
	if got := try[client.WebhookEndpoint](t)(c.RotateWebhookSecret(ctx, e.ID,
		client.SecretRotation{OverlapSeconds: new(60)})); got.Secret == nil || *got.Secret == *e.Secret ||
		len(got.Secrets) != 2 {
		t.Errorf("%+v", got.Secrets)
	}
	if err := c.DeleteWebhookEndpoint(ctx, e.ID); err != nil {
		t.Error(err)
	}
	for e, err := range c.WebhookEndpoints(ctx, client.ListWebhookEndpointsParams{}) {
		t.Errorf("%+v, %v", e, err)
	}

	k := try[client.APIKey](t)(c.CreateAPIKey(ctx,
		client.APIKeyCreate{Name: "reader", Test: new(true), Scopes: []client.Scope{client.ScopePaymentsRead}}))
	if k.Key == nil {
		t.Fatalf("%+v", k)
	}
	reader := try[*client.Client](t)(client.New(client.Options{URL: gw.URL, Key: *k.Key}))
	var refused *client.Problem
	if _, err := reader.ListDeliveries(ctx, client.ListDeliveriesParams{}); !errors.As(err, &refused) ||
		refused.Code != "insufficient_scope" || refused.RequestID == "" {
		t.Error(err)
	}
	if err := c.RevokeAPIKey(ctx, k.ID); err != nil {
		t.Error(err)
	}
	names := map[string]bool{}
	for k, err := range c.APIKeys(ctx, client.ListAPIKeysParams{Limit: new(1)}) {
		if err != nil {
			t.Fatal(err)
		}
		names[k.Name] = k.RevokedAt != nil
	}
	if len(names) != 2 || !names["reader"] {
		t.Errorf("%v", names)
	}
}

// TestOperator: with the operator token as its key, a client operates.
func TestOperator(t *testing.T) {
	c, ctx := try[*client.Client](t)(client.New(client.Options{URL: gw.URL, Key: apptest.OperatorToken})), t.Context()
	id, _ := gw.NewMerchant()
	if got := try[client.Pauses](t)(c.PauseMerchant(ctx, id, client.Pause{Reason: "drill"})); len(got.Merchants) != 1 {
		t.Errorf("%+v", got)
	}
	if got := try[client.OperatedMerchant](t)(c.AdminGetMerchant(ctx, id)); got.DeliveriesPausedAt == nil {
		t.Errorf("%+v", got)
	}
	if got := try[client.Pauses](t)(c.ResumeMerchant(ctx, id)); len(got.Merchants) != 0 {
		t.Errorf("%+v", got)
	}
	if got := try[client.AuditPage](t)(c.ListAudit(ctx, client.ListAuditParams{Limit: new(2)})); len(got.Data) != 2 {
		t.Errorf("%+v", got)
	}
	if got := try[client.MerchantList](t)(c.ListMerchants(ctx)); len(got.Data) == 0 {
		t.Error("no merchants")
	}
	if _, err := merchant().ListPauses(ctx); err == nil {
		t.Error("a merchant's key operates")
	}
}
