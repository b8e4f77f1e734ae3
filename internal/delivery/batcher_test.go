package delivery_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// offered collects what a store hands to its producer.
type offered struct {
	mu  sync.Mutex
	all []models.Delivery
}

func offers(s *store.Store) *offered {
	o := &offered{}
	s.OnCommit(func(ds []models.Delivery) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, ds...)
	})
	return o
}

// take returns what came since it was last called.
func (o *offered) take() []models.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all
	o.all = nil
	return all
}

// load reads a delivery as a worker does.
func load(t *testing.T, s *store.Store, id string) *store.Waiting {
	t.Helper()
	found, err := s.LoadWaiting(t.Context(), []string{id})
	if err != nil || found[id] == nil {
		t.Fatalf("load %s: %v, %v", id, found, err)
	}
	return found[id]
}

// eventsOf lists the ids of the events in a batch's body.
func eventsOf(t *testing.T, body []byte) []string {
	t.Helper()
	var b struct {
		Type   string
		Events []struct{ ID string }
	}
	if err := json.Unmarshal(body, &b); err != nil || b.Type != "batch" {
		t.Fatalf("no batch: %.100s, %v", body, err)
	}
	ids := make([]string, len(b.Events))
	for i, e := range b.Events {
		ids[i] = e.ID
	}
	return ids
}

func eventIDs(ds []models.Delivery) []string {
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.EventID
	}
	return ids
}

func form(t *testing.T, b *delivery.Batcher, want int) {
	t.Helper()
	if n, err := b.Form(t.Context()); err != nil || n != want {
		t.Fatalf("%d batches formed, %v; want %d", n, err, want)
	}
}

// batchWorld is a world with an endpoint that asked for batches.
type batchWorld struct {
	*deliverytest.World
	t        *testing.T
	clock    *worldClock
	merchant string
	endpoint models.Endpoint
	offered  *offered
	batcher  *delivery.Batcher
}

func newBatchWorld(t *testing.T, s *store.Store, url string, most int, wait time.Duration) *batchWorld {
	w := &batchWorld{World: deliverytest.New(t, s), t: t, clock: &worldClock{}, offered: offers(s)}
	w.Now = w.clock.now
	w.merchant = w.Merchant()
	w.endpoint, _ = w.Endpoint(w.merchant, url, deliverytest.Batching(most, wait))
	w.batcher = w.Batcher()
	return w
}

// one publishes n events, lets them become one batch and returns it with its carrier as it was offered.
func (w *batchWorld) one(n int) (carrier models.Delivery, members []models.Delivery) {
	w.t.Helper()
	members = w.PublishPayments(w.merchant, n, 0)
	w.clock.move(2 * time.Minute)
	form(w.t, w.batcher, 1)
	got := w.offered.take()
	if len(got) != 1 || got[0].EventID != "" || got[0].BatchID == nil || got[0].EventType != models.BatchType {
		w.t.Fatalf("offered %+v", got)
	}
	return got[0], members
}

func TestBatchesAreFormed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newBatchWorld(t, s, "https://shop.example/", 3, time.Minute)

		// By count: two batches are full, the seventh waits, and goes alone when nobody joined it in time.
		ds := w.PublishPayments(w.merchant, 7, 0)
		if got := w.offered.take(); len(got) != 0 {
			t.Fatalf("offered before the batch: %+v", got)
		}
		form(t, w.batcher, 2)
		carriers := w.offered.take()
		for i, c := range carriers {
			row := load(t, s, c.ID)
			if !row.IsBatch || row.EventID != *c.BatchID || row.State != models.DeliveryPending || row.MaxAttempts != 15 || !row.OccurredAt.Equal(ds[3*i].CreatedAt) {
				t.Errorf("carrier %+v", row)
			}
			if got := eventsOf(t, row.Body); !slices.Equal(got, eventIDs(ds[3*i:3*i+3])) {
				t.Errorf("batch %d holds %v", i, got)
			}
		}
		if len(carriers) != 2 {
			t.Fatalf("offered %+v", carriers)
		}
		form(t, w.batcher, 0)
		w.clock.move(61 * time.Second)
		form(t, w.batcher, 0)
		if got := w.offered.take(); len(got) != 1 || got[0].ID != ds[6].ID || got[0].Generation != 1 {
			t.Fatalf("alone: %+v", got)
		}
		if row := load(t, s, ds[6].ID); row.IsBatch || row.EventID != ds[6].EventID || row.NextAttemptAt.After(w.clock.now()) {
			t.Errorf("alone: %+v", row)
		}

		// By wait.
		ds = w.PublishPayments(w.merchant, 2, 0)
		form(t, w.batcher, 0)
		w.clock.move(59 * time.Second)
		form(t, w.batcher, 0)
		w.clock.move(2 * time.Second)
		form(t, w.batcher, 1)
		if got := w.offered.take(); len(got) != 1 || !slices.Equal(eventsOf(t, load(t, s, got[0].ID).Body), eventIDs(ds)) {
			t.Fatalf("by wait: %+v", got)
		}

		// What is not about a payment goes alone, and so do tests and replays.
		ds = w.Publish(w.merchant, 3)
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Service.TestEndpoint(t.Context(), tx, models.System, w.merchant, w.endpoint.ID, delivery.Test{})
			return err
		})
		if got := w.offered.take(); len(got) != 4 {
			t.Fatalf("not batched: %+v", got)
		}
		form(t, w.batcher, 0)
		if w.Get(ds[0]).BatchID != nil {
			t.Error("an endpoint event waits for a batch")
		}
	})
}

