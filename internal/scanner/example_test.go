package scanner_test

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/sqlite"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// exampleXPub is the account key of a published test seed.
const exampleXPub = "xpub6BosfCnifzxcFwrSzQiqu2DBVTshkCXacvNsWGYJVVhhawA7d4R5WSWGFNbi8Aw6ZRc1brxMyWMzG3DSSSSoekkudhUd9yLb6qx39T9nMdj"

const exampleMerchant = "mer_06h0ghqy01a6npg3wdaekj481c"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// exampleChain is a chain of a few blocks. done is called when the scanner asks for the head and has recorded them all.
type exampleChain struct {
	scanner.Alone
	blocks   []chain.Block
	recorded func() uint64
	done     func()
}

func (c *exampleChain) mine(txs ...chain.Tx) {
	n := uint64(len(c.blocks))
	b := chain.Block{Header: chain.Header{Number: n, Hash: chain.Hash{31: byte(n + 1)}, Time: noon}, Txs: txs}
	if n > 0 {
		b.Parent = c.blocks[n-1].Hash
	}
	c.blocks = append(c.blocks, b)
}

func (c *exampleChain) Head(context.Context) (chain.Header, error) {
	head := c.blocks[len(c.blocks)-1].Header
	if c.recorded() == head.Number { // and what is deep enough is final
		c.done()
	}
	return head, nil
}

func (c *exampleChain) Header(_ context.Context, n uint64) (chain.Header, error) {
	return c.blocks[n].Header, nil
}
func (c *exampleChain) Block(_ context.Context, n uint64) (chain.Block, error) {
	return c.blocks[n], nil
}
func (c *exampleChain) Blocks(_ context.Context, from, to uint64) ([]chain.Block, error) {
	return c.blocks[from : to+1], nil
}
func (c *exampleChain) Agree(context.Context, chain.Ref) error { return nil }

func (c *exampleChain) Final(_ context.Context, upTo uint64) (uint64, error) {
	return chain.FinalByDepth(upTo, 2), nil
}

func (c *exampleChain) Happened(context.Context, chain.Hash, chain.Transfer) (bool, error) {
	return true, nil
}

// A scanner follows a chain of three blocks into the record. Blocks that it finds together it records together:
// the payment in block 1 is detected there, and block 2 makes block 1 final.
func ExampleScanner_Run() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "scanner")
	check(err)
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(ctx, filepath.Join(dir, "ctrip.db"), nil)
	check(err)
	defer db.Close()
	_, err = db.Migrate(ctx)
	check(err)

	start := uint64(1)
	settings := config.Chain{
		Name: "example", ChainID: 7, Finality: config.Finality{Depth: 2}, BlockTime: time.Minute,
		PollInterval: time.Millisecond, StartBlock: &start, Native: config.Native{Symbol: "EX", Decimals: 18},
	}
	payer := newPayments(ctx, db, settings)
	source := &exampleChain{recorded: func() uint64 { return 0 }, done: func() {}}
	source.mine()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: onlyWhatHappens}))
	follow := func() {
		following, stop := context.WithCancel(ctx)
		s, err := scanner.New(scanner.Options{
			Chain: settings, Source: source, Store: db, Payments: payer, Holder: "example",
			Now: func() time.Time { return noon }, Logger: logger,
		})
		check(err)
		source.recorded, source.done = func() uint64 {
			cursor, err := db.Cursor(ctx, settings.ChainID)
			if errors.Is(err, models.ErrNotFound) {
				return 1 << 20
			}
			check(err)
			if cursor.FinalNumber != chain.FinalByDepth(cursor.Number, settings.Finality.Depth) {
				return 1 << 20
			}
			return cursor.Number
		}, stop
		check(s.Run(following))
	}
	follow()

	p := newPayment(ctx, payer)
	to, err := chain.ParseAddress(p.Address)
	check(err)
	source.mine(chain.Tx{Hash: chain.Hash{31: 0x71}, To: &to, Value: big.NewInt(5)})
	source.mine()
	follow()
	// Output:
	// msg=scanner.leading fence=1
	// msg=scanner.begins block=0
	// msg=scanner.leading fence=2
	// msg=block.scanned block=1 transfers=1
	// msg=block.scanned block=2 transfers=0
	// msg=payment.moved from=pending to=detected event=payment.detected
	// msg=payment.moved from=detected to=confirmed event=payment.confirmed
}

// onlyWhatHappens leaves out of log lines what differs from run to run.
func onlyWhatHappens(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "msg", "fence", "block", "transfers", "from", "to", "event", "error":
		return a
	}
	return slog.Attr{}
}

func newPayments(ctx context.Context, db *store.Store, c config.Chain) *payments.Service {
	service, err := payments.New(payments.Options{
		Store: db, Chains: []config.Chain{c}, PublicURL: "https://pay.example", Window: time.Hour,
		MaxAttempts: 15, MaxOpen: 10, Now: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler),
	})
	check(err)
	account, err := wallet.Parse(exampleXPub)
	check(err)
	check(db.InTx(ctx, func(tx *store.Tx) error {
		err := tx.InsertMerchant(ctx, models.Merchant{ID: exampleMerchant, Name: "Shop", CreatedAt: noon, UpdatedAt: noon})
		if err != nil {
			return err
		}
		return tx.SetAccountKey(ctx, models.AccountKey{
			ID: account.KeyID(), MerchantID: exampleMerchant, XPub: exampleXPub, CreatedAt: noon,
		})
	}))
	return service
}

func newPayment(ctx context.Context, service *payments.Service) models.Payment {
	request := payments.Request{MerchantID: exampleMerchant, Chain: "example", Asset: "native", Amount: "5"}
	draft, err := service.Prepare(ctx, request)
	check(err)
	p, err := service.Commit(ctx, draft, nil)
	check(err)
	return p
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
