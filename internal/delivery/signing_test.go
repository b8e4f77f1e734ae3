package delivery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// publicKeys are what a receiver would have read at a moment.
func publicKeys(t *testing.T, w *deliverytest.World) []webhook.PublicKey {
	t.Helper()
	set, err := w.Service.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys []webhook.PublicKey
	for _, k := range set.Keys {
		key, err := webhook.ParsePublicKey(k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// TestSigningKeysRotate: an endpoint that asks for Ed25519 is signed for with the gateway's keys beside its secret, and a
// receiver that reads the key set once a day never meets a signature that none of its keys fits.
func TestSigningKeysRotate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		clock := testkit.NewClock(time.Now())
		w.Now = clock.Now
		merchant := w.Merchant()
		plain, _ := w.Endpoint(merchant, r.URL+"/plain")
		if keys := publicKeys(t, w); len(keys) != 0 {
			t.Fatalf("%d keys that nobody asked for", len(keys))
		}
		e, secret := w.Endpoint(merchant, r.URL+"/both", func(set *delivery.Settings) { set.Ed25519 = ptr(true) })
		w.Endpoint(merchant, r.URL+"/other", func(set *delivery.Settings) { set.Ed25519 = ptr(true) })
		if keys := publicKeys(t, w); len(keys) != 1 {
			t.Fatalf("%d keys", len(keys))
		}
		sender := w.Sender()
		send := func(to models.Endpoint) testkit.Received {
			t.Helper()
			var d models.Delivery
			w.InTx(func(tx *store.Tx) (err error) {
				d, err = w.Service.TestEndpoint(t.Context(), tx, models.System, merchant, to.ID, delivery.Test{})
				return err
			})
			before := len(r.All())
			if out := sender.Attempt(t.Context(), task(d)); out.Do != delivery.Ack {
				t.Fatalf("outcome %+v", out)
			}
			return r.WaitCount(t, before+1, time.Second)[before]
		}
		byKeys := func(got testkit.Received, keys []webhook.PublicKey) error {
			_, err := webhook.Verify(got.Header, got.Body, nil, webhook.WithPublicKeys(merchant, keys...), webhook.WithNow(w.Now))
			return err
		}
		known := publicKeys(t, w)
		if err := byKeys(send(plain), known); !errors.Is(err, webhook.ErrBadSignature) {
			t.Fatalf("an endpoint that did not ask: %v", err)
		}
		got := send(e)
		if _, err := webhook.Verify(got.Header, got.Body, []webhook.Secret{secret}, webhook.WithNow(w.Now)); err != nil {
			t.Fatalf("by its secret: %v", err)
		}
		rotate := func(ahead, overlap time.Duration) {
			t.Helper()
			w.InTx(func(tx *store.Tx) error {
				_, err := w.Service.RotateSigningKey(t.Context(), tx, models.System, ahead, overlap)
				return err
			})
		}
		for day := range 12 { // the receiver reads the keys once a day, just before it is too late
			for range 24 {
				if err := byKeys(send(e), known); err != nil {
					t.Fatalf("day %d: %v", day, err)
				}
				clock.Advance(time.Hour)
			}
			known = publicKeys(t, w)
			if day == 1 {
				rotate(delivery.DefaultPublishAhead+time.Hour, delivery.DefaultKeyOverlap)
			}
		}
		if len(known) != 1 {
			t.Fatalf("%d keys are published long after the overlap", len(known))
		}
		rotate(0, 0) // in an emergency
		clock.Advance(time.Minute)
		if err := byKeys(send(e), known); !errors.Is(err, webhook.ErrBadSignature) {
			t.Fatalf("the old key signs on after an emergency: %v", err)
		}
		if err := byKeys(send(e), publicKeys(t, w)); err != nil {
			t.Fatal(err)
		}
		rotate(time.Hour, 0)
		rotate(2*time.Hour, 0) // replaces the one that waits
		if keys := publicKeys(t, w); len(keys) != 2 {
			t.Fatalf("%d keys: the one that waited should be gone", len(keys))
		}
		for range 8 { // and nobody was without one meanwhile
			if err := byKeys(send(e), publicKeys(t, w)); err != nil {
				t.Fatal(err)
			}
			clock.Advance(30 * time.Minute)
		}
		if keys := publicKeys(t, w); len(keys) != 1 {
			t.Fatalf("%d keys after all", len(keys))
		}
		if _, err := s.VerifyAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		var faults delivery.Faults
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Service.RotateSigningKey(t.Context(), tx, models.System, -1, 31*24*time.Hour)
			return err
		})
		if !errors.As(err, &faults) || len(faults) != 2 {
			t.Fatalf("%v", err)
		}
	})
}

