package payments_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

const exampleXPub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"

var (
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	mainnet = config.Chain{Name: "mainnet", ChainID: 1, Native: config.Native{Symbol: "ETH", Decimals: 18}}
)

// A payment is what its transfers and the time of its chain make of it: here 100 of 100, in a block that is not final.
func ExampleDecide() {
	p := models.Payment{ID: "pay_1", Status: models.PaymentPending, Amount: models.AmountOf(100),
		ExpiresAt: noon.Add(30 * time.Minute), Sequence: 1}
	next, announcements := payments.Decide(p, payments.Facts{
		Transfers: []models.Transfer{{ID: "tra_1", Amount: models.AmountOf(100), Status: models.TransferSeen,
			BlockNumber: 7, FirstBlockTime: noon, BlockTime: noon, CreatedAt: noon}},
		Announced: []store.Announced{{ID: "evt_1", Type: "payment.created", Sequence: 1, CreatedAt: noon}},
		ChainTime: &noon, Window: time.Hour, Now: noon,
	})
	fmt.Println(next.Status, next.AmountReceived, next.AmountConfirmed)
	for _, a := range announcements {
		fmt.Println(a.Type)
	}
	// Output:
	// detected 100 0
	// payment.detected
}

// A draft has been checked and has an address. Commit writes it with its event.
func ExampleService_Commit() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	merchantID := exampleMerchant(ctx, s)
	svc, err := payments.New(payments.Options{Store: s, Chains: []config.Chain{mainnet}, PublicURL: "https://pay.example",
		Window: time.Hour, MaxAttempts: 15, MaxOpen: 100, Now: func() time.Time { return noon },
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}

	_, err = svc.Prepare(ctx, payments.Request{MerchantID: merchantID, Chain: "mainnet", Asset: "USDC", Amount: "1"})
	fmt.Println(err)
	draft, err := svc.Prepare(ctx, payments.Request{MerchantID: merchantID, Chain: "mainnet", Asset: "ETH",
		AmountDecimal: "0.25"})
	if err != nil {
		panic(err)
	}
	p, err := svc.Commit(ctx, draft, nil)
	fmt.Println(p.Status, p.Amount, p.Address == draft.Payment().Address, err)
	events, err := s.ListEvents(ctx, merchantID, store.EventFilter{PaymentID: p.ID}, store.Page{Limit: 10})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(events), events[0].Type)
	// Output:
	// asset is not listed on chain mainnet: "USDC"
	// pending 250000000000000000 true <nil>
	// 1 payment.created
}

// exampleMerchant is a shop whose chain has been read up to a block.
func exampleMerchant(ctx context.Context, s *store.Store) (id string) {
	svc, err := access.New(access.Options{Store: s, Now: func() time.Time { return noon }})
	if err != nil {
		panic(err)
	}
	err = s.InTx(ctx, func(tx *store.Tx) error {
		m, _, err := svc.CreateMerchant(ctx, tx, models.System, "Tea & Sons", exampleXPub)
		if err != nil {
			return err
		}
		id = m.ID
		return tx.SaveCursor(ctx, models.ChainCursor{ChainID: mainnet.ChainID, Chain: mainnet.Name, Number: 100,
			Hash: fmt.Sprintf("0x%064x", 100), BlockTime: noon, HeadNumber: 100, UpdatedAt: noon})
	})
	if err != nil {
		panic(err)
	}
	return id
}
