package scanner

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func hits(o *evm.Options) { o.Proofs = evm.ProofsHits }
func all(o *evm.Options)  { o.Proofs = evm.ProofsAll }

// tryCatchUp steps until there is nothing new, whatever goes wrong on the way, and returns the errors.
func (h *harness) tryCatchUp(t *testing.T) (errs []error) {
	t.Helper()
	for range 50 {
		more, err := h.step(t.Context(), h.fence)
		if err != nil {
			errs = append(errs, err)
		} else if !more && !h.searched() {
			return errs
		}
	}
	t.Fatalf("it never catches up: %v", errs)
	return nil
}

// payToken mines a block with a transfer of the token.
func payToken(t *testing.T, c *devnet.Chain, to string, units int64) {
	t.Helper()
	if _, err := c.SendToken(t.Context(), c.DemoPayer(), to, big.NewInt(units)); err != nil {
		t.Fatal(err)
	}
	mine(t, c, 1)
}

// payUntilFinal mines a transfer to somebody and then enough blocks to make it final, whatever goes wrong on the way.
func (h *harness) payUntilFinal(t *testing.T, c *devnet.Chain, to string, units int64) (errs []error) {
	t.Helper()
	payToken(t, c, to, units)
	errs = h.tryCatchUp(t)
	mine(t, c, 4)
	return append(errs, h.tryCatchUp(t)...)
}

func (h *harness) noDoubts(t *testing.T) {
	t.Helper()
	if open := h.openDoubts(t); len(open) != 0 {
		t.Errorf("doubts %+v", open)
	}
}

// TestAProofRefutesInventedMoney: of two providers the one that can prove what it says is right, without a person.
func TestAProofRefutesInventedMoney(t *testing.T) {
	for name, change := range map[string]func(*evm.Options){"hits": hits, "all": all} {
		t.Run(name, func(t *testing.T) {
			c := startDevnet(t)
			mine(t, c, 3)
			lies := &liar{}
			h := through(t, storetest.SQLite(t), c, change, lies.change, honest)
			p, other := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "5")
			lies.from, lies.to = elsewhere, p.Address
			h.payUntilFinal(t, c, elsewhere, 900)
			h.payUntilFinal(t, c, other.Address, 5)
			if got := strings.Join(h.events(t, p.ID), " "); got != "created detected reorged" && got != "created" {
				t.Errorf("events %s", got)
			}
			h.wantEvents(t, other, "created", "detected", "confirmed")
			h.noDoubts(t)
		})
	}
}

// TestAProofFindsHiddenMoney: what the first of two providers hides in logs and receipts alike is credited by the proof
// of the second.
func TestAProofFindsHiddenMoney(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	hides := &liar{}
	h := through(t, storetest.SQLite(t), c, hits, hides.change, honest)
	p := h.ask(t, devnet.TokenSymbol, "900")
	hides.hides = p.Address
	h.payUntilFinal(t, c, p.Address, 900)
	mine(t, c, 1)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	h.noDoubts(t)
}

// TestOneProviderCannotInvent: a single provider that invents money in a true block, in logs and receipts, with a
// filter that fits or without, is not believed: the money is doubted, and when the lie ends the doubt settles itself.
func TestOneProviderCannotInvent(t *testing.T) {
	for name, change := range map[string]func(*evm.Options){"hits": hits, "all": all} {
		t.Run(name, func(t *testing.T) {
			c := startDevnet(t)
			mine(t, c, 3)
			lies := &liar{}
			bloom := false
			h := through(t, storetest.SQLite(t), c, change,
				func(method string, params, result json.RawMessage) (json.RawMessage, int) {
					result, status := lies.change(method, params, result)
					if bloom {
						result = evmtest.Each(result, func(o evmtest.Object) {
							if _, ok := o["logsBloom"]; ok {
								o["logsBloom"] = "0x" + strings.Repeat("ff", 256)
							}
						})
					}
					return result, status
				})
			honestly := h.ask(t, devnet.TokenSymbol, "5")
			h.payUntilFinal(t, c, honestly.Address, 5)
			h.wantEvents(t, honestly, "created", "detected", "confirmed")
			for _, bloom = range []bool{false, true} {
				p := h.ask(t, devnet.TokenSymbol, "900")
				lies.from, lies.to = elsewhere, p.Address
				errs := h.payUntilFinal(t, c, elsewhere, 900)
				if (len(errs) > 0) != (name == "all") {
					t.Errorf("errors on the way: %v", errs)
				}
				h.wantEvents(t, p, "created", "detected")
				open := h.openDoubts(t)
				if len(open) != 1 || open[0].Kind != models.DoubtProof || open[0].PaymentID != p.ID {
					t.Fatalf("doubts %+v", open)
				}
				*lies, bloom = liar{}, false
				h.round.doubts, h.round.counted = h.round.doubts.Add(-doubtEvery), h.round.counted.Add(-doubtEvery)
				h.catchUp(t)
				h.wantEvents(t, p, "created", "detected", "reorged")
				h.noDoubts(t)
			}
		})
	}
}

