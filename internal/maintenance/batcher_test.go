package maintenance_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestBatchesAreFormed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.NewBatches(t, s, "https://shop.example/", 3, time.Minute)

		// By count: two batches are full, the seventh waits, and goes alone when nobody joined it in time.
		ds := w.PublishPayments(w.Shop, 7, 0)
		if got := w.Offered.Take(); len(got) != 0 {
			t.Fatalf("offered before the batch: %+v", got)
		}
		w.Form(2)
		batches := w.Offered.Take()
		for i, c := range batches {
			row := w.Load(c.ID)
			if !row.IsBatch || row.EventID != *c.BatchID || row.State != models.DeliveryPending || row.MaxAttempts != 15 ||
				!row.OccurredAt.Equal(ds[3*i].CreatedAt) {
				t.Errorf("carrier %+v", row)
			}
			if got := deliverytest.EventsOf(t, row.Body); !slices.Equal(got, deliverytest.EventIDs(ds[3*i:3*i+3])) {
				t.Errorf("batch %d holds %v", i, got)
			}
		}
		if len(batches) != 2 {
			t.Fatalf("offered %+v", batches)
		}
		w.Form(0)
		w.Clock.Advance(61 * time.Second)
		w.Form(0)
		if got := w.Offered.Take(); len(got) != 1 || got[0].ID != ds[6].ID || got[0].Generation != 1 {
			t.Fatalf("alone: %+v", got)
		}
		if row := w.Load(ds[6].ID); row.IsBatch || row.EventID != ds[6].EventID || row.NextAttemptAt.After(w.Clock.Now()) {
			t.Errorf("alone: %+v", row)
		}

		// By wait.
		ds = w.PublishPayments(w.Shop, 2, 0)
		w.Form(0)
		w.Clock.Advance(59 * time.Second)
		w.Form(0)
		w.Clock.Advance(2 * time.Second)
		w.Form(1)
		if got := w.Offered.Take(); len(got) != 1 ||
			!slices.Equal(deliverytest.EventsOf(t, w.Load(got[0].ID).Body), deliverytest.EventIDs(ds)) {
			t.Fatalf("by wait: %+v", got)
		}

		// What is not about a payment goes alone, and so do tests and replays.
		ds = w.Publish(w.Shop, 3)
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.SendTest(t.Context(), tx, models.System, w.Shop, w.To.ID, endpoints.Test{})
			return err
		})
		if got := w.Offered.Take(); len(got) != 4 {
			t.Fatalf("not batched: %+v", got)
		}
		w.Form(0)
		if w.Get(ds[0]).BatchID != nil {
			t.Error("an endpoint event waits for a batch")
		}
	})
}

func TestBatchesBySize(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.NewBatches(t, s, "https://shop.example/", 100, 10*time.Millisecond)
		ds := w.PublishPayments(w.Shop, 6, 60<<10) // four of them fit into 256 KiB
		w.Clock.Advance(time.Minute)
		w.Form(2)
		got := w.Offered.Take()
		if len(got) != 2 {
			t.Fatalf("offered %+v", got)
		}
		for i, want := range [][]models.Delivery{ds[:4], ds[4:]} {
			row := w.Load(got[i].ID)
			if ids := deliverytest.EventsOf(t, row.Body); !slices.Equal(ids, deliverytest.EventIDs(want)) ||
				len(row.Body) > 256<<10 {
				t.Errorf("batch %d: %d events, %d bytes", i, len(ids), len(row.Body))
			}
		}
	})
}

// TestManyAtOnce forms more than one transaction takes.
func TestManyAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.NewBatches(t, s, "https://shop.example/", 100, time.Minute)
		w.PublishPayments(w.Shop, 1234, 0)
		w.Form(12)
		w.Clock.Advance(2 * time.Minute)
		w.Form(1)
	})
}

// TestSweptWithoutABatcher holds that nothing waits for a Batcher that is not there.
func TestSweptWithoutABatcher(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.NewBatches(t, s, "https://shop.example/", 3, time.Minute)
		ds := w.PublishPayments(w.Shop, 3, 0)
		if due, err := s.ClaimSweep(t.Context(), w.Clock.Now().Add(69*time.Second), 100, outbox.Sweep); err != nil ||
			len(due) != 0 {
			t.Fatalf("swept too early: %v, %v", due, err)
		}
		due, err := s.ClaimSweep(t.Context(), w.Clock.Now().Add(71*time.Second), 100, outbox.Sweep)
		if err != nil || len(due) != 3 {
			t.Fatalf("swept: %v, %v", due, err)
		}
		bumped, err := s.BumpGeneration(t.Context(), due[:2], w.Clock.Now(), outbox.Sweep)
		if err != nil || len(bumped) != 2 {
			t.Fatalf("bumped: %v, %v", bumped, err)
		}
		w.Form(0) // too few are left
		if row := w.Get(ds[0]); row.Generation != 2 || row.BatchID != nil {
			t.Errorf("swept: %+v", row)
		}
		w.PublishPayments(w.Shop, 2, 0)
		w.Form(1)
		if bumped, err := s.BumpGeneration(t.Context(), due[2:], w.Clock.Now(), outbox.Sweep); err != nil ||
			len(bumped) != 0 {
			t.Fatalf("a member was enqueued by itself: %v, %v", bumped, err)
		}
	})
}

// TestBatchersShareTheWork lets several Batchers, publishers and a sweeper loose on one database: no event is in two
// batches, none is in a batch and sent alone too, and none is left behind.
func TestBatchersShareTheWork(t *testing.T) {
	s := storetest.Postgres(t)
	w := deliverytest.New(t, s)
	off := deliverytest.Offers(s)
	m := w.Merchant()
	w.Endpoint(m, "https://shop.example/1", deliverytest.Batching(5, 10*time.Millisecond))
	w.Endpoint(m, "https://shop.example/2", deliverytest.Batching(7, 30*time.Millisecond))
	var stops []func()
	for range 4 {
		stops = append(stops, deliverytest.Run(t, w.Batcher().Run))
	}
	swept := &deliverytest.Offered{}
	stops = append(stops, deliverytest.Run(t, func(ctx context.Context) error {
		for ctx.Err() == nil { // a sweeper that is much too early
			due, err := s.ClaimSweep(context.Background(), time.Now().Add(10*time.Second), 3, outbox.Sweep)
			var alone []models.Delivery
			for _, d := range due {
				if d.EventID != "" {
					alone = append(alone, d)
				}
			}
			if err == nil {
				alone, err = s.BumpGeneration(context.Background(), alone, time.Now(), outbox.Sweep)
			}
			if err != nil {
				return err
			}
			swept.Add(alone)
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
		got, alone := make(map[string]int), make(map[string]bool)
		for _, d := range append(off.All(), swept.All()...) {
			if d.EventID != "" {
				alone[d.EventID+d.EndpointID] = true
				continue
			}
			for _, id := range deliverytest.EventsOf(t, w.Load(d.ID).Body) {
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
