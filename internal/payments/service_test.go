package payments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const usdc = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"

var ethereum = config.Chain{
	Name: "ethereum", ChainID: 1, Finality: config.Finality{Depth: 12}, BlockTime: 12 * time.Second,
	Native: config.Native{Symbol: "ETH", Decimals: 18},
	Tokens: []config.Token{{Symbol: "USDC", Contract: usdc, Decimals: 6}},
}

var sepolia = config.Chain{
	Name: "sepolia", ChainID: 11155111, Test: true, Finality: config.Finality{Depth: 12}, BlockTime: 12 * time.Second,
	Native: config.Native{Symbol: "ETH", Decimals: 18},
}

// harness is a service on a store, with one merchant, one endpoint that wants everything, and a chain that moves.
type harness struct {
	*Service
	store    *store.Store
	clock    *testkit.Clock
	merchant models.Merchant
}

func newHarness(t *testing.T, s *store.Store, change func(*Options)) *harness {
	t.Helper()
	h := &harness{store: s, clock: testkit.NewClock(noon)}
	o := Options{
		Store: s, Chains: []config.Chain{ethereum, sepolia}, PublicURL: "https://pay.example", Window: time.Hour,
		MaxAttempts: 15, MaxOpen: 1000, Now: h.clock.Now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if h.Service, err = New(o); err != nil {
		t.Fatal(err)
	}
	h.merchant = models.Merchant{ID: models.NewID(models.PrefixMerchant, noon), Name: "Shop", CreatedAt: noon,
		UpdatedAt: noon}
	xpub := testXPub(t)
	account, err := wallet.Parse(xpub)
	if err != nil {
		t.Fatal(err)
	}
	err = s.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertMerchant(t.Context(), h.merchant),
			tx.SetAccountKey(t.Context(), models.AccountKey{ID: account.KeyID(), MerchantID: h.merchant.ID, XPub: xpub,
				CreatedAt: noon}),
			insertEndpoint(t.Context(), tx, h.merchant.ID),
			tx.SaveCursor(t.Context(), cursor(1, 100)), tx.SaveCursor(t.Context(), cursor(11155111, 100)),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.merchant, err = s.Merchant(t.Context(), h.merchant.ID); err != nil {
		t.Fatal(err)
	}
	return h
}

// insertEndpoint writes an endpoint that wants everything.
func insertEndpoint(ctx context.Context, tx *store.Tx, merchantID string) error {
	return tx.InsertEndpoint(ctx, models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, noon), MerchantID: merchantID, URL: "https://shop.example/hooks",
		Events: []string{"*"}, Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1,
		CreatedAt: noon, UpdatedAt: noon,
	})
}

func cursor(chainID, number uint64) models.ChainCursor {
	return models.ChainCursor{ChainID: chainID, Chain: "c", Number: number, Hash: hash(number), BlockTime: noon,
		HeadNumber: number, UpdatedAt: noon}
}

func hash(n uint64) string { return fmt.Sprintf("0x%064x", n) }

func testXPub(t *testing.T) string {
	t.Helper()
	key, err := hdkeychain.NewMaster([]byte(strings.Repeat("seed", 8)), &chaincfg.MainNetParams)
	for _, i := range []uint32{44, 60, 0} {
		if err == nil {
			key, err = key.Derive(hdkeychain.HardenedKeyStart + i)
		}
	}
	if err == nil {
		key, err = key.Neuter()
	}
	if err != nil {
		t.Fatal(err)
	}
	return key.String()
}

func (h *harness) ask(change func(*Request)) (models.Payment, error) {
	r := Request{MerchantID: h.merchant.ID, Chain: "ethereum", Asset: "USDC", AmountDecimal: "1.5"}
	if change != nil {
		change(&r)
	}
	return h.create(r, nil)
}

// create makes a payment as the API does.
func (h *harness) create(r Request, record *models.IdempotencyRecord) (models.Payment, error) {
	draft, err := h.Prepare(context.Background(), r)
	if err != nil {
		return models.Payment{}, err
	}
	return h.Commit(context.Background(), draft, record)
}

func (h *harness) cancel(merchantID, id string) error {
	return h.store.InTx(context.Background(), func(tx *store.Tx) error {
		_, err := h.Cancel(context.Background(), tx, models.System, merchantID, id)
		return err
	})
}

// block records one block of Ethereum with the given transfers.
func (h *harness) block(t *testing.T, number, final uint64, at time.Time, transfers ...chain.Transfer) []StatusChange {
	t.Helper()
	return h.observe(t, Step{ChainID: 1, Blocks: []Block{blockOf(number, number, at, transfers...)}, Head: number,
		Final: final})
}