// TestOneProviderCannotHide: with one provider every block is proven, and a log that its list lacks is found in the
// receipts; where those lack it too, the scanner says so.
func TestOneProviderCannotHide(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	hides, onlyLogs := &liar{}, true
	h := through(t, storetest.SQLite(t), c, all,
		func(method string, params, result json.RawMessage) (json.RawMessage, int) {
			if onlyLogs && method != "eth_getLogs" {
				return result, 0
			}
			return hides.change(method, params, result)
		})
	p := h.ask(t, devnet.TokenSymbol, "900")
	hides.hides = p.Address
	if errs := h.payUntilFinal(t, c, p.Address, 900); len(errs) > 0 {
		t.Error(errs)
	}
	h.wantEvents(t, p, "created", "detected", "confirmed")
	onlyLogs = false
	p = h.ask(t, devnet.TokenSymbol, "900")
	hides.hides = p.Address
	errs := h.payUntilFinal(t, c, p.Address, 900)
	if len(errs) != 2 || !strings.Contains(errs[0].Error(), "cannot be proven") {
		t.Errorf("errors %v", errs)
	}
}

// TestCoinOfAnotherIsRefuted: a provider that names another recipient of coin, under the true hash of the transaction.
func TestCoinOfAnotherIsRefuted(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	to := ""
	redirects := func(_ string, _, result json.RawMessage) (json.RawMessage, int) {
		if to != "" {
			result = json.RawMessage(strings.ReplaceAll(string(result), `"to":"`+elsewhere, `"to":"`+to))
		}
		return result, 0
	}
	h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { hits(o); o.Internal = "off" }, redirects, honest)
	p := h.ask(t, "native", "700")
	to = p.Address
	send(t, c, elsewhere, "0x", 700)
	mine(t, c, 1)
	h.catchUp(t)
	mine(t, c, 5)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "reorged")
	h.noDoubts(t)
}

// spoiledSince changes the state root of the blocks from a number on, so that nothing in them can be proven.
func spoiledSince(since *uint64) evmtest.Change {
	return func(_ string, _, result json.RawMessage) (json.RawMessage, int) {
		return evmtest.Each(result, func(o evmtest.Object) {
			text, _ := o["number"].(string)
			number, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
			if _, ok := o["stateRoot"]; ok && err == nil && number >= *since {
				o["stateRoot"] = "0x" + strings.Repeat("11", 32)
			}
		}), 0
	}
}

// TestAChainWithoutProofs: where blocks cannot be proven nobody is accused, and payments are confirmed all the same.
func TestAChainWithoutProofs(t *testing.T) {
	for _, change := range []func(*evm.Options){hits, all} {
		for providers := 1; providers <= 2; providers++ {
			c := startDevnet(t)
			mine(t, c, 3)
			var nodes []evmtest.Change
			for range providers {
				nodes = append(nodes, spoiledSince(new(uint64)))
			}
			h := through(t, storetest.SQLite(t), c, change, nodes...)
			p := h.ask(t, devnet.TokenSymbol, "900")
			if errs := h.payUntilFinal(t, c, p.Address, 900); len(errs) > 0 {
				t.Error(errs)
			}
			h.wantEvents(t, p, "created", "detected", "confirmed")
			h.noDoubts(t)
			parts := h.source.(*evm.Pool).Proofs(t.Context())
			if parts.Header.Works || !strings.Contains(parts.Header.Why, "does not hash") {
				t.Errorf("proofs %+v", parts)
			}
		}
	}
}

