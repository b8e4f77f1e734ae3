package proof_test

import (
	"encoding/json"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const depositAddress = "0x52908400098527886E0F7030069857D2E4169EE7"

// node is a chain in this process, asked over real JSON-RPC.
func node(t *testing.T, chainID uint64) (*devnet.Chain, *evm.Pool) {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx := t.Context()
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	pool, err := evm.New(evm.Options{Name: "devnet", ChainID: chainID, URLs: []string{c.URL()}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return c, pool
}

// paid is a confirmed event about a transfer that really happened, of a token or of the chain's own coin.
func paid(t *testing.T, c *devnet.Chain, token bool) webhook.Event {
	t.Helper()
	amount := big.NewInt(1_500_000)
	p := &webhook.Payment{
		ID: "pay_1", Status: "confirmed", Chain: "devnet", ChainID: devnet.ChainID, Address: depositAddress,
		AmountReceived: amount.String(), AmountConfirmed: amount.String(), TransfersTotal: 1,
		Asset: webhook.Asset{Symbol: "ETH", Decimals: 18},
	}
	from := c.DemoPayer().Address()
	tr := webhook.Transfer{From: &from, Amount: amount.String(), Status: "confirmed", Source: webhook.SourceChain}
	var tx string
	var err error
	if token {
		contract := c.Token()
		p.Asset = webhook.Asset{Symbol: "DEMO", Contract: &contract, Decimals: 18}
		index := 0
		tr.LogIndex = &index
		tx, err = c.SendToken(t.Context(), c.DemoPayer(), depositAddress, amount)
	} else {
		tx, err = c.SendNative(t.Context(), c.DemoPayer(), depositAddress, amount)
	}
	if err != nil {
		t.Fatal(err)
	}
	mined, err := c.WaitMined(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	tr.TxHash, tr.BlockNumber, tr.BlockHash, tr.BlockTimestamp = &tx, mined.Block.Number, mined.Block.Hash,
		webhook.At(mined.Block.Time)
	p.Transfers = []webhook.Transfer{tr}
	return webhook.Event{ID: "evt_1", Type: webhook.PaymentConfirmed, Data: webhook.Data{Payment: p}}
}

// worth makes a payment and its transfer, if one is given, tell of an amount.
func worth(p *webhook.Payment, t *webhook.Transfer, amount string) {
	p.AmountReceived, p.AmountConfirmed = amount, amount
	if t != nil {
		t.Amount = amount
	}
}

// clone copies an event, so that it can be spoiled.
func clone(t *testing.T, e webhook.Event) webhook.Event {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out webhook.Event
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTransfers: what happened is proven, and each thing that did not is refuted.
func TestTransfers(t *testing.T) {
	c, pool := node(t, devnet.ChainID)
	judge := func(e webhook.Event) []proof.TransferVerdict {
		t.Helper()
		found, err := proof.Transfers(t.Context(), pool, e)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	token, coin := paid(t, c, true), paid(t, c, false)
	for name, e := range map[string]webhook.Event{"token": token, "coin": coin} {
		if found := judge(e); len(found) != 1 || found[0].Finding != proof.Proven || found[0].TxHash == "" ||
			found[0].PaymentID != "pay_1" {
			t.Errorf("%s: %+v", name, found)
		}
	}
	other := "0x000000000000000000000000000000000000dEaD"
	nothing := "0x" + strings.Repeat("ab", 32)
	one := 1
	for name, c := range map[string]struct {
		of     webhook.Event
		change func(p *webhook.Payment, t *webhook.Transfer)
		reason string
	}{
		"no such transaction": {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.TxHash = &nothing }, "knows no such transaction"},
		"another transaction": {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.TxHash = coin.Data.Payment.Transfers[0].TxHash }, "the node has it in block"},
		"another block":       {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.BlockHash = nothing }, "the node has it in block"},
		"another number":      {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.BlockNumber++ }, "the node has it in block"},
		"another time": {token, func(_ *webhook.Payment, t *webhook.Transfer) {
			t.BlockTimestamp = webhook.At(t.BlockTimestamp.Add(time.Second))
		}, "block_timestamp"},
		"another log":          {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.LogIndex = &one }, "no transfer with log_index 1"},
		"no log":               {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.LogIndex = nil }, "has a log_index"},
		"another contract":     {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.Asset.Contract = &other }, "is of contract"},
		"another receiver":     {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.Address = other }, "moved it to"},
		"another sender":       {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.From = &other }, "moved it from"},
		"another amount":       {token, func(p *webhook.Payment, t *webhook.Transfer) { worth(p, t, "9500000") }, "moved 1500000"},
		"another sum":          {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.AmountConfirmed = "3000000" }, "sum up to 1500000"},
		"another sum received": {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.AmountReceived = "3000000" }, "amount_received is 3000000"},
		"listed twice": {token, func(p *webhook.Payment, t *webhook.Transfer) {
			t2 := *t
			upper := strings.ToUpper((*t.TxHash)[2:])
			again := "0x" + upper
			t2.TxHash = &again
			p.Transfers, p.TransfersTotal, p.AmountReceived, p.AmountConfirmed = append(p.Transfers, t2), 2, "3000000", "3000000"
		}, "listed twice"},
		"listed nowhere": {token, func(p *webhook.Payment, _ *webhook.Transfer) {
			p.Transfers, p.TransfersTotal, p.AmountReceived = nil, 0, "0"
		}, "sum up to 0"},
		"left out":             {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.TransfersTotal = 2 }, "1 of 2 transfers are listed"},
		"coin: another amount": {coin, func(p *webhook.Payment, t *webhook.Transfer) { worth(p, t, "9500000") }, "moved 1500000"},
		"coin: another sender": {coin, func(_ *webhook.Payment, t *webhook.Transfer) { t.From = &other }, "the transaction is of"},
		"coin: no sender":      {coin, func(_ *webhook.Payment, t *webhook.Transfer) { t.From = nil }, "from is no address"},
		"coin: a log":          {coin, func(_ *webhook.Payment, t *webhook.Transfer) { t.LogIndex = &one }, "no log_index"},
		"not orphaned":         {token, func(p *webhook.Payment, t *webhook.Transfer) { t.Status = "orphaned"; worth(p, nil, "0") }, "called orphaned"},
		"no hash":              {token, func(_ *webhook.Payment, t *webhook.Transfer) { short := "0x12"; t.TxHash = &short }, "no hash"},
		"no block hash":        {token, func(_ *webhook.Payment, t *webhook.Transfer) { t.BlockHash = "" }, "no hash"},
		"no address":           {token, func(p *webhook.Payment, _ *webhook.Transfer) { p.Address = "0x1" }, "no address"},
	} {
		e := clone(t, c.of)
		c.change(e.Data.Payment, &e.Data.Payment.Transfers[0])
		found := judge(e)
		last := found[len(found)-1]
		if last.Finding != proof.Refuted || !strings.Contains(last.Reason, c.reason) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	for name, c := range map[string]struct {
		change func(p *webhook.Payment, t *webhook.Transfer)
		want   proof.Finding
	}{
		"found by its balance": {func(_ *webhook.Payment, t *webhook.Transfer) {
			t.TxHash, t.From, t.Source = nil, nil, webhook.SourceBalance
		}, proof.Unprovable},
		"passed on by another": {func(p *webhook.Payment, _ *webhook.Transfer) { p.Address = other }, proof.Unprovable},
		"orphaned and not here": {func(p *webhook.Payment, t *webhook.Transfer) {
			t.TxHash, t.Status = &nothing, "orphaned"
			worth(p, nil, "0")
		}, proof.Proven},
	} {
		e := clone(t, coin)
		c.change(e.Data.Payment, &e.Data.Payment.Transfers[0])
		if found := judge(e); len(found) != 1 || found[0].Finding != c.want {
			t.Errorf("%s: %+v", name, found)
		}
	}
	// Of what is on another chain, and of sums over more than is listed, this node proves nothing, and says so.
	misdirected := clone(t, token)
	p := misdirected.Data.Payment
	misdirected.Data.Misdirected = &webhook.Misdirected{ChainID: 1, Asset: p.Asset, Transfer: p.Transfers[0]}
	found := judge(misdirected)
	if len(found) != 2 || found[0].Finding != proof.Proven || found[1].Finding != proof.Unprovable ||
		!strings.Contains(found[1].Reason, "on chain 1") {
		t.Errorf("%+v", found)
	}
	many := clone(t, token)
	many.Data.Payment.Transfers = slices.Repeat(many.Data.Payment.Transfers, webhook.MaxTransfers)
	many.Data.Payment.TransfersTotal = webhook.MaxTransfers + 1
	if found = judge(many); found[len(found)-1].Finding != proof.Unprovable ||
		!strings.Contains(found[len(found)-1].Reason, "20 of 21") {
		t.Errorf("%+v", found)
	}
	misdirected.Data.Misdirected.ChainID = p.ChainID
	if found = judge(misdirected); found[1].Finding != proof.Proven {
		t.Errorf("%+v", found)
	}
	if found := judge(webhook.Event{ID: "evt_2", Type: webhook.WebhookTest}); len(found) != 0 {
		t.Errorf("an event without a payment: %+v", found)
	}
}

// TestTransfersOnAnotherChain: a node of another chain proves nothing, whatever it has.
func TestTransfersOnAnotherChain(t *testing.T) {
	c, pool := node(t, 1)
	if found, err := proof.Transfers(t.Context(), pool, paid(t, c, true)); err == nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
