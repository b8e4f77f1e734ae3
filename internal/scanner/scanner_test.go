package scanner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// harness is a scanner on a store, stepped by hand.
type harness struct {
	*Scanner
	store    *store.Store
	fence    int64
	merchant string
}

func newHarness(t testing.TB, s *store.Store, c config.Chain, source Source, now func() time.Time) *harness {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	service, err := payments.New(payments.Options{
		Store: s, Chains: []config.Chain{c}, PublicURL: "https://pay.example", Window: time.Hour,
		MaxAttempts: 15, MaxOpen: 1000, Now: now, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := New(Options{
		Chain: c, Source: source, Store: s, Payments: service, Holder: "test", Now: now, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Scanner: sc, store: s, merchant: models.NewID(models.PrefixMerchant, now())}
	xpub, err := devnet.NewXPub()
	if err != nil {
		t.Fatal(err)
	}
	account, err := wallet.Parse(xpub)
	if err != nil {
		t.Fatal(err)
	}
	at := now().UTC()
	err = s.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertMerchant(t.Context(), models.Merchant{ID: h.merchant, Name: "Shop", CreatedAt: at, UpdatedAt: at}),
			tx.SetAccountKey(t.Context(), models.AccountKey{
				ID: account.KeyID(), MerchantID: h.merchant, XPub: xpub, CreatedAt: at,
			}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.fence, err = sc.lead(t.Context()); err != nil || h.fence == 0 {
		t.Fatalf("fence %d, %v", h.fence, err)
	}
	h.recall(t.Context())
	return h
}

// catchUp steps until there is nothing new.
func (h *harness) catchUp(t testing.TB) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = h.step(t.Context(), h.fence); err != nil {
			t.Fatal(err)
		}
		more = more || h.searched()
	}
}

// searched waits for the search that is under way and reports whether it found anything.
func (h *harness) searched() bool {
	if h.search == nil {
		return false
	}
	<-h.search.done
	return h.search.worth()
}

func (h *harness) ask(t testing.TB, asset, amount string) models.Payment {
	t.Helper()
	request := payments.Request{MerchantID: h.merchant, Chain: h.chain.Name, Asset: asset, Amount: amount}
	draft, err := h.payments.Prepare(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.payments.Commit(t.Context(), draft, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (h *harness) events(t testing.TB, id string) []string {
	t.Helper()
	all, err := h.store.AnnouncedFor(context.Background(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, a := range all[id] {
		types = append(types, strings.TrimPrefix(a.Type, "payment."))
	}
	return types
}

func startDevnet(t *testing.T) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func devnetConfig(c *devnet.Chain) config.Chain {
	return config.Chain{
		Name: "devnet", ChainID: devnet.ChainID, Finality: config.Finality{Depth: 3},
		PollInterval: 10 * time.Millisecond, BlockTime: time.Second,
		Native: config.Native{Symbol: "ETH", Decimals: 18},
		Tokens: []config.Token{{
			Symbol: devnet.TokenSymbol, Contract: strings.ToLower(c.Token()), Decimals: devnet.TokenDecimals,
		}},
	}
}

func devnetHarness(t *testing.T, s *store.Store, c *devnet.Chain) *harness {
	t.Helper()
	pool, err := evm.New(evm.Options{
		Name: "devnet", ChainID: devnet.ChainID, URLs: []string{c.URL()}, Depth: 3,
		Tokens: []string{strings.ToLower(c.Token())}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	h := newHarness(t, s, devnetConfig(c), pool, time.Now)
	h.catchUp(t)
	return h
}

func mine(t *testing.T, c *devnet.Chain, n int) {
	t.Helper()
	for range n {
		if _, err := c.Mine(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScanDevnet(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := startDevnet(t)
		h := devnetHarness(t, s, c)
		coin, token := h.ask(t, "native", "700"), h.ask(t, devnet.TokenSymbol, "900")
		failed := h.ask(t, devnet.TokenSymbol, "1")
		if _, err := c.SendNative(t.Context(), c.DemoPayer(), coin.Address, big.NewInt(700)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), token.Address, big.NewInt(900)); err != nil {
			t.Fatal(err)
		}
		tooMuch := new(big.Int).Lsh(big.NewInt(1), 200)
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), failed.Address, tooMuch); err != nil { // mined, and reverted
			t.Fatal(err)
		}
		mine(t, c, 1)
		h.catchUp(t)
		mine(t, c, 3)
		h.catchUp(t)
		for _, p := range []models.Payment{coin, token} {
			if got := h.events(t, p.ID); !slices.Equal(got, []string{"created", "detected", "confirmed"}) {
				t.Errorf("%s: %v", p.AssetSymbol, got)
			}
		}
		if got := h.events(t, failed.ID); len(got) != 1 {
			t.Errorf("a reverted transfer made %v", got)
		}
	})
}

func TestScanReorg(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := startDevnet(t)
		h := devnetHarness(t, s, c)
		dropped, remined := h.ask(t, "native", "1"), h.ask(t, "native", "2")
		tx, err := c.SendNative(t.Context(), c.DemoPayer(), dropped.Address, big.NewInt(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendNative(t.Context(), c.Payer(), remined.Address, big.NewInt(2)); err != nil {
			t.Fatal(err)
		}
		mine(t, c, 1)
		h.catchUp(t)
		if _, err := c.ReorgOut(tx); err != nil {
			t.Fatal(err)
		}
		h.catchUp(t)
		if got := h.events(t, dropped.ID); !slices.Equal(got, []string{"created", "detected", "reorged"}) {
			t.Errorf("the payment that lost its money: %v", got)
		}
		mine(t, c, 4)
		h.catchUp(t)
		if got := h.events(t, remined.ID); !slices.Equal(got, []string{"created", "detected", "confirmed"}) {
			t.Errorf("the payment that was mined again: %v", got)
		}
	})
}

// memoryChain can fork at will; a block holds at most one transfer.
type memoryChain struct {
	alone
	blocks []chain.Block // canonical, by number
	serial uint64
	depth  uint64
}

var genesis = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func memoryConfig(id, depth uint64) config.Chain {
	return config.Chain{
		Name: fmt.Sprintf("memory%d", id), ChainID: id, Finality: config.Finality{Depth: depth}, BlockTime: time.Hour,
		Native: config.Native{Symbol: "TOY", Decimals: 18},
	}
}

func newMemoryChain(depth uint64) *memoryChain {
	t := &memoryChain{depth: depth}
	t.extend(nil)
	return t
}

func (c *memoryChain) extend(tx *chain.Tx) {
	c.serial++
	b := chain.Block{Header: chain.Header{
		Number: uint64(len(c.blocks)), Hash: chain.Hash{31: byte(c.serial), 30: byte(c.serial >> 8)},
		Time: genesis.Add(time.Duration(c.serial) * time.Second),
	}}
	if n := len(c.blocks); n > 0 {
		b.Parent = c.blocks[n-1].Hash
	}
	if tx != nil {
		b.Txs = []chain.Tx{*tx}
	}
	c.blocks = append(c.blocks, b)
}

func (c *memoryChain) Head(context.Context) (chain.Header, error) {
	return c.blocks[len(c.blocks)-1].Header, nil
}
func (c *memoryChain) Final(_ context.Context, head uint64) (uint64, error) {
	return chain.FinalByDepth(head, c.depth), nil
}
func (c *memoryChain) Header(ctx context.Context, n uint64) (chain.Header, error) {
	b, err := c.Block(ctx, n)
	return b.Header, err
}
func (c *memoryChain) Block(_ context.Context, n uint64) (chain.Block, error) {
	if n >= uint64(len(c.blocks)) {
		return chain.Block{}, fmt.Errorf("no block %d", n)
	}
	return c.blocks[n], nil
}
func (c *memoryChain) Happened(context.Context, chain.Hash, chain.Transfer) (bool, error) {
	return true, nil
}
func (c *memoryChain) Agree(context.Context, chain.Ref) error { return nil }
func (c *memoryChain) Blocks(ctx context.Context, from, to uint64) (bs []chain.Block, err error) {
	for n := from; n <= to; n++ {
		b, err := c.Block(ctx, n)
		if err != nil {
			return nil, err
		}
		bs = append(bs, b)
	}
	return bs, nil
}

// TestScannerFollowsAnyChain draws chains that grow and fork above their final point and holds the record against the
// chain: the same blocks, and a payment that has exactly what the canonical blocks paid.
func TestScannerFollowsAnyChain(t *testing.T) {
	const depth = 5
	s := storetest.SQLite(t)
	serial := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		c := newMemoryChain(depth)
		serial++
		id := 1000 + serial
		now := func() time.Time { return genesis }
		h := newHarness(t, s, memoryConfig(id, depth), c, now)
		h.catchUp(t)
		p := h.ask(t, "native", "1000000")
		to, err := chain.ParseAddress(p.Address)
		if err != nil {
			rt.Fatal(err)
		}
		txs := byte(0)
		for range rapid.IntRange(1, 12).Draw(rt, "rounds") {
			cursor, err := s.Cursor(t.Context(), id)
			if err != nil {
				rt.Fatal(err)
			}
			mayGo := len(c.blocks) - 1 - int(cursor.FinalNumber) // what is recorded as final stays
			c.blocks = c.blocks[:len(c.blocks)-rapid.IntRange(0, mayGo).Draw(rt, "fork")]
			for range rapid.IntRange(1, 4).Draw(rt, "blocks") {
				var tx *chain.Tx
				if rapid.Bool().Draw(rt, "pays") {
					txs++
					tx = &chain.Tx{Hash: chain.Hash{1, txs}, To: &to, Value: big.NewInt(int64(txs))}
				}
				c.extend(tx)
			}
			if rapid.Bool().Draw(rt, "scan") {
				h.catchUp(t)
			}
		}
		h.catchUp(t)
		recorded, err := s.Blocks(t.Context(), id, 1000)
		if err != nil || len(recorded) != len(c.blocks) {
			rt.Fatalf("%d blocks recorded of %d, %v", len(recorded), len(c.blocks), err)
		}
		want := int64(0)
		for i, b := range c.blocks {
			if recorded[i].Hash != b.Hash.Hex() {
				rt.Fatalf("block %d is recorded as %s", i, recorded[i].Hash)
			}
			for _, tx := range b.Txs {
				want += tx.Value.Int64()
			}
		}
		got, err := s.Payment(t.Context(), h.merchant, p.ID)
		if err != nil || got.AmountReceived.Big().Int64() != want {
			rt.Fatalf("received %s, the chain paid %d (%v)", got.AmountReceived, want, err)
		}
	})
}

func TestAReorgBelowTheFinalPointHalts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newMemoryChain(2)
		h := newHarness(t, s, memoryConfig(99, 2), c, func() time.Time { return genesis })
		for range 10 {
			c.extend(nil)
		}
		h.catchUp(t)
		for range 5 {
			c.extend(nil)
		}
		h.catchUp(t)
		h.ask(t, "native", "5")
		c.blocks = c.blocks[:len(c.blocks)-4]
		for range 6 {
			c.extend(nil)
		}
		if _, err := h.step(t.Context(), h.fence); !errors.Is(err, ErrHalted) {
			t.Fatalf("got %v", err)
		}
		request := payments.Request{MerchantID: h.merchant, Chain: h.chain.Name, Asset: "native", Amount: "1"}
		if _, err := h.payments.Prepare(t.Context(), request); !errors.Is(err, payments.ErrChainUnavailable) {
			t.Fatalf("a halted chain takes payments: %v", err)
		}
		if err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.AcceptReorg(t.Context(), 99) }); err != nil {
			t.Fatal(err)
		}
		h.catchUp(t)
		cursor, err := s.Cursor(t.Context(), 99)
		if err != nil || cursor.Hash != c.blocks[len(c.blocks)-1].Hash.Hex() {
			t.Fatalf("after the operator accepted: %+v, %v", cursor, err)
		}
	})
}

func TestAFencedScannerWritesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newMemoryChain(2)
		h := newHarness(t, s, memoryConfig(98, 2), c, func() time.Time { return genesis })
		h.catchUp(t)
		if _, err := s.TakeLease(t.Context(), 98, "other", genesis.Add(time.Hour), time.Minute); err != nil {
			t.Fatal(err)
		}
		c.extend(nil)
		if _, err := h.step(t.Context(), h.fence); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("got %v", err)
		}
	})
}
