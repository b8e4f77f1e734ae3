package endpoints_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func ptr[T any](v T) *T { return &v }

func TestEndpointSettingsAreChecked(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	m := w.Merchant()
	create := func(set endpoints.Settings, secret *string) error {
		return w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			_, _, err := w.Endpoints.Create(t.Context(), tx, models.System, m, set, secret)
			return err
		})
	}
	good := ptr("https://shop.example/hook")
	for name, c := range map[string]struct {
		set    endpoints.Settings
		secret *string
		field  string
	}{
		"no url":          {set: endpoints.Settings{}, field: "url"},
		"private address": {set: endpoints.Settings{URL: ptr("https://10.1.2.3/")}, field: "url"},
		"unknown event":   {set: endpoints.Settings{URL: good, Events: []string{"payment.exploded"}}, field: "events"},
		"no event":        {set: endpoints.Settings{URL: good, Events: []string{}}, field: "events"},
		"our header":      {set: endpoints.Settings{URL: good, Headers: map[string]string{"Webhook-Id": "x"}}, field: "headers"},
		"host":            {set: endpoints.Settings{URL: good, Headers: map[string]string{"hOST": "x"}}, field: "headers"},
		"content header":  {set: endpoints.Settings{URL: good, Headers: map[string]string{"Content-Encoding": "x"}}, field: "headers"},
		"header split":    {set: endpoints.Settings{URL: good, Headers: map[string]string{"X-A": "a\r\nX-B: c"}}, field: "headers"},
		"header name":     {set: endpoints.Settings{URL: good, Headers: map[string]string{"X A": "a"}}, field: "headers"},
		"header twice":    {set: endpoints.Settings{URL: good, Headers: map[string]string{"X-A": "a", "x-a": "b"}}, field: "headers"},
		"timeout":         {set: endpoints.Settings{URL: good, TimeoutMS: ptr(ptr(30001))}, field: "timeout"},
		"ca":              {set: endpoints.Settings{URL: good, CAPEM: ptr("nonsense")}, field: "ca_pem"},
		"pin":             {set: endpoints.Settings{URL: good, SPKIPins: &[]string{"short"}}, field: "spki_pins"},
		"client cert":     {set: endpoints.Settings{URL: good, ClientCert: &endpoints.ClientCert{CertPEM: "a", KeyPEM: "b"}}, field: "client_cert"},
		"description":     {set: endpoints.Settings{URL: good, Description: ptr("a\x00b")}, field: "description"},
		"waits":           {set: endpoints.Settings{URL: good, RetryBaseMS: ptr(ptr(60_000)), RetryMaxMS: ptr(ptr(5_000))}, field: "retry_max"},
		"short secret":    {set: endpoints.Settings{URL: good}, secret: ptr("too short"), field: "secret"},
	} {
		var faults models.FieldErrors
		err := create(c.set, c.secret)
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Field != c.field || faults[0].Message == "" ||
			faults[0].Example == "" {
			t.Errorf("%s: %v", name, err)
		}
		if c.secret != nil && strings.Contains(err.Error(), *c.secret) {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
	if err := create(endpoints.Settings{URL: good, Headers: map[string]string{"X-Tenant": "a"},
		TimeoutMS: ptr(ptr(30000))}, nil); err != nil {
		t.Error(err)
	}
}

func TestEndpointLimit(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t), func(o *endpoints.Options) { o.MaxEndpoints = 2 })
	m := w.Merchant()
	w.Endpoint(m, "https://a.example/")
	w.Endpoint(m, "https://b.example/")
	err := w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, _, err := w.Endpoints.Create(t.Context(), tx, models.System, m, endpoints.Settings{URL: ptr("https://c.example/")},
			nil)
		return err
	})
	if !errors.Is(err, endpoints.ErrLimit) || !errors.Is(err, models.ErrConflict) {
		t.Fatalf("the third: %v", err)
	}
}

