package payments

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestChainsFileHasWhatOpenPaymentsWaitFor: a chain or a token is missed while a payment in it is open, and only then.
func TestChainsFileHasWhatOpenPaymentsWaitFor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		bare := ethereum
		bare.Tokens = nil
		both, none := []config.Chain{ethereum, sepolia}, []config.Chain{sepolia}
		if err := CheckListed(t.Context(), s, nil); err != nil {
			t.Fatalf("nothing is open: %v", err)
		}
		native, err := h.ask(func(r *Request) { r.Asset = "native" })
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckListed(t.Context(), s, []config.Chain{bare}); err != nil {
			t.Errorf("nothing is open in the token: %v", err)
		}
		token := h.mustAsk(t, "", "")
		for want, chains := range map[string][]config.Chain{
			"": both, "chain ethereum (chain_id 1)": none, "token USDC (" + usdc + ") of chain ethereum": {bare},
		} {
			err := CheckListed(t.Context(), s, chains)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) ||
				!strings.Contains(err.Error(), "retired: true")) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		for _, p := range []models.Payment{native, token} {
			if err := h.cancel(h.merchant.ID, p.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := CheckListed(t.Context(), s, none); err != nil {
			t.Errorf("nothing is open any more: %v", err)
		}
	})
}

// TestRetiredTakesMoneyAndNoPayments: what is paid on a chain or in a token that is retired counts as before, and no
// new payment is made there. A token that took its place has its symbol.
func TestRetiredTakesMoneyAndNoPayments(t *testing.T) {
	s := storetest.SQLite(t)
	h := newHarness(t, s, nil)
	p := h.mustAsk(t, "A-17", "")
	const young = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb49"
	h.chains["sepolia"] = func(c config.Chain) config.Chain { c.Retired = true; return c }(sepolia)
	h.chains["ethereum"] = func(c config.Chain) config.Chain {
		c.Tokens = slices.Concat([]config.Token{{Symbol: "USDC", Contract: usdc, Decimals: 6, Retired: true}},
			[]config.Token{{Symbol: "OLD", Contract: "0x" + strings.Repeat("1", 40), Decimals: 6, Retired: true}},
			[]config.Token{{Symbol: "USDC", Contract: young, Decimals: 6}})
		return c
	}(ethereum)
	for name, change := range map[string]func(*Request){
		"chain": func(r *Request) { r.Chain, r.Asset = "sepolia", "native" }, "asset": func(r *Request) { r.Asset = usdc },
		"asset ": func(r *Request) { r.Asset = "OLD" },
	} {
		var faults models.FieldErrors
		if _, err := h.ask(change); !errors.As(err, &faults) || faults[0].Field != strings.TrimSpace(name) ||
			!strings.Contains(err.Error(), "is retired") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if next, err := h.ask(nil); err != nil || next.Asset != young {
		t.Errorf("the symbol is %s, %v", next.Asset, err)
	}
	h.block(t, 101, 101, noon.Add(time.Second), pay(p, 1_500_000, 1))
	if got := h.bodies(t, p.ID)["confirmed"]; got.Status != "confirmed" || got.Asset.Symbol != "USDC" {
		t.Errorf("%+v", got)
	}
}