func (h *harness) observe(t *testing.T, step Step) []StatusChange {
	t.Helper()
	var changes []StatusChange
	err := h.store.InTx(t.Context(), func(tx *store.Tx) (err error) {
		changes, err = h.Observe(t.Context(), tx, step)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// blockOf is a block with a hash of its own.
func blockOf(number, hashOf uint64, at time.Time, transfers ...chain.Transfer) Block {
	return Block{Header: chain.Header{Number: number, Hash: chainHash(hashOf), Time: at}, Transfers: transfers}
}

// pay is a transfer of a payment's own asset to its address, in transaction n.
func pay(p models.Payment, amount int64, n uint64) chain.Transfer {
	to, err := chain.ParseAddress(p.Address)
	if err != nil {
		panic(err)
	}
	return chain.Transfer{
		TxHash: chainHash(n), Asset: p.Asset, From: chain.Address{19: 0xaa}, To: to, Value: big.NewInt(amount),
		LogIndex: int(n),
	}
}

func chainHash(n uint64) (h chain.Hash) {
	binary.BigEndian.PutUint64(h[24:], n)
	return h
}

func (h *harness) types(t *testing.T, paymentID string) []string {
	t.Helper()
	all, err := h.store.AnnouncedFor(t.Context(), []string{paymentID})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for i, a := range all[paymentID] {
		if a.Sequence != i+1 {
			t.Fatalf("sequence %d stands at place %d", a.Sequence, i+1)
		}
		types = append(types, strings.TrimPrefix(a.Type, "payment."))
	}
	return types
}

func TestLifeOfAPayment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		var due []models.Delivery
		s.OnCommit(func(ds []models.Delivery) { due = append(due, ds...) })
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Amount.String() != "1500000" || p.DerivationPath != "m/44'/60'/0'/0/0" || p.RequiredConfirmations != 12 {
			t.Fatalf("payment %+v", p)
		}
		h.block(t, 101, 90, noon.Add(time.Minute), pay(p, 500_000, 1))
		h.block(t, 102, 91, noon.Add(2*time.Minute), pay(p, 1_000_000, 2))
		h.block(t, 113, 102, noon.Add(3*time.Minute))
		got, err := s.Payment(t.Context(), h.merchant.ID, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != models.PaymentConfirmed || got.AmountConfirmed.String() != "1500000" || got.Sequence != 4 ||
			got.Confirmations != 12 {
			t.Fatalf("after the last block: %+v", got)
		}
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "partially_paid", "detected", "confirmed"}) {
			t.Fatalf("events %v", types)
		}
		if len(due) != 4 || due[3].EventType != string(webhook.PaymentConfirmed) || due[3].State != models.DeliveryPending {
			t.Fatalf("%d deliveries were handed over after their commits", len(due))
		}
		e, err := s.Event(t.Context(), h.merchant.ID, due[3].EventID)
		if err != nil {
			t.Fatal(err)
		}
		body, err := webhook.Decode(e.Body)
		if err != nil || body.Data.Payment.Sequence != 4 || body.Data.Payment.Status != "confirmed" ||
			len(body.Data.Payment.Transfers) != 2 {
			t.Fatalf("body %s, %v", e.Body, err)
		}
	})
}

func TestReorgIsRecordedAsOneStep(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		h.block(t, 101, 90, noon, pay(p, 1_500_000, 1))
		from := uint64(101)
		h.observe(t, Step{ChainID: 1, OrphanFrom: &from, Head: 102, Final: 90, Blocks: []Block{
			blockOf(101, 9101, noon), blockOf(102, 9102, noon, pay(p, 1_500_000, 1)),
		}})
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "detected"}) {
			t.Fatalf("the same transfer on the new branch made events: %v", types)
		}
		from = 102
		h.observe(t, Step{ChainID: 1, OrphanFrom: &from, Head: 103, Final: 90, Blocks: []Block{blockOf(102, 8102, noon)}})
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "detected", "reorged"}) {
			t.Fatalf("after the transfer was lost: %v", types)
		}
		all, err := s.TransfersOf(t.Context(), []string{p.ID})
		if err != nil || len(all[p.ID]) != 1 || all[p.ID][0].Status != models.TransferOrphaned ||
			all[p.ID][0].BlockHash != hash(9102) {
			t.Fatalf("transfers %+v, %v", all, err)
		}
	})
}

func TestExpiryAndWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		p, err := h.ask(func(r *Request) { r.ExpiresIn = time.Minute })
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Set(noon.Add(24 * time.Hour)) // the clock on the wall expires nothing
		h.block(t, 101, 90, noon.Add(time.Minute))
		if types := h.types(t, p.ID); len(types) != 1 {
			t.Fatalf("expired by the wall clock: %v", types)
		}
		h.block(t, 102, 90, noon.Add(time.Minute+time.Second))
		h.block(t, 103, 103, noon.Add(30*time.Minute), pay(p, 1, 1))
		h.block(t, 104, 104, noon.Add(3*time.Hour), pay(p, 1, 2)) // after the window
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "expired", "late"}) {
			t.Fatalf("events %v", types)
		}
	})
}

// TestAnOrderThatWasGivenUpIsNotTakenBack: payment A of an order expires and B takes the order; what A is paid after
// all moves it, and is announced, beside B.
func TestAnOrderThatWasGivenUpIsNotTakenBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		order := "A-17"
		ask := func() models.Payment {
			p, err := h.ask(func(r *Request) { r.ExpiresIn, r.OrderID = time.Minute, &order })
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		a := ask()
		h.block(t, 101, 90, noon.Add(2*time.Minute))
		h.clock.Set(noon.Add(2 * time.Minute))
		b := ask()
		amount := int64(a.Amount.Big().Uint64())
		// Found late, in a block that was in time.
		h.observe(t, Step{ChainID: 1, Head: 101, Final: 101,
			Late: []Block{blockOf(100, 100, noon.Add(time.Second), pay(a, amount, 1))}})
		if types := h.types(t, a.ID); !slices.Equal(types, []string{"created", "expired", "detected", "confirmed"}) {
			t.Errorf("the payment that gave the order up: %v", types)
		}
		h.block(t, 102, 102, noon.Add(2*time.Minute+time.Second), pay(b, amount, 2))
		if types := h.types(t, b.ID); !slices.Equal(types, []string{"created", "detected", "confirmed"}) {
			t.Errorf("the payment that has it: %v", types)
		}
		if got, err := s.PaymentByOrder(t.Context(), h.merchant.ID, order, b.Test); err != nil || got.ID != b.ID {
			t.Errorf("the order belongs to %s, %v", got.ID, err)
		}
	})
}

// TestTheWindowOfACanceledPaymentRunsInBlockTime, also on a chain whose clock is ahead.
func TestTheWindowOfACanceledPaymentRunsInBlockTime(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), nil)
	p, err := h.ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	ahead := cursor(1, 100)
	ahead.BlockTime = noon.Add(5 * time.Hour)
	if err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.SaveCursor(t.Context(), ahead)
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.cancel(h.merchant.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	h.block(t, 101, 101, noon.Add(5*time.Hour+time.Minute), pay(p, 1, 1))
	if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "canceled", "late"}) {
		t.Errorf("events %v", types)
	}
}