func TestEndpointLife(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		ctx := t.Context()
		m := w.Merchant()
		e, _ := w.Endpoint(m, "https://shop.example/a")
		do := func(f func(tx *store.Tx) (models.Endpoint, error)) (got models.Endpoint, err error) {
			err = s.InTx(ctx, func(tx *store.Tx) (err error) { got, err = f(tx); return err })
			return got, err
		}
		actor := models.Actor{Name: "key:1", IP: "192.0.2.1"}
		waiting := w.Publish(m, 3)
		got, err := do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Update(ctx, tx, actor, m, e.ID,
				endpoints.Settings{URL: ptr("https://SHOP.example:443/b"), RateLimit: ptr(ptr(5))})
		})
		if err != nil || got.URL != "https://shop.example/b" || *got.RateLimit != 5 || got.Version != e.Version+1 {
			t.Fatalf("updated %+v, %v", got, err)
		}
		if _, err = do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Disable(ctx, tx, actor, m, e.ID, "holidays")
		}); err != nil {
			t.Fatal(err)
		}
		late := w.Publish(m, 1)[0]
		for _, d := range append(waiting, late) {
			if row := w.Get(d); row.State != models.DeliveryHeld {
				t.Fatalf("row %+v", row)
			}
		}
		if err := s.InTx(ctx, func(tx *store.Tx) error {
			_, err := w.Redelivery.Redeliver(ctx, tx, actor, m, late.ID)
			return err
		}); !errors.Is(err, redelivery.ErrEndpointDisabled) {
			t.Fatalf("redelivery to a disabled endpoint: %v", err)
		}
		if _, err = do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Enable(ctx, tx, actor, m, e.ID)
		}); err != nil {
			t.Fatal(err)
		}
		due, err := s.ClaimSweep(ctx, time.Now().UTC(), 10, outbox.Sweep)
		if err != nil || len(due) != 4 || due[0].ID != waiting[0].ID || due[3].ID != late.ID {
			t.Fatalf("resumed in the order %+v, %v", due, err)
		}
		if _, err = do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Pause(ctx, tx, models.Actor{Name: "operator"}, m, e.ID, "incident")
		}); err != nil {
			t.Fatal(err)
		}
		if _, err = do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Enable(ctx, tx, actor, m, e.ID)
		}); !errors.Is(err, endpoints.ErrPaused) {
			t.Fatalf("a merchant resumed what the operator paused: %v", err)
		}
		if _, err = do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Resume(ctx, tx, models.Actor{Name: "operator"}, m, e.ID)
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.InTx(ctx, func(tx *store.Tx) error { return w.Endpoints.Delete(ctx, tx, actor, m, e.ID) }); err != nil {
			t.Fatal(err)
		}
		if row := w.Get(late); row.State != models.DeliveryCanceled {
			t.Fatalf("row %+v", row)
		}
		if _, err := s.Endpoint(ctx, m, e.ID); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("deleted: %v", err)
		}
		other := w.Merchant()
		if _, err := do(func(tx *store.Tx) (models.Endpoint, error) {
			return w.Endpoints.Enable(ctx, tx, actor, other, e.ID)
		}); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("another merchant's: %v", err)
		}
		lines, err := s.AuditLog(ctx, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, l := range lines {
			actions = append(actions, l.Action)
		}
		if got, want := strings.Join(actions, " "), "endpoint.created endpoint.updated endpoint.disabled endpoint.enabled "+
			"endpoint.paused endpoint.enabled endpoint.deleted"; got != want {
			t.Errorf("audit lines %s", got)
		}
	})
}

// TestTestsReachAnyEndpoint: a test of any type is sent to an endpoint that is disabled or whose breaker is open, and
// so is its redelivery; the row says that it was a test.
func TestTestsReachAnyEndpoint(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	e, secret := w.Endpoint(m, r.URL)
	off, offSecret := w.Endpoint(m, r.URL)
	w.InTx(func(tx *store.Tx) (err error) {
		if _, err = w.Endpoints.Disable(t.Context(), tx, models.System, m, off.ID, "x"); err != nil {
			return err
		}
		broken, err := tx.LockEndpoint(t.Context(), m, e.ID)
		if err != nil {
			return err
		}
		until := time.Now().Add(time.Hour)
		broken.BreakerState, broken.BreakerOpenUntil = models.BreakerOpen, &until
		_, err = tx.SaveEndpoint(t.Context(), broken)
		return err
	})
	sender, sent := w.Sender(), 0
	for _, kind := range webhook.EventTypes() {
		for id, key := range map[string]webhook.Secret{e.ID: secret, off.ID: offSecret} {
			var d models.Delivery
			w.InTx(func(tx *store.Tx) (err error) {
				d, err = w.Endpoints.SendTest(t.Context(), tx, models.System, m, id, endpoints.Test{EventType: kind})
				return err
			})
			for range 2 { // the second time is a redelivery
				if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack || !out.Attempted ||
					!d.IsTest() {
					t.Fatalf("%s to %s: outcome %+v", kind, id, out)
				}
				sent++
				got := r.WaitCount(t, sent, time.Second)[sent-1]
				ev, err := webhook.Verify(got.Header, got.Body, []webhook.Secret{key})
				if err != nil || ev.Type != kind || ev.Data.Endpoint != nil && id == off.ID &&
					ev.Data.Endpoint.Status != "disabled" {
					t.Fatalf("event %+v, %v", ev, err)
				}
				validate(t, kind, got.Body)
				w.InTx(func(tx *store.Tx) (err error) {
					d, err = w.Redelivery.Redeliver(t.Context(), tx, models.System, m, d.ID)
					return err
				})
			}
		}
	}
}

