package payments

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// forOrder asks for a payment of an order that replaces another one, "" for none.
func (h *harness) forOrder(order, replaces string) (models.Payment, error) {
	return h.ask(func(r *Request) {
		r.ExpiresIn, r.Replaces = time.Minute, replaces
		if order != "" {
			r.OrderID = &order
		}
	})
}

func (h *harness) mustAsk(t *testing.T, order, replaces string) models.Payment {
	t.Helper()
	p, err := h.forOrder(order, replaces)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bodies are the payments that events showed, by type of event.
func (h *harness) bodies(t *testing.T, paymentID string) map[string]webhook.Payment {
	t.Helper()
	all, err := h.store.AnnouncedFor(t.Context(), []string{paymentID})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]webhook.Payment)
	for _, a := range all[paymentID] {
		e, err := h.store.Event(t.Context(), h.merchant.ID, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Data struct{ Payment webhook.Payment }
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatal(err)
		}
		shown[strings.TrimPrefix(a.Type, "payment.")] = body.Data.Payment
	}
	return shown
}

func (h *harness) payment(t *testing.T, id string) models.Payment {
	t.Helper()
	p, err := h.store.Payment(t.Context(), h.merchant.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLateMoneyOfAnOrderThatAnotherPaymentHas: A expires, B has the order, and A is paid late, which its merchant
// accepts. A moves and announces it, and says that the order is not its own any more.
func TestLateMoneyOfAnOrderThatAnotherPaymentHas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		if err := s.InTx(t.Context(), func(tx *store.Tx) error {
			h.merchant.AcceptLate = true
			return tx.SaveMerchant(t.Context(), h.merchant)
		}); err != nil {
			t.Fatal(err)
		}
		a := h.mustAsk(t, "A-17", "")
		h.block(t, 101, 90, noon.Add(2*time.Minute))
		h.clock.Set(noon.Add(2 * time.Minute))
		b := h.mustAsk(t, "A-17", "")
		h.block(t, 102, 102, noon.Add(2*time.Minute+time.Second), pay(a, 1_500_000, 1))
		if types := h.types(t, a.ID); !slices.Equal(types, []string{"created", "expired", "detected", "confirmed", "late"}) {
			t.Fatalf("events %v", types)
		}
		shown := h.bodies(t, a.ID)
		for kind, current := range map[string]bool{"created": true, "expired": false, "detected": false, "confirmed": false,
			"late": false} {
			if shown[kind].OrderCurrent != current {
				t.Errorf("%s says order_current %t", kind, !current)
			}
		}
		if got := h.payment(t, a.ID); got.Status != models.PaymentConfirmed || got.OrderCurrent() ||
			got.QuarantinedAt != nil || !h.payment(t, b.ID).OrderCurrent() {
			t.Errorf("A is %s, current %t, %s", got.Status, got.OrderCurrent(), got.QuarantineReason)
		}
		// Nor does a payment of the order that comes later make A current again.
		if err := h.cancel(h.merchant.ID, b.ID); err != nil || h.payment(t, a.ID).OrderCurrent() {
			t.Errorf("A has the order again after B was canceled: %v", err)
		}
		if c := h.mustAsk(t, "A-17", ""); !c.OrderCurrent() {
			t.Error("the order is not free")
		}
	})
}

// TestReplace: a customer who has paid a part changes the coin. The old payment cannot be canceled, but replaced; it is
// watched on, and what it receives is announced as not for the order.
func TestReplace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		a := h.mustAsk(t, "A-17", "")
		h.block(t, 101, 90, noon.Add(time.Second), pay(a, 100_000, 1))
		var uncancelable *NotCancelableError
		if err := h.cancel(h.merchant.ID, a.ID); !errors.As(err, &uncancelable) || !strings.Contains(err.Error(), "replace") {
			t.Fatalf("canceled with money: %v", err)
		}
		b := h.mustAsk(t, "", a.ID) // the order is that of A
		if b.OrderID == nil || *b.OrderID != "A-17" || b.Replaces == nil || *b.Replaces != a.ID {
			t.Fatalf("%+v", b)
		}
		if got := h.payment(t, a.ID); got.Status != models.PaymentPending || got.OrderCurrent() || got.ReplacedBy == nil ||
			*got.ReplacedBy != b.ID || got.WatchUntil != nil {
			t.Fatalf("%+v", got)
		}
		h.block(t, 102, 102, noon.Add(2*time.Second), pay(a, 1_400_000, 2), pay(b, 1_500_000, 3))
		for id, current := range map[string]bool{a.ID: false, b.ID: true} {
			shown := h.bodies(t, id)["confirmed"]
			if shown.Status != "confirmed" || shown.OrderCurrent != current {
				t.Errorf("%s: %+v", id, shown)
			}
		}
		if shown := h.bodies(t, b.ID)["created"]; shown.Replaces == nil || *shown.Replaces != a.ID {
			t.Errorf("created does not say what it replaces: %+v", shown)
		}
		var confirmed *NotReplaceableError
		if _, err := h.forOrder("", b.ID); !errors.As(err, &confirmed) || confirmed.PaymentID != b.ID {
			t.Errorf("a confirmed payment was replaced: %v", err)
		}
		if _, err := h.forOrder("", a.ID); !errors.As(err, &confirmed) || confirmed.PaymentID != a.ID {
			t.Errorf("a confirmed payment without its order was replaced: %v", err)
		}
		lines, err := s.AuditLog(t.Context(), 1, 100)
		if err != nil || !slices.ContainsFunc(lines, func(l models.AuditEntry) bool {
			return l.Action == "payment.replaced" && l.Subject == a.ID && l.Detail["by"] == b.ID
		}) {
			t.Errorf("the audit log does not tell: %v, %v", lines, err)
		}
	})
}