func TestWrongAssetAndWrongChainAreReported(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		wrong := pay(p, 5, 1)
		wrong.Asset, wrong.LogIndex = models.AssetNative, -1
		h.block(t, 101, 101, noon, wrong)
		h.observe(t, Step{ChainID: 11155111, Head: 200, Final: 200,
			Blocks: []Block{blockOf(200, 200, noon.Add(99*time.Hour), wrong)}})
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "misdirected", "misdirected"}) {
			t.Fatalf("events %v", types)
		}
		got, err := s.Payment(t.Context(), h.merchant.ID, p.ID)
		if err != nil || got.Status != models.PaymentPending || got.AmountReceived.Sign() != 0 {
			t.Fatalf("another chain's block moved the payment: %+v, %v", got, err)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), func(o *Options) { o.MaxOpen = 1 })
	long := strings.Repeat("x", 500)
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"unknown chain":   {func(r *Request) { r.Chain = "dogecoin" }, `chain is not a chain of this gateway: "dogecoin"`},
		"test key":        {func(r *Request) { r.Test = true }, `chain is not a test chain, and this is a test key: "ethereum"`},
		"unknown token":   {func(r *Request) { r.Asset = "SHIB" }, `asset is not listed on chain ethereum: "SHIB"`},
		"bad checksum":    {func(r *Request) { r.Asset = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB4F" }, `asset is not a contract address`},
		"too many places": {func(r *Request) { r.AmountDecimal = "0.0000001" }, "amount_decimal has more decimal places than USDC has (6)"},
		"zero":            {func(r *Request) { r.AmountDecimal = "0" }, "amount_decimal must be more than zero"},
		"2^256":           {func(r *Request) { r.AmountDecimal, r.Amount = "", "1"+strings.Repeat("0", 78) }, "amount is larger than 2^256-1"},
		"both amounts":    {func(r *Request) { r.Amount = "1" }, "amount_decimal cannot be given together with amount"},
		"metadata too large": {func(r *Request) {
			r.Metadata = map[string]string{"a": long, "b": long, "c": long, "d": long, "e": long, "f": long, "g": long,
				"h": long, "i": long}
		}, "metadata is 4509 bytes in all"},
		"redirect": {func(r *Request) { r.RedirectURL = "javascript:alert(1)" }, "redirect_url is not an absolute http or https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.ask(c.change)
			var faults models.FieldErrors
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	order := "A-17"
	first, err := h.ask(func(r *Request) { r.OrderID = &order })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.ask(nil); !errors.Is(err, ErrTooManyOpen) {
		t.Fatalf("a second open payment: %v", err)
	}
	h.maxOpen = 10
	var taken *OrderTakenError
	if _, err := h.ask(func(r *Request) { r.OrderID = &order }); !errors.As(err, &taken) || taken.PaymentID != first.ID {
		t.Fatalf("the same order: %v", err)
	}
	h.clock.Set(noon.Add(time.Hour))
	if _, err := h.ask(nil); !errors.Is(err, ErrChainUnavailable) {
		t.Fatalf("the chain has stood still for an hour: %v", err)
	}
}

func TestCancel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, nil)
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.cancel("mer_other", p.ID); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("another merchant's payment: %v", err)
		}
		if err := h.cancel(h.merchant.ID, p.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.cancel(h.merchant.ID, p.ID); !errors.Is(err, ErrNotCancelable) {
			t.Fatalf("canceled twice: %v", err)
		}
		h.block(t, 101, 101, noon.Add(time.Minute), pay(p, 1_500_000, 1))
		if types := h.types(t, p.ID); !slices.Equal(types, []string{"created", "canceled", "late"}) {
			t.Fatalf("events %v", types)
		}
	})
}

func TestAUsedAddressIsSkipped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, func(o *Options) {
			o.Used = func(_ context.Context, _ uint64, addresses []string) (map[string]bool, error) {
				answers := map[string]bool{}
				for i, a := range addresses {
					answers[a] = i < 2
				}
				return answers, nil
			}
		})
		p, err := h.ask(nil)
		if err != nil || p.AddressIndex != 2 {
			t.Fatalf("index %d, %v", p.AddressIndex, err)
		}
		book, err := s.Addresses(t.Context(), h.merchant.ID, 10, 0)
		if err != nil || len(book) != 3 || book[0].SkippedReason == "" || book[2].PaymentID == nil {
			t.Fatalf("book %+v, %v", book, err)
		}
	})
}

