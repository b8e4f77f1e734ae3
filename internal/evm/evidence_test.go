package evm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/webhook"
)

var update = flag.Bool("update", false, "write golden files")

// provenFixture is what a real block gives for an answer to /payments/{id}/proof: one transfer, its payment and proof.
type provenFixture struct {
	Payment webhook.Payment      `json:"payment"`
	Proof   webhook.PaymentProof `json:"proof"`
}

func hexesOf(nodes [][]byte) []string {
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = "0x" + hex.EncodeToString(n)
	}
	return texts
}

// paymentOf is a payment that a transfer of a block pays, and its proof.
func paymentOf(t testing.TB, p *Pool, c *content, claim chain.Claim) provenFixture {
	t.Helper()
	out := make([]chain.Evidence, 1)
	if err := p.collect(c, []chain.Claim{claim}, out); err != nil || out[0].Reason != "" {
		t.Fatalf("%+v: %s %v", claim, out[0].Reason, err)
	}
	e, tx, from := out[0], claim.TxHash.Hex(), claim.From.Hex()
	f := provenFixture{Payment: webhook.Payment{ID: "pay_0k3mzq8r5v7w2x9y4b6c1d0efg", ChainID: p.opts.ChainID,
		Chain: p.opts.Name, Address: claim.To.Hex(), Asset: webhook.Asset{Symbol: "COIN", Decimals: 18}}}
	proof := &webhook.BlockProof{Header: "0x" + hex.EncodeToString(e.Header), Index: uint64(e.Index),
		Transaction: hexesOf(e.Transaction), Receipt: hexesOf(e.Receipt)}
	if claim.Asset != chain.Native {
		f.Payment.Asset = webhook.Asset{Symbol: "TOKEN", Contract: &claim.Asset, Decimals: 18}
	}
	if e.Log >= 0 {
		proof.Log = &e.Log
	}
	f.Proof = webhook.PaymentProof{PaymentID: f.Payment.ID, Chain: f.Payment.Chain, ChainID: f.Payment.ChainID,
		Asset: f.Payment.Asset, Address: f.Payment.Address, TransfersTotal: 1, Transfers: []webhook.TransferProof{{
			Transfer: webhook.Transfer{TxHash: &tx, From: &from, Amount: claim.Value.String(), BlockNumber: c.ref.Number,
				BlockHash: c.ref.Hash.Hex(), Status: "confirmed", Source: string(claim.Source)}, Proof: proof}}}
	return f
}

// claimsIn are all transfers in a block: coin of transactions that succeeded, tokens, and logs about coin.
func claimsIn(p *Pool, c *content) []chain.Claim {
	var all []chain.Transfer
	for i, tx := range c.txs {
		r := c.receipts[i]
		if tx.Value != nil && tx.Value.big().Sign() > 0 && tx.To.Address != nil && r.Status != nil && *r.Status == 1 {
			all = append(all, chain.Transfer{TxHash: chain.Hash(*tx.Hash), Asset: chain.Native, Value: tx.Value.big(),
				To: chain.Address(*tx.To.Address), Source: chain.FromTransaction, LogIndex: -1})
		}
		for _, l := range r.Logs {
			l.TxHash.v, l.Index.v = tx.Hash, new(quantity)
			if coin, ok := p.emitter.coin(l); ok && coin.Value.Sign() > 0 {
				all = append(all, chain.Transfer{TxHash: coin.TxHash, Asset: chain.Native, From: coin.From, To: coin.To,
					Value: coin.Value, Source: chain.FromLog})
			} else if log, ok := l.transfer(); ok && log.Value.Sign() > 0 {
				all = append(all, chain.Transfer{TxHash: log.TxHash, Asset: log.Contract.Hex(), From: log.From, To: log.To,
					Value: log.Value, Source: chain.FromTransaction})
			}
		}
	}
	return chain.Claims(all)
}