// TestReplaceChains: whoever has the order keeps it until it is replaced itself, whichever older payment is named.
func TestReplaceChains(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		a := h.mustAsk(t, "A-17", "")
		b := h.mustAsk(t, "A-17", a.ID)
		var taken *OrderTakenError
		if _, err := h.forOrder("", a.ID); !errors.As(err, &taken) || taken.PaymentID != b.ID {
			t.Fatalf("A was replaced twice: %v", err)
		}
		c := h.mustAsk(t, "", b.ID)
		for id, by := range map[string]string{a.ID: b.ID, b.ID: c.ID} {
			if got := h.payment(t, id); got.ReplacedBy == nil || *got.ReplacedBy != by {
				t.Errorf("%s was replaced by %v, want %s", id, got.ReplacedBy, by)
			}
		}
		// A payment that was replaced may still be canceled, and expires; neither frees the order.
		if err := h.cancel(h.merchant.ID, a.ID); err != nil {
			t.Error(err)
		}
		h.block(t, 101, 101, noon.Add(30*time.Second))
		if _, err := h.forOrder("A-17", ""); !errors.As(err, &taken) || taken.PaymentID != c.ID {
			t.Errorf("the order is free: %v", err)
		}
		// C expires meanwhile: naming it, or one before it, takes the order all the same.
		h.block(t, 102, 102, noon.Add(2*time.Minute))
		h.clock.Set(noon.Add(2 * time.Minute))
		d := h.mustAsk(t, "", c.ID)
		got := h.payment(t, c.ID)
		if got.ReplacedBy == nil || *got.ReplacedBy != d.ID || got.Status != models.PaymentExpired {
			t.Errorf("%+v", got)
		}
	})
}

// TestReplaceRefuses: what is not a payment of the merchant, in the mode and of the order.
func TestReplaceRefuses(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), nil)
	live := h.mustAsk(t, "A-17", "")
	test, err := h.ask(func(r *Request) { r.Chain, r.Asset, r.OrderID = "sepolia", "native", live.OrderID })
	if err != nil {
		t.Fatal(err)
	}
	free := h.mustAsk(t, "", "")
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"unknown": {func(r *Request) {
			r.Replaces = models.NewID(models.PrefixPayment, noon)
		}, "replaces is no payment"},
		"other mode": {func(r *Request) { r.Replaces = test.ID }, "replaces is a payment of the other mode"},
		"other order": {func(r *Request) {
			other := "B"
			r.OrderID, r.Replaces = &other, live.ID
		}, "order_id is not the order"},
		"without order": {func(r *Request) { r.Replaces = free.ID }, "replaces has no order_id"},
		"live payment of a test key": {func(r *Request) {
			r.Test, r.Chain, r.Asset, r.Replaces = true, "sepolia", "native", live.ID
		}, "replaces is no payment"},
		"another merchant's": {func(r *Request) {
			other := h.merchant
			other.ID, other.AccountKeyID = models.NewID(models.PrefixMerchant, noon), nil
			if err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.InsertMerchant(t.Context(), other)
			}); err != nil {
				t.Fatal(err)
			}
			r.MerchantID, r.Replaces = other.ID, live.ID
		}, "replaces is no payment"},
	} {
		var faults models.FieldErrors
		if _, err := h.ask(c.change); !errors.As(err, &faults) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range []models.Payment{live, test} {
		if got := h.payment(t, p.ID); !got.OrderCurrent() || got.ReplacedBy != nil {
			t.Errorf("a refused request took the order: %+v", got)
		}
	}
}

