package endpoints_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// publicKeys are what a receiver would have read at a moment.
func publicKeys(t *testing.T, w *deliverytest.Fixture) []webhook.PublicKey {
	t.Helper()
	set, err := w.Endpoints.KeySet(t.Context())
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

// TestSigningKeysRotate: an endpoint that asks for Ed25519 is signed for with the gateway's keys beside its secret, and
// a receiver that reads the key set once a day never meets a signature that none of its keys fits.
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
		e, secret := w.Endpoint(merchant, r.URL+"/both", func(set *endpoints.Settings) { set.Ed25519 = ptr(true) })
		w.Endpoint(merchant, r.URL+"/other", func(set *endpoints.Settings) { set.Ed25519 = ptr(true) })
		if keys := publicKeys(t, w); len(keys) != 1 {
			t.Fatalf("%d keys", len(keys))
		}
		sender := w.Sender()
		send := func(to models.Endpoint) testkit.Received {
			t.Helper()
			var d models.Delivery
			w.InTx(func(tx *store.Tx) (err error) {
				d, err = w.Endpoints.SendTest(t.Context(), tx, models.System, merchant, to.ID, endpoints.Test{})
				return err
			})
			before := len(r.All())
			if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack {
				t.Fatalf("outcome %+v", out)
			}
			return r.WaitCount(t, before+1, time.Second)[before]
		}
		byKeys := func(got testkit.Received, keys []webhook.PublicKey) error {
			_, err := webhook.Verify(got.Header, got.Body, nil, webhook.WithPublicKeys(merchant, keys...),
				webhook.WithNow(w.Now))
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
				_, err := w.Endpoints.RotateSigningKey(t.Context(), tx, models.System, ahead, overlap)
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
				rotate(endpoints.DefaultPublishAhead+time.Hour, endpoints.DefaultKeyOverlap)
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
		var faults models.FieldErrors
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Endpoints.RotateSigningKey(t.Context(), tx, models.System, -1, 31*24*time.Hour)
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
	test := func(what endpoints.Test) (d models.Delivery, err error) {
		err = w.Store.InTx(t.Context(), func(tx *store.Tx) (err error) {
			d, err = w.Endpoints.SendTest(t.Context(), tx, models.System, merchant, e.ID, what)
			return err
		})
		return d, err
	}
	var faults models.FieldErrors
	if _, err := test(endpoints.Test{SignWith: endpoints.SignWithNext, EventType: "payment.exploded"}); !errors.As(err,
		&faults) || len(faults) != 2 {
		t.Fatalf("%v", err)
	}
	var next webhook.Secret
	w.InTx(func(tx *store.Tx) (err error) {
		_, next, err = w.Endpoints.RotateSecret(t.Context(), tx, models.System, merchant, e.ID,
			endpoints.Rotation{ActivateIn: time.Hour})
		return err
	})
	sender := w.Sender()
	for i, c := range []struct {
		what      endpoints.Test
		fits, not []webhook.Secret
	}{
		{endpoints.Test{EventType: webhook.PaymentConfirmed, SignWith: endpoints.SignWithNext}, []webhook.Secret{next}, []webhook.Secret{current}},
		{endpoints.Test{EventType: webhook.PaymentReorged, SignWith: endpoints.SignWithCurrent}, []webhook.Secret{current}, []webhook.Secret{next}},
		{endpoints.Test{EventType: webhook.EndpointDisabled}, []webhook.Secret{current}, nil},
		{endpoints.Test{}, []webhook.Secret{next}, nil},
	} {
		d, err := test(c.what)
		if err != nil {
			t.Fatal(err)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack {
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