// TestProofsOfRealTransfers: what a merchant checks with webhook.VerifyProof holds for every transfer in real blocks of
// each family of chains, and for no other payment, amount or block.
func TestProofsOfRealTransfers(t *testing.T) {
	for name, chainID := range map[string]uint64{
		"ethereum-13998626": 1, "ethereum-18500000": 1, "op-mainnet-154497277": 10, "arbitrum-150000000": 42161,
		"base-goerli-1041847": 84531, "polygon-38102393": 137, "op-goerli-5003318": 420,
	} {
		t.Run(name, func(t *testing.T) {
			p := &Pool{opts: Options{Name: "chain", ChainID: chainID}, emitter: emitterOf(chainID)}
			f := readFixture(t, name)
			c := f.content(t)
			c.checkTxs()
			c.checkReceipts(f.receipts(t))
			if err := c.proven(); err != nil {
				t.Fatal(err)
			}
			claims := claimsIn(p, c)
			for i, claim := range claims {
				if i > 20 && i%10 != 0 {
					continue
				}
				pay := paymentOf(t, p, c, claim)
				found, err := webhook.VerifyProof(pay.Payment, pay.Proof)
				if err != nil || found.Amount.Cmp(claim.Value) != 0 || len(found.Transfers) != 1 ||
					found.Transfers[0].BlockHash != c.ref.Hash.Hex() ||
					uint64(found.Transfers[0].BlockTime.Unix()) != uint64(*c.full.Time) {
					t.Fatalf("transfer %d %+v: %+v, %v", i, claim, found, err)
				}
			}
			if len(claims) == 0 && name != "op-goerli-5003318" {
				t.Fatal("the block holds no transfer")
			}
			if name == "ethereum-13998626" && len(claims) > 0 {
				spoilProof(t, func() provenFixture { return paymentOf(t, p, c, claims[0]) })
				golden(t, paymentOf(t, p, c, claims[len(claims)-1]))
			}
		})
	}
}

// golden keeps one proof for the tests of package webhook.
func golden(t *testing.T, f provenFixture) {
	t.Helper()
	file := filepath.Join("..", "..", "webhook", "testdata", "proof.json")
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if text = append(text, '\n'); *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != string(text) {
		t.Errorf("%s is not what is made now (%v); run this test with -update", file, err)
	}
}

