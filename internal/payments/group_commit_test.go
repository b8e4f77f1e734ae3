package payments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// crowd calls ask n times at once and returns what came of each.
func crowd(n int, ask func(i int) (models.Payment, error)) ([]models.Payment, []error) {
	made, errs := make([]models.Payment, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { made[i], errs[i] = ask(i) })
	}
	wg.Wait()
	return made, errs
}

// record is that of an idempotency key.
func (h *harness) record(key string) *models.IdempotencyRecord {
	return &models.IdempotencyRecord{
		MerchantID: h.merchant.ID, Method: "POST", Path: "/api/v1/payments", Key: key, RequestHash: "h", StatusCode: 201,
		Answer: []byte("a"), CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

func (h *harness) request(order string) Request {
	r := Request{MerchantID: h.merchant.ID, Chain: "ethereum", Asset: "USDC", AmountDecimal: "1.5"}
	if order != "" {
		r.OrderID = &order
	}
	return r
}

// TestConcurrentCreation: a hundred at once, no address twice, no hole, no deadlock, and each with its event and
// delivery.
func TestConcurrentCreation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const n = 100
		var asked atomic.Int64 // of the chain
		h := newHarness(t, s, func(o *Options) {
			o.Used = func(_ context.Context, _ uint64, addresses []string) (map[string]bool, error) {
				asked.Add(1)
				answers := make(map[string]bool)
				for _, a := range addresses {
					answers[a] = false
				}
				return answers, nil
			}
		})
		made, errs := crowd(n, func(int) (models.Payment, error) { return h.ask(nil) })
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		var indexes []int
		for _, p := range made {
			indexes = append(indexes, int(p.AddressIndex))
			if stored, err := s.Payment(t.Context(), h.merchant.ID, p.ID); err != nil || stored.Address != p.Address {
				t.Fatalf("%s is stored as %+v, %v", p.ID, stored, err)
			}
		}
		slices.Sort(indexes)
		for i, index := range indexes {
			if index != i {
				t.Fatalf("index %d stands at place %d", index, i)
			}
		}
		if asked.Load() > n/10 {
			t.Errorf("the chain was asked %d times about %d addresses", asked.Load(), n)
		}
		deliveries, err := s.ListDeliveries(t.Context(), h.merchant.ID, store.DeliveryFilter{}, store.Page{Limit: n + 1})
		if err != nil || len(deliveries) != n {
			t.Fatalf("%d deliveries, %v", len(deliveries), err)
		}
	})
}

// TestNobodyAnswersForHisNeighbours: of those who come at once with one order or one key, one wins and the others are
// told why not; everybody else gets what he asked for, and no address is lost.
func TestNobodyAnswersForHisNeighbours(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		const n = 60
		made, errs := crowd(n, func(i int) (models.Payment, error) {
			order, key := fmt.Sprintf("A-%d", i), fmt.Sprintf("k-%d", i)
			switch i % 10 {
			case 0:
				order = "the same"
			case 1:
				key = "the same"
			}
			return h.create(h.request(order), h.record(key))
		})
		won := map[int]int{}
		for i, err := range errs {
			var taken *OrderTakenError
			switch kind := i % 10; {
			case err == nil:
				won[kind]++
			case kind == 0 && errors.As(err, &taken) && taken.PaymentID != "", kind == 1 &&
				errors.Is(err, store.ErrIdempotencyTaken):
			default:
				t.Errorf("request %d: %v", i, err)
			}
		}
		for kind := range 10 {
			if want := map[bool]int{true: 1, false: n / 10}[kind < 2]; won[kind] != want {
				t.Errorf("%d of kind %d succeeded, want %d", won[kind], kind, want)
			}
		}
		var highest uint32
		for _, p := range made {
			highest = max(highest, p.AddressIndex)
		}
		p, err := h.ask(nil)
		if err != nil || p.AddressIndex >= highest {
			t.Fatalf("the addresses of refused payments are lost: the next index is %d, the highest was %d, %v", p.AddressIndex,
				highest, err)
		}
	})
}

// TestOneWhoWaitsHoldsNobodyUp: while a key is in another transaction's hands, only the request with that key waits.
func TestOneWhoWaitsHoldsNobodyUp(t *testing.T) {
	s := storetest.Postgres(t)
	h := newHarness(t, s, nil)
	held, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.InTx(context.Background(), func(tx *store.Tx) error {
			err := tx.SaveAnswers(context.Background(), []models.IdempotencyRecord{*h.record("held")})
			close(held)
			<-finish
			return err
		})
	}()
	<-held
	loser := make(chan error, 1)
	go func() {
		_, err := h.create(h.request(""), h.record("held"))
		loser <- err
	}()
	for range 3 {
		_, errs := crowd(20, func(i int) (models.Payment, error) { return h.ask(nil) })
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-loser:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := <-loser; !errors.Is(err, store.ErrIdempotencyTaken) {
		t.Fatalf("the loser was told %v", err)
	}
}

// TestAnAddressIsHandedOutOnce: a draft that is discarded returns its address, once; a payment whose COMMIT failed may
// exist, and keeps it.
func TestAnAddressIsHandedOutOnce(t *testing.T) {
	s, db := storetest.Owned(t)
	run := func(sql string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	h := newHarness(t, s, nil)
	draft, err := h.Prepare(t.Context(), h.request(""))
	if err != nil {
		t.Fatal(err)
	}
	h.Discard(draft)
	h.Discard(draft)
	if _, err := h.Commit(t.Context(), draft, nil); !errors.Is(err, errDraftEnded) {
		t.Fatalf("a discarded draft was committed: %v", err)
	}
	if p, err := h.ask(nil); err != nil || p.AddressIndex != 0 {
		t.Fatalf("after a draft was discarded: index %d, %v", p.AddressIndex, err)
	}
	run(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'at the commit'; END $$`)
	run(
		`CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()`)
	if _, err := h.ask(nil); !errors.Is(err, ErrCommitUnknown) {
		t.Fatalf("the COMMIT was answered %v", err)
	}
	_, errs := crowd(5, func(int) (models.Payment, error) { return h.ask(nil) })
	for _, err := range errs {
		if !errors.Is(err, ErrCommitUnknown) {
			t.Fatalf("the COMMIT of several was answered %v", err)
		}
	}
	run(`DROP TRIGGER fail ON payments`)
	if p, err := h.ask(nil); err != nil || p.AddressIndex != 7 {
		t.Fatalf("after six COMMITs without an answer: index %d, %v", p.AddressIndex, err)
	}
}