// TestReplaceRaces: of several requests at once that replace the same payment one wins, the others learn who has the
// order; and a payment that is confirmed between the check and the commit keeps its order.
func TestReplaceRaces(t *testing.T) {
	h := newHarness(t, storetest.Postgres(t), nil)
	a := h.mustAsk(t, "A-17", "")
	const n = 6
	results := make([]error, n)
	made := make([]models.Payment, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { made[i], results[i] = h.forOrder("A-17", a.ID) })
	}
	wg.Wait()
	winner := -1
	for i, err := range results {
		if err == nil && winner >= 0 {
			t.Fatal("two payments have the order")
		} else if err == nil {
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal(results)
	}
	for i, err := range results {
		var taken *OrderTakenError
		if i != winner && (!errors.As(err, &taken) || taken.PaymentID != made[winner].ID) {
			t.Errorf("%d: %v", i, err)
		}
	}

	b := made[winner]
	draft, err := h.Prepare(context.Background(), Request{MerchantID: h.merchant.ID, Chain: "ethereum", Asset: "USDC",
		AmountDecimal: "1", Replaces: b.ID})
	if err != nil {
		t.Fatal(err)
	}
	h.block(t, 101, 101, noon.Add(time.Second), pay(b, 1_500_000, 1))
	var confirmed *NotReplaceableError
	if _, err := h.Commit(context.Background(), draft, nil); !errors.As(err, &confirmed) {
		t.Errorf("a payment that was confirmed meanwhile gave its order up: %v", err)
	}
	if !h.payment(t, b.ID).OrderCurrent() {
		t.Error("a confirmed payment lost its order")
	}
	if next, err := h.ask(nil); err != nil || next.AddressIndex != draft.payment.AddressIndex {
		t.Errorf("the address of the refused payment is lost: %d, %v", next.AddressIndex, err)
	}
}

// TestCancelSaysWhy: each payment that cannot be canceled tells what stands against it.
func TestCancelSaysWhy(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), nil)
	canceled, doubted, expired := h.mustAsk(t, "A", ""), h.mustAsk(t, "B", ""), h.mustAsk(t, "C", "")
	paid, err := h.ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cancel(h.merchant.ID, canceled.ID); err != nil {
		t.Fatal(err)
	}
	h.observe(t, Step{ChainID: 1, Head: 101, Final: 101, Doubts: []Doubt{{Kind: models.DoubtHidden,
		Answers: []models.ProviderAnswer{}, Observed: Observed{
			Block: blockOf(100, 100, noon).Header, Transfer: pay(doubted, 5, 9)}}}})
	h.block(t, 101, 101, noon.Add(2*time.Minute), pay(paid, 1_500_000, 1))
	for id, want := range map[string]string{
		canceled.ID: "canceled already", doubted.ID: "in doubt", expired.ID: "is expired", paid.ID: "is confirmed",
	} {
		if err := h.cancel(h.merchant.ID, id); !errors.Is(err, ErrNotCancelable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestAPaymentShowsItsDoubts, in events too, and does not expire while one is open.
func TestAPaymentShowsItsDoubts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		p := h.mustAsk(t, "A-17", "")
		h.observe(t, Step{ChainID: 1, Head: 101, Final: 101, Doubts: []Doubt{{Kind: models.DoubtHidden,
			Answers: []models.ProviderAnswer{}, Observed: Observed{
				Block: blockOf(100, 100, noon).Header, Transfer: pay(p, 1_500_000, 9)}}}})
		h.block(t, 102, 102, noon.Add(2*time.Minute), pay(p, 5, 1))
		shown := h.bodies(t, p.ID)["partially_paid"]
		if h.payment(t, p.ID).Status != models.PaymentPending || len(shown.Doubts) != 1 ||
			shown.Doubts[0].Amount != "1500000" || shown.Doubts[0].Asset.Symbol != "USDC" || shown.Doubts[0].TxHash == nil ||
			shown.Doubts[0].Kind != models.DoubtHidden {
			t.Fatalf("%+v", shown)
		}
		if err := s.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := h.SettleDoubt(t.Context(), tx, models.System, shown.Doubts[0].ID, true, "seen on an explorer")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if shown := h.bodies(t, p.ID)["detected"]; shown.Status != "detected" || len(shown.Doubts) != 0 {
			t.Errorf("after the doubt was settled: %+v", shown)
		}
	})
}