func validate(t *testing.T, kind webhook.EventType, body []byte) {
	t.Helper()
	c := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(webhook.Schema(kind)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("schema:///s", doc); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MustCompile("schema:///s").Validate(value); err != nil {
		t.Errorf("%s: %v", body, err)
	}
}

func TestDefaultEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		secret, err := webhook.ParseSecret("the secret of the whole deployment")
		if err != nil {
			t.Fatal(err)
		}
		w := deliverytest.New(t, s, func(o *endpoints.Options) { o.DefaultURL, o.DefaultSecret = r.URL, secret })
		ctx := t.Context()
		m := w.Merchant()
		for range 2 {
			if err := w.Endpoints.EnsureDefaults(ctx, []string{m}); err != nil {
				t.Fatal(err)
			}
		}
		es, err := s.EndpointsOf(ctx, m)
		if err != nil || len(es) != 1 || !es[0].IsDefault || es[0].Version != 2 {
			t.Fatalf("endpoints %+v, %v", es, err)
		}
		d := w.Publish(m, 1)[0]
		sender := w.Sender()
		if out := sender.Attempt(ctx, deliverytest.Task(d)); out.Do != delivery.Ack {
			t.Fatalf("outcome %+v", out)
		}
		got := r.WaitCount(t, 1, time.Second)[0]
		if _, err := webhook.Verify(got.Header, got.Body, []webhook.Secret{secret}); err != nil {
			t.Fatal(err)
		}
		err = s.InTx(ctx, func(tx *store.Tx) error {
			_, err := w.Endpoints.Disable(ctx, tx, models.System, m, es[0].ID, "x")
			return err
		})
		if !errors.Is(err, endpoints.ErrDefault) {
			t.Fatalf("disabling it: %v", err)
		}
		own, _ := w.Endpoint(m, "https://shop.example/")
		if es, _ = s.EndpointsOf(ctx, m); len(es) != 1 || es[0].ID != own.ID {
			t.Fatalf("with an endpoint of its own: %+v", es)
		}
		w.InTx(func(tx *store.Tx) error { return w.Endpoints.Delete(ctx, tx, models.System, m, own.ID) })
		if es, _ = s.EndpointsOf(ctx, m); len(es) != 1 || !es[0].IsDefault {
			t.Fatalf("after the last of its own: %+v", es)
		}

		bare := deliverytest.New(t, s, func(o *endpoints.Options) { o.DefaultURL = r.URL })
		if err := bare.Endpoints.EnsureDefaults(ctx, []string{m}); err != nil {
			t.Fatal(err)
		}
		if out := sender.Attempt(context.Background(), deliverytest.Task(w.Publish(m, 1)[0])); out.Do != delivery.Ack {
			t.Fatalf("outcome %+v", out)
		}
		got = r.WaitCount(t, 2, time.Second)[1]
		for _, name := range []string{webhook.HeaderSignature, webhook.HeaderStandardSignature} {
			if got.Header.Get(name) != "" {
				t.Errorf("%s without a secret", name)
			}
		}
		none := deliverytest.New(t, s)
		if err := none.Endpoints.EnsureDefaults(ctx, []string{m}); err != nil {
			t.Fatal(err)
		}
		if es, _ = s.EndpointsOf(ctx, m); len(es) != 0 {
			t.Fatalf("without WEBHOOK_URL: %+v", es)
		}
	})
}