// TestAnUpgradeThatEndsProofs: when blocks of a chain cannot be proven any longer, the word of two providers counts
// again; that of one alone does not.
func TestAnUpgradeThatEndsProofs(t *testing.T) {
	for providers := 1; providers <= 2; providers++ {
		c := startDevnet(t)
		mine(t, c, 3)
		since := uint64(1 << 40)
		var nodes []evmtest.Change
		for range providers {
			nodes = append(nodes, spoiledSince(&since))
		}
		h := through(t, storetest.SQLite(t), c, hits, nodes...)
		p := h.ask(t, devnet.TokenSymbol, "900")
		h.payUntilFinal(t, c, p.Address, 900)
		h.wantEvents(t, p, "created", "detected", "confirmed")
		since = c.Head().Number + 1
		for range 3 {
			payToken(t, c, elsewhere, 1)
		}
		mine(t, c, 3)
		h.catchUp(t)
		after := h.ask(t, devnet.TokenSymbol, "900")
		h.payUntilFinal(t, c, after.Address, 900)
		if providers == 1 {
			h.wantEvents(t, after, "created", "detected")
			if open := h.openDoubts(t); len(open) != 1 || open[0].Kind != models.DoubtProof {
				t.Errorf("doubts %+v", open)
			}
			continue
		}
		h.wantEvents(t, after, "created", "detected", "confirmed")
		h.noDoubts(t)
	}
}

// TestANodeWithoutBlockReceipts: receipts that are given one by one prove as much.
func TestANodeWithoutBlockReceipts(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	h := through(t, storetest.SQLite(t), c, all, func(m string, _, result json.RawMessage) (json.RawMessage, int) {
		if m == "eth_getBlockReceipts" {
			return json.RawMessage(`{"code":-32601,"message":"the method eth_getBlockReceipts does not exist"}`), 0
		}
		return result, 0
	})
	p := h.ask(t, devnet.TokenSymbol, "900")
	if errs := h.payUntilFinal(t, c, p.Address, 900); len(errs) > 0 {
		t.Error(errs)
	}
	h.wantEvents(t, p, "created", "detected", "confirmed")
	if parts := h.source.(*evm.Pool).Proofs(t.Context()); !parts.Receipts.Works || !parts.Transactions.Works {
		t.Errorf("proofs %+v", parts)
	}
}

// TestAProviderThatGivesNoProof: while the only provider does not give receipts of a block whose chain can be proven,
// the block does not become final; later what it pays is doubted.
func TestAProviderThatGivesNoProof(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	away := false
	h := through(t, storetest.SQLite(t), c, hits, func(m string, _, result json.RawMessage) (json.RawMessage, int) {
		if away && m == "eth_getBlockReceipts" {
			return nil, 502
		}
		return result, 0
	})
	p := h.ask(t, devnet.TokenSymbol, "900")
	h.payUntilFinal(t, c, p.Address, 900)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	away = true
	p = h.ask(t, devnet.TokenSymbol, "900")
	h.payUntilFinal(t, c, p.Address, 900)
	h.wantEvents(t, p, "created", "detected")
	h.noDoubts(t)
	h.round.unasked = h.round.unasked.Add(-proofWait)
	mine(t, c, 1)
	h.tryCatchUp(t)
	h.wantEvents(t, p, "created", "detected")
	if open := h.openDoubts(t); len(open) != 1 || open[0].Kind != models.DoubtProof {
		t.Errorf("doubts %+v", open)
	}
}

// TestRecordedTransfersAreProven: of what was recorded the node gives proofs that a merchant can check.
func TestRecordedTransfersAreProven(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	h := through(t, storetest.SQLite(t), c, hits, honest)
	for _, asset := range []string{devnet.TokenSymbol, "native"} {
		p := h.ask(t, asset, "900")
		if asset == "native" {
			send(t, c, p.Address, "0x", 900)
			mine(t, c, 1)
			h.catchUp(t)
		} else {
			h.payUntilFinal(t, c, p.Address, 900)
		}
		row := h.transfers(t, p.ID)[0]
		transfer, err := payments.TransferOf(row)
		if err != nil {
			t.Fatal(err)
		}
		at, err := ref(row.BlockNumber, row.BlockHash)
		if err != nil {
			t.Fatal(err)
		}
		pool := h.source.(*evm.Pool)
		found, err := pool.Evidence(t.Context(), at, chain.Claims([]chain.Transfer{transfer}))
		if err != nil || found[0].Reason != "" || len(found[0].Receipt) == 0 || (found[0].Log < 0) != (asset == "native") {
			t.Errorf("%s: %+v, %v", asset, found, err)
		}
		transfer.Value = big.NewInt(1)
		found, err = pool.Evidence(t.Context(), at, chain.Claims([]chain.Transfer{transfer}))
		if err != nil || found[0].Reason == "" {
			t.Errorf("%s of another amount: %+v, %v", asset, found, err)
		}
	}
}