// TestSignWith: a test can be signed with one secret alone, of those that live.
func TestSignWith(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	r := testkit.NewReceiver(t)
	merchant := w.Merchant()
	e, current := w.Endpoint(merchant, r.URL)
	test := func(what delivery.Test) (d models.Delivery, err error) {
		err = w.Store.InTx(t.Context(), func(tx *store.Tx) (err error) {
			d, err = w.Service.TestEndpoint(t.Context(), tx, models.System, merchant, e.ID, what)
			return err
		})
		return d, err
	}
	var faults delivery.Faults
	if _, err := test(delivery.Test{SignWith: delivery.SignWithNext, EventType: "payment.exploded"}); !errors.As(err, &faults) || len(faults) != 2 {
		t.Fatalf("%v", err)
	}
	var next webhook.Secret
	w.InTx(func(tx *store.Tx) (err error) {
		_, next, err = w.Service.RotateSecret(t.Context(), tx, models.System, merchant, e.ID, delivery.Rotation{ActivateIn: time.Hour})
		return err
	})
	sender := w.Sender()
	for i, c := range []struct {
		what      delivery.Test
		fits, not []webhook.Secret
	}{
		{delivery.Test{EventType: webhook.PaymentConfirmed, SignWith: delivery.SignWithNext}, []webhook.Secret{next}, []webhook.Secret{current}},
		{delivery.Test{EventType: webhook.PaymentReorged, SignWith: delivery.SignWithCurrent}, []webhook.Secret{current}, []webhook.Secret{next}},
		{delivery.Test{EventType: webhook.EndpointDisabled}, []webhook.Secret{current}, nil},
		{delivery.Test{}, []webhook.Secret{next}, nil},
	} {
		d, err := test(c.what)
		if err != nil {
			t.Fatal(err)
		}
		if out := sender.Attempt(t.Context(), task(d)); out.Do != delivery.Ack {
			t.Fatalf("outcome %+v", out)
		}
		got := r.WaitCount(t, i+1, time.Second)[i]
		ev, err := webhook.Verify(got.Header, got.Body, c.fits)
		if err != nil || c.what.EventType != "" && ev.Type != c.what.EventType {
			t.Errorf("%+v: %v %v", c.what, ev.Type, err)
		}
		if _, err := webhook.VerifyBody(got.Header, got.Body, c.fits); err != nil {
			t.Errorf("%+v: the older scheme: %v", c.what, err)
		}
		if c.not != nil {
			if _, err := webhook.Verify(got.Header, got.Body, c.not); err == nil {
				t.Errorf("%+v: another secret signed too", c.what)
			}
		}
		validate(t, ev.Type, got.Body)
	}
}

// TestSecretsGrowOld: the merchant hears of it once and in time, the endpoint itself included; then nothing but a rotation
// changes the endpoint, which is sent to all the same.
func TestSecretsGrowOld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const day = 24 * time.Hour
		w := deliverytest.New(t, s, func(o *delivery.ServiceOptions) { o.SecretMaxAge = 180 * day })
		clock := testkit.NewClock(time.Now())
		w.Now = clock.Now
		merchant := w.Merchant()
		e, _ := w.Endpoint(merchant, "https://shop.example/hooks")
		update := func() error {
			return s.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := w.Service.UpdateEndpoint(t.Context(), tx, models.System, merchant, e.ID, delivery.Settings{Description: ptr("x")})
				return err
			})
		}
		for _, c := range []struct {
			after     time.Duration
			warned    int
			updatable bool
		}{{165 * day, 0, true}, {2 * day, 1, true}, {day, 0, true}, {13 * day, 0, false}, {day, 0, false}} {
			clock.Advance(c.after)
			n, err := w.Service.WarnOfOldSecrets(t.Context())
			if err != nil || n != c.warned {
				t.Fatalf("%d warnings, %v, want %d", n, err, c.warned)
			}
			if err := update(); c.updatable != (err == nil) || err != nil && !errors.Is(err, delivery.ErrSecretTooOld) {
				t.Fatalf("update: %v", err)
			}
		}
		rows, err := s.ListDeliveries(t.Context(), merchant, store.DeliveryFilter{EventType: string(webhook.EndpointSecretExpiring)}, store.Page{Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].EndpointID != e.ID {
			t.Fatalf("%+v, %v", rows, err)
		}
		ev, err := s.Event(t.Context(), merchant, rows[0].EventID)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, webhook.EndpointSecretExpiring, ev.Body)
		said, err := webhook.Decode(ev.Body)
		if err != nil || said.Data.Endpoint.SecretExpiresAt == nil || said.Data.Endpoint.SecretExpiresAt.Sub(said.Data.Endpoint.SecretCreatedAt.Time).Round(day) != 180*day {
			t.Fatalf("%s, %v", ev.Body, err)
		}
		w.InTx(func(tx *store.Tx) error {
			_, _, err := w.Service.RotateSecret(t.Context(), tx, models.System, merchant, e.ID, delivery.Rotation{})
			return err
		})
		if err := update(); err != nil {
			t.Fatalf("after the rotation: %v", err)
		}
		if n, err := w.Service.WarnOfOldSecrets(t.Context()); err != nil || n != 0 {
			t.Fatalf("%d warnings after the rotation, %v", n, err)
		}
	})
}

// TestRejectingEndpoints: who answers 401 or 403 is known by name, in the endpoint's statistics and for the watch.
func TestRejectingEndpoints(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		r.Script(func(got testkit.Received) testkit.Answer {
			if got.Path == "/no" {
				return testkit.Answer{Status: 401}
			}
			return testkit.Answer{}
		})
		merchant := w.Merchant()
		w.Endpoint(merchant, r.URL+"/yes")
		no, _ := w.Endpoint(merchant, r.URL+"/no")
		sender := w.Sender()
		begin := time.Now().Add(-time.Second)
		for _, d := range w.Publish(merchant, 3) {
			sender.Attempt(t.Context(), task(d))
		}
		rows, err := s.RejectingEndpoints(t.Context(), begin, 10)
		if err != nil || len(rows) != 1 || rows[0] != (store.Rejecting{EndpointID: no.ID, MerchantID: merchant, Attempts: 3}) {
			t.Fatalf("%+v, %v", rows, err)
		}
		if rows, err := s.RejectingEndpoints(t.Context(), time.Now().Add(time.Minute), 10); err != nil || len(rows) != 0 {
			t.Fatalf("of the future: %+v, %v", rows, err)
		}
		stats, err := s.EndpointStats(t.Context(), no, begin)
		if err != nil || stats.AuthRejected != 3 || stats.Succeeded != 0 {
			t.Fatalf("%+v, %v", stats, err)
		}
	})
}
