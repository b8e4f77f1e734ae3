package deliverytest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/breaker"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// MaxAttempts is the budget of deliveries to an endpoint that has none of its own.
const MaxAttempts = 15

// Fixture is what a test about deliveries works with.
type Fixture struct {
	T          testing.TB
	Store      *store.Store
	Vault      *vault.Vault
	Client     *egress.Client
	Events     *events.Maker
	Endpoints  *endpoints.Service
	Redelivery *redelivery.Service
	Logger     *slog.Logger
	Now        func() time.Time // may be replaced; everything of the fixture reads it through this field
}

// New makes a fixture on a migrated store. Options can be changed before the service of endpoints is made of them.
func New(t testing.TB, s *store.Store, change ...func(*endpoints.Options)) *Fixture {
	t.Helper()
	w := &Fixture{T: t, Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	var err error
	w.Vault, err = vault.New([]vault.Key{{ID: "test", Secret: [32]byte([]byte("a key for tests, 32 bytes long !"))}})
	must(t, err)
	allow, err := egress.ParseAllow("127.0.0.0/8,::1/128")
	must(t, err)
	w.Client, err = egress.New(egress.Options{Allow: allow})
	must(t, err)
	t.Cleanup(w.Client.Close)
	now := func() time.Time { return w.Now() }
	o := endpoints.Options{
		Store: s, Vault: w.Vault, CheckURL: w.Client.CheckURL, MaxEndpoints: 20, MaxAttempts: MaxAttempts,
		Overlap: 24 * time.Hour, Now: now,
	}
	for _, f := range change {
		f(&o)
	}
	w.Endpoints, err = endpoints.New(o)
	must(t, err)
	w.Redelivery, err = redelivery.New(redelivery.Options{Store: s, MaxAttempts: MaxAttempts, Now: now})
	must(t, err)
	w.Events, err = events.New()
	must(t, err)
	return w
}

// Sender makes a Sender, runs it until the test ends, and returns it. Its delays are short.
func (w *Fixture) Sender(change ...func(*delivery.SenderOptions)) *delivery.Sender {
	w.T.Helper()
	o := delivery.SenderOptions{
		Store: w.Store, Endpoints: w.Endpoints, Redelivery: w.Redelivery, Client: w.Client, Timeout: 5 * time.Second,
		MaxInFlight: 64, HostInFlight: 256,
		Schedule:    delivery.Schedule{Base: 100 * time.Millisecond, Factor: 2, Max: time.Second},
		Breaker:     Breaker(),
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

// Breaker are rules for tests, the defaults of the settings.
func Breaker() breaker.Rules {
	return breaker.Rules{
		Window: 5 * time.Minute, MinAttempts: 10, FailureRatio: 0.7, Timeouts: 5, Open: 30 * time.Second,
		MaxOpen: 15 * time.Minute, DisableAfter: 120 * time.Hour, SlowAbove: 2 * time.Second,
	}
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
func (w *Fixture) Merchant() string {
	w.T.Helper()
	now := w.now()
	m := models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: "shop", CreatedAt: now, UpdatedAt: now}
	w.InTx(func(tx *store.Tx) error { return tx.InsertMerchant(w.T.Context(), m) })
	return m.ID
}

// Endpoint makes an endpoint that wants every event.
func (w *Fixture) Endpoint(merchantID, url string,
	change ...func(*endpoints.Settings)) (models.Endpoint, webhook.Secret) {
	w.T.Helper()
	set := endpoints.Settings{URL: &url}
	for _, f := range change {
		f(&set)
	}
	var e models.Endpoint
	var secret webhook.Secret
	w.InTx(func(tx *store.Tx) (err error) {
		e, secret, err = w.Endpoints.Create(w.T.Context(), tx, models.System, merchantID, set, nil)
		return err
	})
	return e, secret
}

// Event makes an event of a merchant that every endpoint gets, as payments do not matter here.
func (w *Fixture) Event(merchantID string) models.Event {
	w.T.Helper()
	now := w.now()
	about := models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, now), MerchantID: merchantID, URL: "https://shop.example/",
		Status: models.EndpointEnabled,
	}
	e, err := w.Events.Endpoint(webhook.EndpointSecretExpiring, about, events.SecretDates{}, now)
	must(w.T, err)
	e.EndpointID = nil
	return e
}

// Publish writes n events of a merchant and returns their deliveries.
func (w *Fixture) Publish(merchantID string, n int) []models.Delivery {
	w.T.Helper()
	var all []models.Delivery
	w.InTx(func(tx *store.Tx) error {
		all = nil
		for range n {
			ds, err := outbox.Publish(w.T.Context(), tx, []models.Event{w.Event(merchantID)}, MaxAttempts)
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
func (w *Fixture) Get(d models.Delivery) models.Delivery {
	w.T.Helper()
	got, err := w.Store.Delivery(w.T.Context(), d.MerchantID, d.ID)
	must(w.T, err)
	return got
}

// Load reads a delivery as a worker does.
func (w *Fixture) Load(id string) *store.Waiting {
	w.T.Helper()
	found, err := w.Store.LoadWaiting(w.T.Context(), []string{id})
	must(w.T, err)
	if found[id] == nil {
		w.T.Fatalf("there is no delivery %s", id)
	}
	return found[id]
}

// Task is the task of a delivery's current generation.
func Task(d models.Delivery) delivery.Task {
	return delivery.Task{DeliveryID: d.ID, Generation: d.Generation}
}

// WaitState waits until a delivery has a state and returns it.
func (w *Fixture) WaitState(d models.Delivery, state models.DeliveryState, timeout time.Duration) models.Delivery {
	w.T.Helper()
	deadline := time.Now().Add(timeout)
	for {
		got := w.Get(d)
		if got.State == state {
			return got
		}
		if time.Now().After(deadline) {
			w.T.Fatalf("delivery %s is %s (generation %d, attempts %d, %s), not %s, after %v", d.ID, got.State, got.Generation,
				got.Attempts, got.LastClass, state, timeout)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// InTx runs f in a transaction that must succeed.
func (w *Fixture) InTx(f func(*store.Tx) error) {
	w.T.Helper()
	must(w.T, w.Store.InTx(w.T.Context(), f))
}

func (w *Fixture) now() time.Time { return models.Now(w.Now) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
