package scanner_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// transfersOf are the canonical transfers of a payment.
func (h *shop) transfersOf(p models.Payment) (canonical []models.Transfer) {
	h.t.Helper()
	all, err := h.store.TransfersOf(h.t.Context(), []string{p.ID})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range all[p.ID] {
		if t.Canonical() {
			canonical = append(canonical, t)
		}
	}
	return canonical
}

// change writes into the record what no chain said.
func (h *shop) change(f func(*store.Tx) error) {
	h.t.Helper()
	if err := h.store.InTx(h.t.Context(), f); err != nil {
		h.t.Fatal(err)
	}
}

// invent records a transfer that never happened, like another one.
func (h *shop) invent(like models.Transfer) {
	like.ID, like.TxHash = models.NewID(models.PrefixTransfer, like.CreatedAt), "0x"+strings.Repeat("7", 64)
	h.change(func(tx *store.Tx) error { _, err := tx.RecordTransfer(h.t.Context(), like); return err })
}

// TestAuditTellsWhatDiffers: a provider that agrees, a transfer that is missing in the record, one that never happened,
// and a provider of another chain.
func TestAuditTellsWhatDiffers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := node(t)
		h := newShop(t, s, c)
		h.scan(mined(t, c, 1))
		p := h.ask("native", "700")
		if _, err := c.SendNative(t.Context(), c.DemoPayer(), p.Address, big.NewInt(700)); err != nil {
			t.Fatal(err)
		}
		h.scan(mined(t, c, 6))
		st, err := h.admin().ChainStatus(t.Context(), "devnet")
		if err != nil {
			t.Fatal(err)
		}
		name := st.Providers[0].Provider
		audit := func(provider string) []scanner.Difference {
			t.Helper()
			r, err := h.admin().AuditChain(t.Context(), "devnet", provider, 1, 0)
			if err != nil || r.NextFrom != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			return r.Differences
		}
		if d := audit(name); len(d) != 0 {
			t.Fatalf("a provider that agrees: %+v", d)
		}
		if _, err := h.admin().AuditChain(t.Context(), "devnet", "nobody", 1, 0); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("an unknown provider: %v", err)
		}

		was := h.transfersOf(p)[0]
		h.invent(was)
		if d := audit(name); len(d) != 1 || d[0].Kind != scanner.DiffMissing || d[0].PaymentID != p.ID ||
			d[0].Amount != "700" || d[0].Block != was.BlockNumber {
			t.Errorf("a transfer that never happened: %+v", d)
		}
		h.change(func(tx *store.Tx) error {
			_, err := tx.OrphanTransfer(t.Context(), was, was.CreatedAt)
			return err
		})
		if d := audit(name); len(d) == 0 || d[len(d)-1].Kind != scanner.DiffUnrecorded || d[len(d)-1].TxHash != was.TxHash {
			t.Errorf("a transfer that the record lacks: %+v", d)
		}
		if h.payment(p).AmountReceived.String() != "700" {
			t.Error("an audit changed a payment")
		}

		other := node(t)
		mined(t, other, 10)
		if d := audit(other.URL()); len(d) < 2 || d[len(d)-1].Kind != scanner.DiffBlock || d[len(d)-1].BlockHash == "" {
			t.Errorf("a provider of another chain: %+v", d)
		}
	})
}

func (h *shop) payment(p models.Payment) models.Payment {
	h.t.Helper()
	got, err := h.store.Payment(h.t.Context(), h.merchant, p.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

// TestReconcile: coin that no transfer explains is credited, a token's logs are searched for, and an account that holds
// less than is recorded is told; a second run finds nothing new.
func TestReconcile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := node(t)
		h := newShop(t, s, c)
		h.scan(mined(t, c, 1))
		token := []config.Token{{Symbol: devnet.TokenSymbol, Contract: strings.ToLower(c.Token()),
			Decimals: devnet.TokenDecimals}}
		coin := h.ask("native", "700")
		h.chain.Tokens = token
		tokens := h.ask(devnet.TokenSymbol, "900")
		h.chain.Tokens = nil // the scanner does not see it
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), tokens.Address, big.NewInt(900)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendNative(t.Context(), c.DemoPayer(), coin.Address, big.NewInt(300)); err != nil {
			t.Fatal(err)
		}
		h.scan(mined(t, c, 6))
		h.want(tokens, models.PaymentPending, "0")
		was := h.transfersOf(coin)[0]
		h.change(func(tx *store.Tx) error { // as if it had been overlooked
			_, err := tx.OrphanTransfer(t.Context(), was, was.CreatedAt)
			return err
		})
		h.chain.Tokens = token
		for i, credited := range []int{3, 0} { // the search finds the coin as well, in its block
			r, err := h.admin().Reconcile(t.Context(), "devnet")
			if err != nil || r.Credited != credited || r.Doubts != 0 || len(r.Differences) != 0 || r.NextFrom != nil {
				t.Fatalf("run %d: %+v, %v", i+1, r, err)
			}
		}
		h.want(tokens, models.PaymentConfirmed, "900")
		h.want(coin, models.PaymentPending, "300")
		if found := h.transfersOf(coin); len(found) != 1 || found[0].TxHash != was.TxHash {
			t.Errorf("%+v", found)
		}

		h.invent(was)
		r, err := h.admin().Reconcile(t.Context(), "devnet")
		if err != nil || len(r.Differences) != 1 || r.Differences[0].PaymentID != coin.ID ||
			r.Differences[0].Held != "300" || r.Differences[0].Recorded != "600" {
			t.Errorf("money that is not there: %+v, %v", r, err)
		}
	})
}

// TestRescanLeavesClosedWindowsAlone: what came after the monitoring window of a payment is not said to be credited.
func TestRescanLeavesClosedWindowsAlone(t *testing.T) {
	c := node(t)
	h := newShop(t, storetest.SQLite(t), c)
	h.scan(mined(t, c, 1))
	p := h.ask("native", "5")
	if _, err := c.SendNative(t.Context(), c.DemoPayer(), p.Address, big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	h.scan(mined(t, c, 6))
	was, got := h.transfersOf(p)[0], h.payment(p)
	h.change(func(tx *store.Tx) error {
		if _, err := tx.OrphanTransfer(t.Context(), was, was.CreatedAt); err != nil {
			return err
		}
		before := was.BlockTime.Add(-time.Second)
		got.WatchUntil = &before
		return tx.SavePayment(t.Context(), got)
	})
	r, err := h.admin().Rescan(t.Context(), "devnet", 1, 0)
	if err != nil || r.Credited != 0 || len(h.transfersOf(p)) != 0 {
		t.Errorf("%+v, %v, %+v", r, err, h.transfersOf(p))
	}
}
