package deliverytest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// World is what a test about deliveries lives in.
type World struct {
	T       testing.TB
	Store   *store.Store
	Vault   *vault.Vault
	Client  *egress.Client
	Service *delivery.Service
	Logger  *slog.Logger
	Now     func() time.Time
}

// New makes a world on a migrated store. Options can be changed before the Service is made of them.
func New(t testing.TB, s *store.Store, change ...func(*delivery.ServiceOptions)) *World {
	t.Helper()
	w := &World{T: t, Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	var err error
	w.Vault, err = vault.New([]vault.Key{{ID: "test", Secret: [32]byte([]byte("a key for tests, 32 bytes long !"))}})
	must(t, err)
	allow, err := egress.ParseAllow("127.0.0.0/8,::1/128")
	must(t, err)
	w.Client, err = egress.New(egress.Options{Allow: allow})
	must(t, err)
	t.Cleanup(w.Client.Close)
	o := delivery.ServiceOptions{
		Store: s, Vault: w.Vault, CheckURL: w.Client.CheckURL, MaxEndpoints: 20, MaxAttempts: 15, Overlap: delivery.DefaultOverlap,
		Now: func() time.Time { return w.Now() }, Logger: w.Logger,
	}
	for _, f := range change {
		f(&o)
	}
	w.Service, err = delivery.NewService(o)
	must(t, err)
	return w
}

// Sender makes a Sender, runs it until the test ends, and returns it. Its delays are short.
func (w *World) Sender(change ...func(*delivery.SenderOptions)) *delivery.Sender {
	w.T.Helper()
	o := delivery.SenderOptions{
		Store: w.Store, Service: w.Service, Client: w.Client, Timeout: 5 * time.Second, MaxInFlight: 64, HostInFlight: 256,
		Schedule:    delivery.Schedule{Base: 100 * time.Millisecond, Factor: 2, Max: time.Second, MaxAttempts: 15},
		CommitBatch: 256, CommitWait: 5 * time.Millisecond, Logger: w.Logger, Now: func() time.Time { return w.Now() },
	}
	for _, f := range change {
		f(&o)
	}
	s, err := delivery.NewSender(o)
	must(w.T, err)
	Run(w.T, s.Run)
	return s
}

// Run runs a part until the test ends, and fails the test when it fails or does not stop. The function that it returns
// stops it earlier.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("a part ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("a part did not stop within 30 s")
		}
	}
	t.Cleanup(stop)
	return stop
}

// Merchant makes a merchant and returns its id.
func (w *World) Merchant() string {
	w.T.Helper()
	now := w.now()
	m := models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: "shop", CreatedAt: now, UpdatedAt: now}
	w.InTx(func(tx *store.Tx) error { return tx.InsertMerchant(w.T.Context(), m) })
	return m.ID
}

// Endpoint makes an endpoint that wants every event.
func (w *World) Endpoint(merchantID, url string, change ...func(*delivery.Settings)) (models.Endpoint, webhook.Secret) {
	w.T.Helper()
	set := delivery.Settings{URL: &url}
	for _, f := range change {
		f(&set)
	}
	var e models.Endpoint
	var secret webhook.Secret
	w.InTx(func(tx *store.Tx) (err error) {
		e, secret, err = w.Service.CreateEndpoint(w.T.Context(), tx, models.System, merchantID, set, nil)
		return err
	})
	return e, secret
}

// Event builds an event of a merchant with a body that verifies.
func (w *World) Event(merchantID string) models.Event {
	w.T.Helper()
	now := w.now()
	nonce, err := webhook.NewNonce(nil)
	must(w.T, err)
	e := models.Event{ID: models.NewID(models.PrefixEvent, now), MerchantID: merchantID, Type: string(webhook.EndpointSecretExpiring), CreatedAt: now}
	e.Body, err = webhook.Encode(webhook.Event{
		ID: e.ID, Type: webhook.EndpointSecretExpiring, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now), Timestamp: now.Unix(),
		Nonce: nonce, MerchantID: merchantID, Data: webhook.Data{Endpoint: &webhook.Endpoint{ID: models.NewID(models.PrefixEndpoint, now), URL: "https://shop.example/", Status: "enabled"}},
	})
	must(w.T, err)
	return e
}

// Publish writes n events of a merchant and returns their deliveries.
func (w *World) Publish(merchantID string, n int) []models.Delivery {
	w.T.Helper()
	var all []models.Delivery
	w.InTx(func(tx *store.Tx) error {
		all = nil
		for range n {
			ds, err := tx.Publish(w.T.Context(), w.Event(merchantID), 15)
			if err != nil {
				return err
			}
			all = append(all, ds...)
		}
		return nil
	})
	return all
}

// Get reads a delivery as it is now.
func (w *World) Get(d models.Delivery) models.Delivery {
	w.T.Helper()
	got, err := w.Store.Delivery(w.T.Context(), d.MerchantID, d.ID)
	must(w.T, err)
	return got
}

// WaitState waits until a delivery has a state and returns it.
func (w *World) WaitState(d models.Delivery, state models.DeliveryState, timeout time.Duration) models.Delivery {
	w.T.Helper()
	deadline := time.Now().Add(timeout)
	for {
		got := w.Get(d)
		if got.State == state {
			return got
		}
		if time.Now().After(deadline) {
			w.T.Fatalf("delivery %s is %s (generation %d, attempts %d, %s), not %s, after %v", d.ID, got.State, got.Generation, got.Attempts, got.LastClass, state, timeout)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// InTx runs f in a transaction that must succeed.
func (w *World) InTx(f func(*store.Tx) error) {
	w.T.Helper()
	must(w.T, w.Store.InTx(w.T.Context(), f))
}

func (w *World) now() time.Time { return models.Now(w.Now) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
