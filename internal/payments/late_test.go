package payments

import (
	"math/big"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// lateOf is one transfer of a block that was recorded before.
func lateOf(b Block, rank int, t chain.Transfer) []Block {
	return []Block{{Header: b.Header, Transfers: []chain.Transfer{t}, Rank: rank}}
}

// ordinal is a transfer under another ordinal.
func ordinal(t chain.Transfer, n int) chain.Transfer {
	t.Ordinal = n
	return t
}

// TestALateTransferReplacesNoOther: one transaction sends 400, 700 and 400, and the first reading holds the 700 alone,
// under the ordinal of the first. The others are added whatever their order is, and once.
func TestALateTransferReplacesNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		for name, order := range map[string][]int{"in order": {0, 1}, "the last first": {1, 0, 1}} {
			t.Run(name, func(t *testing.T) {
				p, err := h.ask(nil)
				if err != nil {
					t.Fatal(err)
				}
				n := uint64(len(order) * 100)
				b := blockOf(n, n, noon.Add(time.Minute), pay(p, 700, n))
				h.observe(t, Step{ChainID: 1, Blocks: []Block{b}, Head: n})
				first, last := pay(p, 400, n), ordinal(pay(p, 400, n), 2)
				for range 2 {
					for _, rank := range order {
						h.observe(t, Step{ChainID: 1, Head: n, Late: lateOf(b, rank, []chain.Transfer{first, last}[rank])})
					}
				}
				if got := h.payment(t, p.ID).AmountReceived.String(); got != "1500" {
					t.Errorf("received %s, want 1500", got)
				}
				h.observe(t, Step{ChainID: 1, Head: n, Refuted: []Observed{{Block: b.Header, Transfer: pay(p, 700, n)}}})
				if got := h.payment(t, p.ID).AmountReceived.String(); got != "800" {
					t.Errorf("after the 700 were refuted %s are received, want 800", got)
				}
			})
		}
	})
}

// TestAnAcceptedTransferReplacesNoOther: what was recorded may be doubted, or be refuted, beside a doubt about what was
// not recorded; what is accepted is added, once, also where a second look has found it meanwhile.
func TestAnAcceptedTransferReplacesNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		for name, c := range map[string]struct {
			recordedKind string
			refuted      bool
			found        bool
			received     string
		}{
			"it is added":          {received: "1500"},
			"beside another doubt": {recordedKind: models.DoubtInvented, received: "1500"},
			"after a refutation":   {refuted: true, received: "800"},
			"one was found":        {found: true, received: "1500"},
		} {
			t.Run(name, func(t *testing.T) {
				p, err := h.ask(nil)
				if err != nil {
					t.Fatal(err)
				}
				n := uint64(1000 + len(name))
				b := blockOf(n, n, noon.Add(time.Minute), pay(p, 700, n))
				h.observe(t, Step{ChainID: 1, Blocks: []Block{b}, Head: n})
				step := Step{ChainID: 1, Head: n}
				doubt := func(kind string, of chain.Transfer) {
					step.Doubts = append(step.Doubts, Doubt{Kind: kind, Answers: []models.ProviderAnswer{},
						Observed: Observed{Block: b.Header, Transfer: of}})
				}
				if c.recordedKind != "" {
					doubt(c.recordedKind, pay(p, 700, n))
				}
				doubt(models.DoubtHidden, pay(p, 400, n))
				doubt(models.DoubtHidden, ordinal(pay(p, 400, n), 2))
				h.observe(t, step)
				if c.refuted {
					h.observe(t, Step{ChainID: 1, Head: n, Refuted: []Observed{{Block: b.Header, Transfer: pay(p, 700, n)}}})
				}
				if c.found {
					h.clock.Advance(time.Minute)
					h.observe(t, Step{ChainID: 1, Head: n, Late: lateOf(b, 0, pay(p, 400, n))})
				}
				h.acceptHidden(t, p)
				if got := h.payment(t, p.ID).AmountReceived.String(); got != c.received {
					t.Errorf("received %s, want %s", got, c.received)
				}
			})
		}
	})
}

// acceptHidden accepts every open doubt about a transfer to a payment that is not recorded.
func (h *harness) acceptHidden(t *testing.T, p models.Payment) {
	t.Helper()
	open, err := h.store.OpenDoubts(t.Context(), []string{p.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range open[p.ID] {
		if d.Recorded() {
			continue
		}
		if err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := h.SettleDoubt(t.Context(), tx, models.System, d.ID, true, "seen on an explorer")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAValueThatCannotBeHoldsUpNoBlock: what is beside it is recorded.
func TestAValueThatCannotBeHoldsUpNoBlock(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), nil)
	p, err := h.ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	absurd := pay(p, 1, 1)
	absurd.Value = new(big.Int).Lsh(absurd.Value, 256)
	h.block(t, 101, 101, noon.Add(time.Minute), absurd, pay(p, 400, 2))
	if got := h.payment(t, p.ID).AmountReceived.String(); got != "400" {
		t.Errorf("received %s", got)
	}
}