func TestWatchSetFindsWhatCommittedLate(t *testing.T) {
	s := storetest.Postgres(t)
	h := newHarness(t, s, nil)
	_, mark, err := s.WatchSet(t.Context(), store.WatchMark{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	// A slow transaction takes its id first and commits last.
	slow, err := h.check(Request{MerchantID: h.merchant.ID, Chain: "ethereum", Asset: "native", Amount: "1"})
	if err != nil {
		t.Fatal(err)
	}
	at, err := h.allocator.take(t.Context(), *h.merchant.AccountKeyID, h.merchant.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	slow.AccountKeyID, slow.AddressIndex, slow.Address, slow.DerivationPath = *h.merchant.AccountKeyID, at.index,
		at.address, at.path
	started, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.InTx(context.Background(), func(tx *store.Tx) error {
			err := tx.InsertPayments(context.Background(), []models.Payment{slow})
			close(started)
			<-finish
			return err
		})
	}()
	<-started
	quick, err := h.ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	look := func() {
		var rows []store.Watched
		if rows, mark, err = s.WatchSet(t.Context(), mark, noon); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seen[r.Address] = true
		}
	}
	look()
	if !seen[quick.Address] {
		t.Fatal("a committed payment is not watched")
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	look()
	if !seen[slow.Address] {
		t.Fatal("the payment that committed late is not watched")
	}
}

// TestWatchSetCostsTheSameAfterARestore: payments of a restored dump have transactions of another cluster, far ahead of
// this one's; they are read once, and each new payment is still found, however long its transaction takes.
func TestWatchSetCostsTheSameAfterARestore(t *testing.T) {
	s, db := storetest.Owned(t)
	h := newHarness(t, s, nil)
	restored := map[string]bool{}
	for range 5 {
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		restored[p.Address] = true
	}
	if _, err := db.Exec("UPDATE payments SET xact = (xact::text::bigint + 1000000000)::text::xid8"); err != nil {
		t.Fatal(err)
	}
	foreign, err := db.BeginTx(t.Context(), nil) // a long transaction makes nothing be read again either
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Rollback()
	if _, err := foreign.Exec("CREATE TABLE of_somebody_else (n INT)"); err != nil {
		t.Fatal(err)
	}
	rows, mark, err := s.WatchSet(t.Context(), store.WatchMark{}, noon)
	if err != nil || len(rows) != len(restored) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for range 3 {
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		if rows, mark, err = s.WatchSet(t.Context(), mark, noon); err != nil || len(rows) != 1 ||
			rows[0].Address != p.Address {
			t.Fatalf("%v, %v; want %s alone", rows, err, p.Address)
		}
		if rows, mark, err = s.WatchSet(t.Context(), mark, noon); err != nil || len(rows) != 0 {
			t.Fatalf("read again: %v, %v", rows, err)
		}
	}
}

// TestQuarantine: a payment whose event cannot be made is set aside and counted, the block goes on, and Retry takes the
// payment up again once the cause is gone.
func TestQuarantine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		metrics := telemetry.NewMetrics()
		h := newHarness(t, s, func(o *Options) { o.Metrics = metrics })
		counted := func(want string) {
			t.Helper()
			w := httptest.NewRecorder()
			metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if !strings.Contains(w.Body.String(), "\nctrip_payments_quarantined_total "+want+"\n") {
				t.Errorf("not %s payments are counted", want)
			}
		}
		broken, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		h.setSequence(t, broken.ID, -9) // which the schema of every event forbids
		counted("0")
		changes := h.block(t, 101, 90, noon, pay(broken, 1_500_000, 1), pay(whole, 1_500_000, 2))
		if len(changes) != 1 || changes[0].Payment.ID != whole.ID {
			t.Fatalf("changes %+v", changes)
		}
		counted("1")
		got, err := s.Payment(t.Context(), h.merchant.ID, broken.ID)
		if err != nil || got.QuarantinedAt == nil || got.QuarantineReason == "" || got.Status != models.PaymentPending {
			t.Fatalf("%+v, %v", got, err)
		}
		h.setSequence(t, broken.ID, 1)
		if changes, err := h.Retry(t.Context(), noon.Add(time.Second)); err != nil || len(changes) != 1 ||
			changes[0].Payment.Status != models.PaymentDetected {
			t.Fatalf("after the repair: %+v, %v", changes, err)
		}
		if got, err := s.Payment(t.Context(), h.merchant.ID, broken.ID); err != nil || got.QuarantinedAt != nil {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func (h *harness) setSequence(t *testing.T, id string, n int) {
	t.Helper()
	err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
		ps, err := tx.LockPayments(t.Context(), []string{id})
		if err != nil {
			return err
		}
		ps[0].Sequence = n
		return tx.SavePayment(t.Context(), ps[0])
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPaymentURI: a payment carries the link for what is still missing, and none when there is nothing to pay.
func TestPaymentURI(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s, func(*Options) {})
		p, err := h.ask(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			status   models.PaymentStatus
			received string
			want     string // of the amount; "" is no link
		}{
			{models.PaymentPending, "0", p.Amount.String()}, {models.PaymentPending, "1", "1499999"},
			{models.PaymentPending, p.Amount.String(), ""}, {models.PaymentExpired, "0", ""}, {models.PaymentConfirmed, "0", ""},
		} {
			q := p
			q.Status = c.status
			q.AmountReceived, err = models.ParseAmount(c.received)
			if err != nil {
				t.Fatal(err)
			}
			v := h.View(q, State{})
			if (v.PaymentURI == nil) != (c.want == "") || v.PaymentURI != nil && !strings.HasSuffix(*v.PaymentURI, "="+c.want) {
				t.Errorf("%s with %s: %v", c.status, c.received, v.PaymentURI)
			}
			if v.AmountReceivedDecimal != q.AmountReceived.Decimal(q.AssetDecimals) || v.Test != q.Test ||
				v.UpdatedAt.IsZero() {
				t.Errorf("%+v", v)
			}
		}
	})
}