func TestBatchesBySize(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newBatchWorld(t, s, "https://shop.example/", 100, 10*time.Millisecond)
		ds := w.PublishPayments(w.merchant, 6, 60<<10) // four of them fit into 256 KiB
		w.clock.move(time.Minute)
		form(t, w.batcher, 2)
		got := w.offered.take()
		if len(got) != 2 {
			t.Fatalf("offered %+v", got)
		}
		for i, want := range [][]models.Delivery{ds[:4], ds[4:]} {
			row := load(t, s, got[i].ID)
			if ids := eventsOf(t, row.Body); !slices.Equal(ids, eventIDs(want)) || len(row.Body) > 256<<10 {
				t.Errorf("batch %d: %d events, %d bytes", i, len(ids), len(row.Body))
			}
		}
	})
}

// TestManyAtOnce forms more than one transaction takes.
func TestManyAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newBatchWorld(t, s, "https://shop.example/", 100, time.Minute)
		w.PublishPayments(w.merchant, 1234, 0)
		form(t, w.batcher, 12)
		w.clock.move(2 * time.Minute)
		form(t, w.batcher, 1)
	})
}

// TestSweptWithoutABatcher holds that nothing waits for a Batcher that is not there.
func TestSweptWithoutABatcher(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newBatchWorld(t, s, "https://shop.example/", 3, time.Minute)
		ds := w.PublishPayments(w.merchant, 3, 0)
		if due, err := s.ClaimSweep(t.Context(), w.clock.now().Add(69*time.Second), 100); err != nil || len(due) != 0 {
			t.Fatalf("swept too early: %v, %v", due, err)
		}
		due, err := s.ClaimSweep(t.Context(), w.clock.now().Add(71*time.Second), 100)
		if err != nil || len(due) != 3 {
			t.Fatalf("swept: %v, %v", due, err)
		}
		bumped, err := s.BumpGeneration(t.Context(), due[:2], w.clock.now())
		if err != nil || len(bumped) != 2 {
			t.Fatalf("bumped: %v, %v", bumped, err)
		}
		form(t, w.batcher, 0) // too few are left
		if row := w.Get(ds[0]); row.Generation != 2 || row.BatchID != nil {
			t.Errorf("swept: %+v", row)
		}
		w.PublishPayments(w.merchant, 2, 0)
		form(t, w.batcher, 1)
		if bumped, err := s.BumpGeneration(t.Context(), due[2:], w.clock.now()); err != nil || len(bumped) != 0 {
			t.Fatalf("a member was enqueued by itself: %v, %v", bumped, err)
		}
	})
}

// TestBatchersShareTheWork lets several Batchers, publishers and a sweeper loose on one database: no event is in two
// batches, none is in a batch and sent alone too, and none is left behind.
func TestBatchersShareTheWork(t *testing.T) {
	s := storetest.Postgres(t)
	w := deliverytest.New(t, s)
	off := offers(s)
	m := w.Merchant()
	w.Endpoint(m, "https://shop.example/1", deliverytest.Batching(5, 10*time.Millisecond))
	w.Endpoint(m, "https://shop.example/2", deliverytest.Batching(7, 30*time.Millisecond))
	var stops []func()
	for range 4 {
		stops = append(stops, deliverytest.Run(t, w.Batcher().Run))
	}
	swept := &offered{}
	stops = append(stops, deliverytest.Run(t, func(ctx context.Context) error {
		for ctx.Err() == nil { // a sweeper that is much too early
			due, err := s.ClaimSweep(context.Background(), time.Now().Add(10*time.Second), 3)
			var alone []models.Delivery
			for _, d := range due {
				if d.EventID != "" {
					alone = append(alone, d)
				}
			}
			if err == nil {
				alone, err = s.BumpGeneration(context.Background(), alone, time.Now())
			}
			if err != nil {
				return err
			}
			swept.mu.Lock()
			swept.all = append(swept.all, alone...)
			swept.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}))
	var mu sync.Mutex
	var ds []models.Delivery
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 25 {
				got := w.PublishPayments(m, 6, 0)
				mu.Lock()
				ds = append(ds, got...)
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	count := func() map[string]int { // by event and endpoint; of the generations of one that goes alone only one is sent
		off.mu.Lock()
		defer off.mu.Unlock()
		swept.mu.Lock()
		defer swept.mu.Unlock()
		got, alone := make(map[string]int), make(map[string]bool)
		for _, d := range append(slices.Clone(off.all), swept.all...) {
			if d.EventID != "" {
				alone[d.EventID+d.EndpointID] = true
				continue
			}
			for _, id := range eventsOf(t, load(t, s, d.ID).Body) {
				got[id+d.EndpointID]++
			}
		}
		for key := range alone {
			got[key]++
		}
		return got
	}
	deadline := time.Now().Add(30 * time.Second)
	got := count()
	for ; len(got) < len(ds) && time.Now().Before(deadline); got = count() {
		time.Sleep(20 * time.Millisecond)
	}
	for _, stop := range stops {
		stop()
	}
	got = count()
	for _, d := range ds {
		if n := got[d.EventID+d.EndpointID]; n != 1 {
			t.Errorf("%s is sent %d times: %+v", d.EventID, n, w.Get(d))
		}
	}
	if len(got) != len(ds) {
		t.Errorf("%d of %d", len(got), len(ds))
	}
}