// spoilProof changes one thing of a proof at a time, and none of it holds.
func spoilProof(t *testing.T, fresh func() provenFixture) {
	t.Helper()
	fails := func(what string, change func(f *provenFixture, tp *webhook.TransferProof)) {
		t.Helper()
		f := fresh()
		change(&f, &f.Proof.Transfers[0])
		found, err := webhook.VerifyProof(f.Payment, f.Proof)
		if !errors.Is(err, webhook.ErrProof) || found.Amount.Sign() != 0 {
			t.Errorf("%s: %+v, %v", what, found, err)
		}
	}
	other := "0x00000000000000000000000000000000000000aa"
	type tp = webhook.TransferProof
	fails("another payment", func(f *provenFixture, _ *tp) { f.Payment.ID = "pay_2" })
	fails("another chain", func(f *provenFixture, _ *tp) { f.Payment.ChainID++ })
	fails("another address", func(f *provenFixture, _ *tp) { f.Payment.Address = other })
	fails("another address in both", func(f *provenFixture, _ *tp) { f.Payment.Address, f.Proof.Address = other, other })
	fails("another asset", func(f *provenFixture, _ *tp) { f.Payment.Asset.Contract = &other })
	fails("another asset in both", func(f *provenFixture, _ *tp) {
		f.Payment.Asset.Contract, f.Proof.Asset.Contract = &other, &other
	})
	fails("coin in both", func(f *provenFixture, x *tp) {
		if f.Payment.Asset.Contract == nil {
			f.Payment.Asset.Contract, f.Proof.Asset.Contract = &other, &other
			return
		}
		f.Payment.Asset.Contract, f.Proof.Asset.Contract, x.Proof.Log = nil, nil, nil
	})
	fails("twice", func(f *provenFixture, x *tp) { f.Proof.Transfers = append(f.Proof.Transfers, *x) })
	for _, amount := range []string{"", "0", "1", "-5", "0x5", "1e3"} {
		fails("amount "+amount, func(_ *provenFixture, x *tp) { x.Amount = amount })
	}
	fails("another block number", func(_ *provenFixture, x *tp) { x.BlockNumber++ })
	fails("another block hash", func(_ *provenFixture, x *tp) { x.BlockHash = nextDigit(x.BlockHash) })
	fails("another transaction", func(_ *provenFixture, x *tp) { tx := nextDigit(*x.TxHash); x.TxHash = &tx })
	fails("no transaction", func(_ *provenFixture, x *tp) { x.TxHash = nil })
	fails("another index", func(_ *provenFixture, x *tp) { x.Proof.Index++ })
	fails("a log that is not there", func(_ *provenFixture, x *tp) { n := 1 << 20; x.Proof.Log = &n })
	fails("a negative log", func(_ *provenFixture, x *tp) { n := -1; x.Proof.Log = &n })
	fails("no transaction nodes", func(_ *provenFixture, x *tp) { x.Proof.Transaction = nil })
	fails("no receipt nodes", func(_ *provenFixture, x *tp) { x.Proof.Receipt = nil })
	fails("a node more", func(_ *provenFixture, x *tp) { x.Proof.Receipt = append(x.Proof.Receipt, x.Proof.Receipt[0]) })
	fails("no header", func(_ *provenFixture, x *tp) { x.Proof.Header = "0x" })
	texts := func(x *tp) []*string {
		all := []*string{&x.Proof.Header}
		for i := range x.Proof.Transaction {
			all = append(all, &x.Proof.Transaction[i])
		}
		for i := range x.Proof.Receipt {
			all = append(all, &x.Proof.Receipt[i])
		}
		return all
	}
	first := fresh()
	for i, text := range texts(&first.Proof.Transfers[0]) {
		for at := 2; at < len(*text); at += max(1, len(*text)/40) {
			fails("a digit of the bytes", func(_ *provenFixture, x *tp) {
				s := texts(x)[i]
				*s = (*s)[:at] + nextDigit((*s)[at:at+1]) + (*s)[at+1:]
			})
			fails("bytes cut off", func(_ *provenFixture, x *tp) { s := texts(x)[i]; *s = (*s)[:at&^1] })
		}
	}
}

// TestAFailedTransactionProvesNothing: the receipt of a transaction that failed is in the block as well.
func TestAFailedTransactionProvesNothing(t *testing.T) {
	f := readFixture(t, "ethereum-18500000")
	p := &Pool{opts: Options{Name: "chain", ChainID: 1}, emitter: emitterOf(1)}
	c := f.content(t)
	c.checkTxs()
	c.checkReceipts(f.receipts(t))
	tried := 0
	for i, tx := range c.txs {
		if r := c.receipts[i]; r.Status == nil || *r.Status == 1 || tx.To.Address == nil {
			continue
		}
		tried++
		claim := chain.Claim{Transfer: chain.Transfer{TxHash: chain.Hash(*tx.Hash), Asset: chain.Native,
			To: chain.Address(*tx.To.Address), Value: tx.Value.big(), Source: chain.FromTransaction}}
		if findings, err := p.findings(c, []chain.Claim{claim}); err != nil || findings[0] != chain.HoldsNot {
			t.Errorf("%v, %v", findings, err)
		}
		out := make([]chain.Evidence, 1)
		if err := p.collect(c, []chain.Claim{claim}, out); err != nil || out[0].Reason == "" {
			t.Errorf("%+v, %v", out[0], err)
		}
	}
	if tried == 0 {
		t.Errorf("%d transactions failed", tried)
	}
}
