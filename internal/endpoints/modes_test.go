package endpoints_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

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

func inMode(mode models.Mode) func(*endpoints.Settings) {
	return func(set *endpoints.Settings) { set.Mode = mode }
}

// publish writes an event of a mode and returns its deliveries by endpoint.
func publish(w *deliverytest.Fixture, merchant string, test bool) map[string]models.Delivery {
	w.T.Helper()
	e := w.Event(merchant)
	e.Test = test
	got := make(map[string]models.Delivery)
	w.InTx(func(tx *store.Tx) error {
		ds, err := outbox.Publish(w.T.Context(), tx, []models.Event{e}, deliverytest.MaxAttempts)
		clear(got)
		for _, d := range ds {
			got[d.EndpointID] = d
		}
		return err
	})
	return got
}

// TestEventsGoByMode: a test endpoint gets test events, a live one live events, and one that gets both both.
func TestEventsGoByMode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		m := w.Merchant()
		live, _ := w.Endpoint(m, "https://live.example/", inMode(models.ModeLive))
		test, _ := w.Endpoint(m, "https://test.example/", inMode(models.ModeTest))
		both, _ := w.Endpoint(m, "https://both.example/")
		for _, c := range []struct {
			test bool
			to   []string
		}{{false, []string{live.ID, both.ID}}, {true, []string{test.ID, both.ID}}} {
			got := publish(w, m, c.test)
			if len(got) != len(c.to) || slices.ContainsFunc(c.to, func(id string) bool { return got[id].ID == "" }) {
				t.Errorf("test %v: %v", c.test, got)
			}
			for _, d := range got {
				if row := w.Get(d); row.Test == nil || *row.Test != c.test {
					t.Errorf("test %v: the row says %v", c.test, row.Test)
				}
			}
		}
		// What happens to an endpoint is told to endpoints of its mode.
		w.InTx(func(tx *store.Tx) error {
			return w.Endpoints.DisableGone(t.Context(), tx, models.System, m, test.ID)
		})
		told, err := s.ListDeliveries(t.Context(), m, store.DeliveryFilter{EventType: string(webhook.EndpointDisabled)},
			store.Page{Limit: 10})
		if err != nil || len(told) != 1 || told[0].EndpointID != both.ID {
			t.Errorf("of a test endpoint: %+v, %v", told, err)
		}
	})
}

// TestModeIsNarrowed: what waits and is of the other mode is canceled, test stays test, and what slips in is not sent.
func TestModeIsNarrowed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		e, _ := w.Endpoint(m, r.URL, inMode(models.ModeBoth))
		set := func(mode models.Mode) (err error) {
			return s.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := w.Endpoints.SetMode(t.Context(), tx, models.System, m, e.ID, mode)
				return err
			})
		}
		waits, goes := publish(w, m, false)[e.ID], publish(w, m, true)[e.ID]
		slipped := outboxRow(w, m, e)
		if err := set(models.ModeTest); err != nil {
			t.Fatal(err)
		}
		if row := w.Get(waits); row.State != models.DeliveryCanceled {
			t.Errorf("a live delivery to a test endpoint: %+v", row)
		}
		sender := w.Sender()
		w.InTx(func(tx *store.Tx) error { return tx.InsertDeliveries(t.Context(), []models.Delivery{slipped}) })
		if out := sender.Attempt(t.Context(), deliverytest.Task(slipped)); out.Attempted ||
			out.Reason != string(delivery.ReasonOtherMode) || w.Get(slipped).State != models.DeliveryCanceled {
			t.Errorf("one that slipped in: %+v, %+v", out, w.Get(slipped))
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(goes)); out.Do != delivery.Ack || !out.Attempted {
			t.Errorf("a test delivery to a test endpoint: %+v", out)
		}
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Redelivery.Redeliver(t.Context(), tx, models.System, m, waits.ID)
			return err
		})
		if !errors.Is(err, redelivery.ErrOtherMode) {
			t.Errorf("redelivering a live event to a test endpoint: %v", err)
		}
		plan, err := w.Redelivery.PlanReplay(t.Context(), &s.Queries, m, e.ID, redelivery.ReplayRequest{})
		if err != nil || plan.Matched != 1 || !plan.Test {
			t.Errorf("replaying to a test endpoint: %+v, %v", plan, err)
		}
		for _, mode := range []models.Mode{models.ModeLive, models.ModeBoth} {
			if err := set(mode); !errors.Is(err, endpoints.ErrModeIsFinal) {
				t.Errorf("test to %s: %v", mode, err)
			}
		}
		if n := len(r.All()); n != 1 {
			t.Errorf("%d requests", n)
		}
		if _, err := s.ChainAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines, err := s.AuditAbout(t.Context(), []string{e.ID})
		if err != nil || !slices.ContainsFunc(lines, func(l models.AuditEntry) bool {
			return l.Action == "endpoint.mode_changed" && l.Detail["to"] == "test" && l.Detail["deliveries"] == "1"
		}) {
			t.Errorf("%+v, %v", lines, err)
		}
	})
}

