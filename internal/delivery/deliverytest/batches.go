package deliverytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Batching asks for batches of an endpoint.
func Batching(most int, wait time.Duration) func(*endpoints.Settings) {
	ms := int(wait.Milliseconds())
	m, w := &most, &ms
	return func(set *endpoints.Settings) { set.BatchMaxEvents, set.BatchMaxWaitMS = &m, &w }
}

// Batcher makes a Batcher on the clock of the fixture.
func (w *Fixture) Batcher() *maintenance.Batcher {
	w.T.Helper()
	b, err := maintenance.NewBatcher(maintenance.BatcherOptions{Store: w.Store, MaxAttempts: MaxAttempts, Logger: w.Logger,
		Now: func() time.Time { return w.Now() }})
	must(w.T, err)
	return b
}

// Payment makes an event of a payment, whose body is pad bytes longer than need be, and so longer than its schema
// allows.
func (w *Fixture) Payment(merchantID string, pad int) models.Event {
	w.T.Helper()
	now := w.now()
	view := *events.Sample(webhook.PaymentCreated, now).Payment
	e, err := w.Events.Payment(events.Payment{Type: webhook.PaymentCreated, MerchantID: merchantID, View: view}, now)
	must(w.T, err)
	e.PaymentID = nil // the payment itself is not in the database
	if pad > 0 {
		body, err := webhook.Decode(e.Body)
		must(w.T, err)
		body.Data.Payment.Metadata["pad"] = strings.Repeat("x", pad)
		e.Body, err = webhook.Encode(body)
		must(w.T, err)
	}
	return e
}

// PublishPayments writes n events about payments, one after the other, and returns their deliveries.
func (w *Fixture) PublishPayments(merchantID string, n, pad int) []models.Delivery {
	w.T.Helper()
	var all []models.Delivery
	w.InTx(func(tx *store.Tx) error {
		all = nil
		for i := range n {
			e := w.Payment(merchantID, pad)
			e.CreatedAt = e.CreatedAt.Add(time.Duration(i) * time.Microsecond) // so that there is an order
			ds, err := outbox.Publish(w.T.Context(), tx, []models.Event{e}, MaxAttempts)
			if err != nil {
				return fmt.Errorf("publish %s: %w", e.ID, err)
			}
			all = append(all, ds...)
		}
		return nil
	})
	return all
}

// Offered collects the deliveries that a store hands to its producer.
type Offered struct {
	mu  sync.Mutex
	all []models.Delivery
}

// Offers collects what is committed on s from now on.
func Offers(s *store.Store) *Offered {
	o := &Offered{}
	s.OnCommit(o.Add)
	return o
}

// Add adds deliveries.
func (o *Offered) Add(ds []models.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, ds...)
}

// Take returns what came since it was last called.
func (o *Offered) Take() []models.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all
	o.all = nil
	return all
}

// All returns what came since [Offered.Take] was last called, and keeps it.
func (o *Offered) All() []models.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// Clock is the time of the machine, moved ahead by a test while others read it.
type Clock struct{ ahead atomic.Int64 }

// Now is the time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Batches is a fixture with one endpoint that asked for batches.
type Batches struct {
	*Fixture
	Clock    *Clock
	Shop     string // the merchant
	To       models.Endpoint
	Offered  *Offered
	Batching *maintenance.Batcher
}

// NewBatches makes an endpoint at url that wants up to most events in a batch, and waits so long for them.
func NewBatches(t testing.TB, s *store.Store, url string, most int, wait time.Duration) *Batches {
	t.Helper()
	b := &Batches{Fixture: New(t, s), Clock: &Clock{}, Offered: Offers(s)}
	b.Now = b.Clock.Now
	b.Shop = b.Merchant()
	b.To, _ = b.Endpoint(b.Shop, url, Batching(most, wait))
	b.Batching = b.Batcher()
	return b
}

// Form forms batches, of which there must be so many.
func (b *Batches) Form(want int) {
	b.T.Helper()
	if n, err := b.Batching.Form(b.T.Context()); err != nil || n != want {
		b.T.Fatalf("%d batches formed, %v; want %d", n, err, want)
	}
}

// One publishes n events, lets them become one batch, and returns its delivery as it was offered, and its members.
func (b *Batches) One(n int) (batch models.Delivery, members []models.Delivery) {
	b.T.Helper()
	members = b.PublishPayments(b.Shop, n, 0)
	b.Clock.Advance(2 * time.Minute)
	b.Form(1)
	got := b.Offered.Take()
	if len(got) != 1 || got[0].EventID != "" || got[0].BatchID == nil || got[0].EventType != models.BatchType {
		b.T.Fatalf("offered %+v", got)
	}
	return got[0], members
}

// EventsOf lists the ids of the events in the body of a batch.
func EventsOf(t testing.TB, body []byte) []string {
	t.Helper()
	var b struct {
		Type   string
		Events []struct{ ID string }
	}
	if err := json.Unmarshal(body, &b); err != nil || b.Type != "batch" {
		t.Fatalf("not a batch: %.100s, %v", body, err)
	}
	ids := make([]string, len(b.Events))
	for i, e := range b.Events {
		ids[i] = e.ID
	}
	return ids
}

// EventIDs lists the events of deliveries.
func EventIDs(ds []models.Delivery) []string {
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.EventID
	}
	return ids
}

// OneAttempt is a fixture with one endpoint at a receiver, and one attempt for each delivery.
type OneAttempt struct {
	*Fixture
	Clock    *Clock
	Receiver *testkit.Receiver
	Shop     string // the merchant
	To       models.Endpoint
	Offered  *Offered
	Sending  *delivery.Sender
}

// NewOneAttempt makes the receiver and the endpoint, and runs a Sender until the test ends.
func NewOneAttempt(t testing.TB, s *store.Store) *OneAttempt {
	t.Helper()
	o := &OneAttempt{Fixture: New(t, s), Clock: &Clock{}, Receiver: testkit.NewReceiver(t), Offered: Offers(s)}
	o.Now = o.Clock.Now
	o.Shop = o.Merchant()
	one := new(1)
	o.To, _ = o.Endpoint(o.Shop, o.Receiver.URL, func(set *endpoints.Settings) { set.MaxAttempts = &one })
	o.Sending = o.Sender(func(options *delivery.SenderOptions) { options.Breaker.MinAttempts = 1000 }) // it never opens
	return o
}

// Send attempts deliveries while the receiver answers with a status.
func (o *OneAttempt) Send(status int, ds ...models.Delivery) {
	o.T.Helper()
	o.Receiver.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Status: status} })
	for _, d := range ds {
		if out := o.Sending.Attempt(o.T.Context(), Task(d)); !out.Attempted {
			o.T.Fatalf("%s was not attempted: %+v", d.ID, out)
		}
	}
}
