package delivery_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// saver keeps verdicts in memory.
type saver struct {
	mu    sync.Mutex
	saved map[string][]byte
}

func (k *saver) SaveVerdicts(_ context.Context, sealed map[string][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.Copy(k.saved, sealed)
	return nil
}

func (k *saver) SavedVerdicts(context.Context) (map[string][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.saved), nil
}

func (k *saver) ForgetVerdicts(_ context.Context, ids []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		delete(k.saved, id)
	}
	return nil
}

// withReadOnly is a fixture on a server that can be turned read-only.
func withReadOnly(t *testing.T) (*deliverytest.Fixture, *testkit.PostgresServer) {
	t.Helper()
	pg := testkit.PrivatePostgres(t, testkit.PostgresOptions{})
	dsn, err := pg.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return deliverytest.New(t, s), pg
}

// TestNoRequestBeforeTheFirstWrite starts a sender while the server is read-only: no request is made before a write has
// succeeded, and each is made once afterwards.
func TestNoRequestBeforeTheFirstWrite(t *testing.T) {
	w, pg := withReadOnly(t)
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	ds := w.Publish(m, 5)
	pg.SetReadOnly(t, true)
	testkit.Eventually(t, 30*time.Second, "the server is read-only", func() bool {
		return w.Store.ProbeVerdict(t.Context()) != nil
	})
	sender := w.Sender()
	for _, d := range ds {
		if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.RetryLater || out.Attempted {
			t.Errorf("%+v", out)
		}
	}
	if n := len(r.All()); n != 0 {
		t.Fatalf("%d requests were made that could not be recorded", n)
	}
	testkit.Eventually(t, 30*time.Second, "the sender says that it cannot record", func() bool {
		return sender.Check(t.Context()) != nil
	})
	pg.SetReadOnly(t, false)
	for _, d := range ds {
		testkit.Eventually(t, 30*time.Second, "it is delivered", func() bool {
			return sender.Attempt(t.Context(), deliverytest.Task(d)).Do == delivery.Ack
		})
	}
	if n := len(r.All()); n != len(ds) {
		t.Errorf("%d requests for %d deliveries", n, len(ds))
	}
	if err := sender.Check(t.Context()); err != nil {
		t.Errorf("it records, and says %v", err)
	}
}

// TestStopHandsVerdictsOver turns the server read-only while requests are under way and stops the sender: it ends soon,
// and the next one records what was answered and asks no receiver a second time.
func TestStopHandsVerdictsOver(t *testing.T) {
	w, pg := withReadOnly(t)
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	ds := w.Publish(m, 5)
	k := &saver{saved: make(map[string][]byte)}
	var underWay sync.WaitGroup // the server turns when all requests are under way
	underWay.Add(len(ds))
	readOnly := sync.OnceFunc(func() { pg.SetReadOnly(t, true) })
	r.Script(func(testkit.Received) testkit.Answer {
		underWay.Done()
		underWay.Wait()
		readOnly()
		return testkit.Answer{}
	})
	newSender := func() *delivery.Sender {
		s, err := delivery.NewSender(delivery.SenderOptions{
			Store: w.Store, Endpoints: w.Endpoints, Redelivery: w.Redelivery, Client: w.Client,
			Schedule: delivery.Schedule{Base: time.Second, Factor: 1, Max: time.Second}, Breaker: deliverytest.Breaker(),
			Timeout: 20 * time.Second, MaxInFlight: 8, HostInFlight: 8, CommitBatch: 8, CommitWait: time.Millisecond,
			Logger: w.Logger, Now: time.Now, VerdictSaver: k, Vault: w.Vault,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := newSender()
	stop := deliverytest.Run(t, first.Run)
	outs := make(chan delivery.Outcome, len(ds))
	for _, d := range ds {
		go func() { outs <- first.Attempt(context.Background(), deliverytest.Task(d)) }()
	}
	r.WaitCount(t, len(ds), 30*time.Second)
	start := time.Now()
	stop()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	for range ds {
		if out := <-outs; out.Do != delivery.RetryLater || time.Until(out.At) < 10*time.Second {
			t.Errorf("%+v", out)
		}
	}
	if len(k.saved) != len(ds) {
		t.Errorf("%d of %d verdicts are kept", len(k.saved), len(ds))
	}
	pg.SetReadOnly(t, false)
	r.Script(nil)
	next := newSender()
	deliverytest.Run(t, next.Run)
	for _, d := range ds {
		testkit.Eventually(t, 30*time.Second, "its verdict is recorded", func() bool {
			next.Attempt(t.Context(), deliverytest.Task(d))
			row := w.Get(d)
			return row.State == models.DeliveryDelivered && row.Attempts == 1
		})
	}
	if n := len(r.All()); n != len(ds) {
		t.Errorf("%d requests for %d deliveries", n, len(ds))
	}
	testkit.Eventually(t, 30*time.Second, "nothing is kept any more", func() bool {
		left, _ := k.SavedVerdicts(t.Context())
		return len(left) == 0
	})
}

// TestWritesGate holds requests back while the process knows that the record takes no writes.
func TestWritesGate(t *testing.T) {
	w := deliverytest.New(t, postgres(t))
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	d := w.Publish(m, 1)[0]
	gate := make(chan struct{})
	sender := w.Sender(func(o *delivery.SenderOptions) { o.Writes = func() <-chan struct{} { return gate } })
	if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.RetryLater || len(r.All()) != 0 {
		t.Fatalf("%+v, %d requests", out, len(r.All()))
	}
	close(gate)
	testkit.Eventually(t, 30*time.Second, "it is delivered", func() bool {
		return sender.Attempt(t.Context(), deliverytest.Task(d)).Do == delivery.Ack
	})
}

// TestDriverModes sends and records with every way in which the driver can make statements.
func TestDriverModes(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe", "describe_exec"} {
		t.Run(mode, func(t *testing.T) {
			s, err := store.Open(t.Context(), store.Options{DSN: testkit.Postgres(t) + "&default_query_exec_mode=" + mode})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.CheckDriver(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := deliverytest.New(t, s)
			r := testkit.NewReceiver(t)
			m := w.Merchant()
			w.Endpoint(m, r.URL)
			ds := w.Publish(m, 3)
			sender := w.Sender()
			for _, d := range ds {
				testkit.Eventually(t, 30*time.Second, "it is delivered", func() bool {
					return sender.Attempt(t.Context(), deliverytest.Task(d)).Do == delivery.Ack
				})
				if row := w.Get(d); row.State != models.DeliveryDelivered || row.Attempts != 1 {
					t.Errorf("%+v", row)
				}
			}
			if n := len(r.All()); n != len(ds) {
				t.Errorf("%d requests for %d deliveries", n, len(ds))
			}
		})
	}
}
