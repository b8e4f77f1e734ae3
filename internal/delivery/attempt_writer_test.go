package delivery_test

import (
	"context"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestDatabaseAwayDuringARequest takes the database away between a request and its commit: the verdict is kept, nothing
// else is sent meanwhile, and when the database is back the receiver is not asked a second time.
func TestDatabaseAwayDuringARequest(t *testing.T) {
	pg := testkit.PrivatePostgres(t, testkit.PostgresOptions{Durable: true})
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
	w := deliverytest.New(t, s)
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	ds := w.Publish(m, 2)
	killed := make(chan struct{})
	r.Script(func(testkit.Received) testkit.Answer {
		if err := pg.Kill(); err != nil {
			t.Error(err)
		}
		// A backend outlives its killed postmaster by a moment and may carry out one more statement: answer when none does.
		for refused := 0; refused < 20; refused++ {
			if s.Ping(context.Background()) == nil {
				refused = 0
			}
			time.Sleep(10 * time.Millisecond)
		}
		close(killed)
		return testkit.Answer{}
	})
	sender := w.Sender()
	first := make(chan delivery.Outcome, 1)
	go func() { first <- sender.Attempt(context.Background(), deliverytest.Task(ds[0])) }()
	<-killed
	r.Script(nil)

	// Give the first commit the time to fail; from then on every task is turned away without a request.
	var out delivery.Outcome
	for deadline := time.Now().Add(2 * time.Minute); out.Reason != "the database takes no writes"; {
		if time.Now().After(deadline) {
			t.Fatalf("the failed commit did not shut the recorder: %+v", out)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		out = sender.Attempt(ctx, deliverytest.Task(ds[1]))
		cancel()
		if out.Do != delivery.RetryLater || out.Attempted {
			t.Fatalf("while the database is away: %+v", out)
		}
	}
	if n := len(r.All()); n != 1 {
		t.Fatalf("%d requests while the database is away", n)
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case out = <-first:
	case <-time.After(30 * time.Second):
		t.Fatal("the verdict was not committed")
	}
	if row := w.Get(ds[0]); out.Do != delivery.Ack || row.State != models.DeliveryDelivered || row.Attempts != 1 {
		t.Fatalf("outcome %+v, row %+v", out, row)
	}
	if out = sender.Attempt(t.Context(), deliverytest.Task(ds[1])); out.Do != delivery.Ack || len(r.All()) != 2 {
		t.Fatalf("afterwards: %+v, %d requests", out, len(r.All()))
	}
}

// TestManyAttemptsShareCommits makes many attempts at once, some of them of the same delivery.
func TestManyAttemptsShareCommits(t *testing.T) {
	w := deliverytest.New(t, postgres(t))
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	ds := w.Publish(m, 300)
	sender := w.Sender(func(o *delivery.SenderOptions) { o.MaxInFlight = 1000; o.HostInFlight = 1000 })
	outs := make(chan delivery.Outcome, 2*len(ds))
	for _, d := range ds {
		for range 2 { // as if Asynq had brought the task twice at the same time
			go func() { outs <- sender.Attempt(context.Background(), deliverytest.Task(d)) }()
		}
	}
	for range 2 * len(ds) {
		if out := <-outs; out.Do != delivery.Ack {
			t.Fatalf("outcome %+v", out)
		}
	}
	attempts := 0
	for _, d := range ds {
		row := w.Get(d)
		if row.State != models.DeliveryDelivered || row.Attempts != 1 {
			t.Fatalf("row %+v", row)
		}
		as, err := w.Store.Attempts(t.Context(), m, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		attempts += len(as)
	}
	if attempts != len(r.All()) {
		t.Errorf("%d attempts on record, %d requests made", attempts, len(r.All()))
	}
}

// TestStopSeesRequestsThrough ends the Sender while a request is under way.
func TestStopSeesRequestsThrough(t *testing.T) {
	w := deliverytest.New(t, postgres(t))
	r := testkit.NewReceiver(t)
	r.Answers(testkit.Answer{Delay: time.Minute})
	m := w.Merchant()
	w.Endpoint(m, r.URL)
	d := w.Publish(m, 1)[0]
	sender, err := delivery.NewSender(delivery.SenderOptions{
		Store: w.Store, Endpoints: w.Endpoints, Redelivery: w.Redelivery, Client: w.Client,
		Schedule: delivery.Schedule{Base: time.Second, Factor: 1, Max: time.Second}, Breaker: deliverytest.Breaker(),
		Timeout: 20 * time.Second, MaxInFlight: 8, HostInFlight: 8, CommitBatch: 8, CommitWait: time.Millisecond,
		Logger: w.Logger, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sender.Run(ctx) }()
	attempt, abandon := context.WithCancel(context.Background())
	done := make(chan delivery.Outcome, 1)
	go func() { done <- sender.Attempt(attempt, deliverytest.Task(d)) }()
	r.WaitCount(t, 1, 5*time.Second)
	stop()
	abandon() // Asynq gives up on the handler as well
	nobody := delivery.Task{DeliveryID: "dlv_nobody", Generation: 1}
	for out := (delivery.Outcome{}); out.Do != delivery.RetryLater; { // until it refuses new ones
		out = sender.Attempt(context.Background(), nobody)
	}
	r.Release()
	if out := <-done; out.Do != delivery.Ack {
		t.Fatalf("outcome %+v", out)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if row := w.Get(d); row.State != models.DeliveryDelivered {
		t.Fatalf("row %+v", row)
	}
}