// TestTestEndpointsHaveSigningKeysOfTheirOwn: what a test endpoint was sent does not pass at a receiver that goes by
// the keys of real money, nor the other way round.
func TestTestEndpointsHaveSigningKeysOfTheirOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		sender := w.Sender()
		for i, test := range []bool{false, true} {
			mode := models.ModeOf(test)
			w.Endpoint(m, r.URL+"/"+string(mode), inMode(mode), func(set *endpoints.Settings) { set.Ed25519 = ptr(true) })
			for _, d := range publish(w, m, test) {
				if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack || !out.Attempted {
					t.Fatalf("outcome %+v", out)
				}
			}
			got := r.WaitCount(t, i+1, time.Minute)[i]
			for _, of := range []bool{false, true} {
				set, err := w.Endpoints.KeySet(t.Context())
				if of {
					set, err = w.Endpoints.TestKeySet(t.Context())
				}
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
				_, err = webhook.Verify(got.Header, got.Body, nil, webhook.WithPublicKeys(m, keys...))
				if (err == nil) != (of == test) {
					t.Errorf("an event to a %s endpoint, by the keys of %s: %v", mode, models.ModeOf(of), err)
				}
			}
		}
	})
}

// TestModeOfAPausedEndpoint: what the operator paused keeps its mode, because another endpoint at its host could have
// the events that it takes no more.
func TestModeOfAPausedEndpoint(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	m := w.Merchant()
	e, _ := w.Endpoint(m, "https://shop.example/a")
	w.InTx(func(tx *store.Tx) error {
		_, err := w.Endpoints.Pause(t.Context(), tx, models.Actor{Name: "operator"}, m, e.ID, "incident")
		return err
	})
	err := w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := w.Endpoints.SetMode(t.Context(), tx, models.System, m, e.ID, models.ModeTest)
		return err
	})
	if !errors.Is(err, endpoints.ErrPaused) {
		t.Errorf("narrowed while paused: %v", err)
	}
	for _, mode := range models.Modes {
		var paused *endpoints.PausedHostError
		err := w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			_, _, err := w.Endpoints.Create(t.Context(), tx, models.System, m,
				endpoints.Settings{URL: ptr("https://shop.example/b"), Mode: mode}, nil)
			return err
		})
		if !errors.As(err, &paused) || mode == models.ModeTest && strings.Contains(err.Error(), e.ID) {
			t.Errorf("a %s endpoint at its host: %v", mode, err)
		}
	}
}

// outboxRow is a delivery that a process decided on before it saw that the endpoint was narrowed.
func outboxRow(w *deliverytest.Fixture, merchant string, e models.Endpoint) models.Delivery {
	ev := w.Event(merchant)
	w.InTx(func(tx *store.Tx) error { return tx.InsertEvents(w.T.Context(), []models.Event{ev}) })
	return outbox.FanOut([]models.Event{ev}, []models.Endpoint{e}, deliverytest.MaxAttempts)[0]
}

