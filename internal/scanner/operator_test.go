package scanner_test

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// shop is a gateway without processes: a scanner that runs until its chain is recorded, and an operator.
type shop struct {
	t        *testing.T
	store    *store.Store
	chain    config.Chain
	cfg      config.Config
	merchant string
}

func newShop(t *testing.T, s *store.Store, node *devnet.Chain) *shop {
	t.Helper()
	cfg, err := config.Load(config.Options{
		Process: config.ProcessCtl, Environ: []string{"DATABASE_URL=postgres://127.0.0.1:1/unused"},
	})
	if err != nil {
		t.Fatal(err)
	}
	start := uint64(1)
	h := &shop{t: t, store: s, cfg: cfg, merchant: models.NewID(models.PrefixMerchant, time.Now())}
	h.chain = config.Chain{
		Name: "devnet", ChainID: devnet.ChainID, RPCURLs: []config.URL{config.URL(node.URL())}, Test: true,
		StartBlock: &start, Finality: config.Finality{Depth: 2}, PollInterval: 10 * time.Millisecond, BlockTime: time.Hour,
		Native: config.Native{Symbol: "ETH", Decimals: 18}, Internal: "auto",
	}
	xpub, err := devnet.NewXPub()
	if err != nil {
		t.Fatal(err)
	}
	account, err := wallet.Parse(xpub)
	if err != nil {
		t.Fatal(err)
	}
	at := models.Now(time.Now)
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertMerchant(t.Context(), models.Merchant{ID: h.merchant, Name: "Shop", CreatedAt: at, UpdatedAt: at}),
			tx.SetAccountKey(t.Context(), models.AccountKey{ID: account.KeyID(), MerchantID: h.merchant, XPub: xpub,
				CreatedAt: at}))
	}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *shop) payments() *payments.Service {
	h.t.Helper()
	s, err := payments.New(payments.Options{
		Store: h.store, Chains: []config.Chain{h.chain}, PublicURL: "https://pay.example", Window: time.Hour, MaxAttempts: 15,
		MaxOpen: 1000, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// scan runs a scanner until it has recorded a block.
func (h *shop) scan(upTo devnet.Head) {
	h.t.Helper()
	pool, err := wiring.Chain(h.chain, time.Now, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer pool.Close()
	s, err := scanner.New(scanner.Options{
		Chain: h.chain, Source: pool, Store: h.store, Payments: h.payments(), Holder: "test", LeaseTTL: time.Second,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	final := chain.FinalByDepth(upTo.Number, h.chain.Finality.Depth)
	for ctx.Err() == nil {
		c, err := h.store.Cursor(ctx, h.chain.ChainID)
		if err == nil && c.Hash == upTo.Hash && c.FinalNumber >= final {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	timedOut := ctx.Err() != nil
	cancel()
	if err := <-ended; err != nil || timedOut {
		h.t.Fatalf("block %d was not recorded: %v, %v", upTo.Number, err, s.State().LastErr)
	}
}

func (h *shop) ask(asset, amount string) models.Payment {
	h.t.Helper()
	s := h.payments()
	draft, err := s.Prepare(h.t.Context(), payments.Request{MerchantID: h.merchant, Chain: "devnet", Asset: asset,
		Amount: amount})
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := s.Commit(h.t.Context(), draft, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *shop) admin() *admin.Admin {
	h.t.Helper()
	h.cfg.Chains = []config.Chain{h.chain}
	a, err := admin.Open(h.t.Context(), admin.Options{
		Config: h.cfg, Actor: models.Actor{Name: "operator:test"}, Now: time.Now, Store: h.store,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { a.Close() })
	return a
}

func (h *shop) want(p models.Payment, status models.PaymentStatus, received string) {
	h.t.Helper()
	got, err := h.store.Payment(h.t.Context(), h.merchant, p.ID)
	if err != nil || got.Status != status || got.AmountReceived.String() != received {
		h.t.Errorf("payment is %s with %s, want %s with %s (%v)", got.Status, got.AmountReceived, status, received, err)
	}
}

func node(t *testing.T) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mined(t *testing.T, c *devnet.Chain, n int) devnet.Head {
	t.Helper()
	for range n {
		if _, err := c.Mine(); err != nil {
			t.Fatal(err)
		}
	}
	return c.Head()
}

// TestRescanCreditsATokenThatWasListedLater: once, however often it runs.
func TestRescanCreditsATokenThatWasListedLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := node(t)
		h := newShop(t, s, c)
		h.scan(mined(t, c, 1))
		p := h.ask("native", "5")
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), p.Address, big.NewInt(900)); err != nil {
			t.Fatal(err)
		}
		h.scan(mined(t, c, 4))
		contract := strings.ToLower(c.Token())
		h.chain.Tokens = []config.Token{{Symbol: devnet.TokenSymbol, Contract: contract, Decimals: devnet.TokenDecimals}}
		for i, credited := range []int{1, 0} {
			r, err := h.admin().Rescan(t.Context(), "devnet", 1, 0)
			if err != nil || r.Credited != credited || r.Transfers != 1 || r.Doubts != 0 {
				t.Fatalf("run %d: %+v, %v", i+1, r, err)
			}
		}
		all, err := s.TransfersOf(t.Context(), []string{p.ID})
		if err != nil || len(all[p.ID]) != 1 || all[p.ID][0].Asset != contract || !all[p.ID][0].Misdirected ||
			all[p.ID][0].Status != models.TransferConfirmed {
			t.Fatalf("%+v, %v", all, err)
		}
		if _, err := h.admin().Rescan(t.Context(), "devnet", 1000, 0); err == nil {
			t.Error("blocks that are not recorded were read")
		}
	})
}

// TestResetOfAChainThatBeganAnew: what was paid on the old chain is taken back, and the new one is followed.
func TestResetOfAChainThatBeganAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		old := node(t)
		h := newShop(t, s, old)
		h.scan(mined(t, old, 1))
		p := h.ask("native", "700")
		if _, err := old.SendNative(t.Context(), old.DemoPayer(), p.Address, big.NewInt(700)); err != nil {
			t.Fatal(err)
		}
		h.scan(mined(t, old, 6))
		h.want(p, models.PaymentConfirmed, "700")

		anew := node(t)
		mined(t, anew, 2)
		h.chain.RPCURLs = []config.URL{config.URL(anew.URL())}
		h.chain.Test = false
		if err := h.admin().ResetChain(t.Context(), "devnet", 1, "it began anew", false); !errors.Is(err,
			admin.ErrLiveChain) {
			t.Fatalf("a chain of real money was reset: %v", err)
		}
		h.chain.Test = true
		if err := h.admin().ResetChain(t.Context(), "devnet", 1, " ", true); err == nil {
			t.Fatal("no reason is needed")
		}
		if err := h.admin().ResetChain(t.Context(), "devnet", 1, "it began anew", false); err != nil {
			t.Fatal(err)
		}
		h.want(p, models.PaymentPending, "0")
		events, err := s.AnnouncedFor(t.Context(), []string{p.ID})
		if n := len(events[p.ID]); err != nil || n != 4 || events[p.ID][n-1].Type != "payment.reorged" ||
			len(events[p.ID][n-1].Retracts) != 2 {
			t.Fatalf("%+v, %v", events, err)
		}
		h.scan(mined(t, anew, 3))
		if _, err := anew.SendNative(t.Context(), anew.DemoPayer(), p.Address, big.NewInt(700)); err != nil {
			t.Fatal(err)
		}
		h.scan(mined(t, anew, 1))
		h.scan(mined(t, anew, 3))
		h.want(p, models.PaymentConfirmed, "700")
		status, err := h.admin().ChainStatus(t.Context(), "devnet")
		if !strings.Contains(status.Proofs, "transactions and receipts hash to the hashes of the blocks") {
			t.Errorf("proofs: %s", status.Proofs)
		}
		if err != nil || len(status.Providers) != 1 || status.Providers[0].Head != status.Number || status.AgeSeconds == nil {
			t.Errorf("%+v, %v", status, err)
		}
	})
}

var _ scanner.Source = (*evm.Pool)(nil)