// TestAnotherHostGetsNoHiddenValues: custom headers and the client certificate do not go along to another host unless
// they are given again. On the same host they stay.
func TestAnotherHostGetsNoHiddenValues(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	m := w.Merchant()
	cert := clientCert(t)
	e, _ := w.Endpoint(m, "https://shop.example/a", func(set *endpoints.Settings) {
		set.Headers = map[string]string{"Authorization": "Bearer s3cr3t"}
		set.ClientCert = &cert
	})
	update := func(set endpoints.Settings) error {
		return w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := w.Endpoints.Update(t.Context(), tx, models.System, m, e.ID, set)
			return err
		})
	}
	for _, url := range []string{"https://evil.example/a", "https://shop.example.evil.example/a",
		"https://shop.example:443/b",
		"https://SHOP.example/b"} {
		var faults models.FieldErrors
		err := update(endpoints.Settings{URL: &url})
		if same := url[8] == 'S' || url == "https://shop.example:443/b"; same != (err == nil) {
			t.Errorf("%s: %v", url, err)
		} else if !same && (!errors.As(err, &faults) || len(faults) != 2 || faults[0].Field != "headers" ||
			faults[1].Field != "client_cert") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if err := update(endpoints.Settings{URL: ptr("https://new.example/"), Headers: map[string]string{"X-A": "b"},
		ClientCert: &endpoints.ClientCert{}}); err != nil {
		t.Errorf("given again: %v", err)
	}
}

// clientCert is a certificate that signs itself, with its key.
func clientCert(t *testing.T) endpoints.ClientCert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	what := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, what, what, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return endpoints.ClientCert{CertPEM: encode("CERTIFICATE", cert), KeyPEM: encode("PRIVATE KEY", private)}
}

// TestLimitIsOfEachMode: test endpoints take no place from live ones.
func TestLimitIsOfEachMode(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t), func(o *endpoints.Options) { o.MaxEndpoints = 1 })
	m := w.Merchant()
	w.Endpoint(m, "https://a.example/", inMode(models.ModeTest))
	w.Endpoint(m, "https://b.example/")
	for _, mode := range models.Modes {
		err := w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			_, _, err := w.Endpoints.Create(t.Context(), tx, models.System, m,
				endpoints.Settings{URL: ptr("https://c.example/"), Mode: mode}, nil)
			return err
		})
		if !errors.Is(err, endpoints.ErrLimit) {
			t.Errorf("one more %s: %v", mode, err)
		}
	}
}

// TestDefaultEndpointStaysForLive: a merchant whose endpoints are all test ones keeps the deployment's for live events.
func TestDefaultEndpointStaysForLive(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t),
		func(o *endpoints.Options) { o.DefaultURL = "https://default.example/" })
	m := w.Merchant()
	if err := w.Endpoints.EnsureDefaults(t.Context(), []string{m}); err != nil {
		t.Fatal(err)
	}
	modes := func() (modes []models.Mode) {
		all, err := w.Store.EndpointsOf(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.IsDefault {
				modes = append(modes, e.Mode)
			}
		}
		return modes
	}
	if got := modes(); !slices.Equal(got, []models.Mode{models.ModeBoth}) {
		t.Errorf("without endpoints: %v", got)
	}
	live, test := publish(w, m, false), publish(w, m, true)
	own, _ := w.Endpoint(m, "https://test.example/", inMode(models.ModeTest))
	if got := modes(); !slices.Equal(got, []models.Mode{models.ModeLive}) {
		t.Errorf("beside a test endpoint: %v", got)
	}
	for _, d := range live {
		if w.Get(d).State != models.DeliveryPending {
			t.Errorf("a live delivery: %+v", w.Get(d))
		}
	}
	for _, d := range test {
		if w.Get(d).State != models.DeliveryCanceled {
			t.Errorf("a test delivery: %+v", w.Get(d))
		}
	}
	w.InTx(func(tx *store.Tx) error { return w.Endpoints.Delete(t.Context(), tx, models.System, m, own.ID) })
	if got := modes(); !slices.Equal(got, []models.Mode{models.ModeBoth}) {
		t.Errorf("without endpoints again: %v", got)
	}
	w.Endpoint(m, "https://live.example/")
	if got := modes(); len(got) != 0 {
		t.Errorf("beside a live endpoint: %v", got)
	}
}
