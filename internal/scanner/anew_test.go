package scanner

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestAReorgBelowTheFirstRecordedBlock: a chain that was begun at its head goes on when that head leaves the chain,
// with what the new branch pays below it. Where it was final it halts, and goes on when an operator accepts it.
func TestAReorgBelowTheFirstRecordedBlock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for id, depth := range map[uint64]uint64{301: 8, 302: 1} {
			c := newMemoryChain(depth)
			for range 100 {
				c.extend(nil)
			}
			h := newHarness(t, s, memoryConfig(id, depth), c, func() time.Time { return genesis })
			h.catchUp(t)
			p := h.ask(t, "native", "7")
			to, err := chain.ParseAddress(p.Address)
			if err != nil {
				t.Fatal(err)
			}
			c.blocks = c.blocks[:len(c.blocks)-3]
			c.extend(&chain.Tx{Hash: chain.Hash{1, byte(id)}, To: &to, Value: big.NewInt(7)})
			for range 4 {
				c.extend(nil)
			}
			if depth == 1 {
				if _, err := h.step(t.Context(), h.fence); !errors.Is(err, ErrHalted) {
					t.Fatalf("depth %d: %v", depth, err)
				}
				err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.AcceptReorg(t.Context(), id) })
				if err != nil {
					t.Fatal(err)
				}
			}
			h.catchUp(t)
			cursor, err := s.Cursor(t.Context(), id)
			if err != nil || cursor.Hash != c.blocks[len(c.blocks)-1].Hash.Hex() {
				t.Fatalf("depth %d: %+v, %v", depth, cursor, err)
			}
			if got, err := s.Payment(t.Context(), h.merchant, p.ID); err != nil || got.AmountReceived.String() != "7" {
				t.Errorf("depth %d: received %s, %v", depth, got.AmountReceived, err)
			}
			c.extend(nil)
			h.catchUp(t)
		}
	})
}

// TestAnotherChainHalts: a chain of which not even the first block is left is another one; the reason says what to do.
func TestAnotherChainHalts(t *testing.T) {
	s := storetest.SQLite(t)
	c := newMemoryChain(50)
	h := newHarness(t, s, memoryConfig(303, 50), c, func() time.Time { return genesis })
	h.catchUp(t)
	c.extend(nil)
	h.catchUp(t)
	c.blocks = nil
	for range 4 {
		c.extend(nil)
	}
	if _, err := h.step(t.Context(), h.fence); !errors.Is(err, ErrHalted) {
		t.Fatal(err)
	}
	cursor, err := s.Cursor(t.Context(), 303)
	if err != nil || !strings.Contains(cursor.HaltReason, "ctripctl chain reset memory303") {
		t.Errorf("%q, %v", cursor.HaltReason, err)
	}
}

// TestProofsAreExpectedAfterARestart: a provider that no longer proves what it could prove is found out by the process
// that comes after too.
func TestProofsAreExpectedAfterARestart(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	s := storetest.SQLite(t)
	h := through(t, s, c, hits, honest)
	p := h.ask(t, devnet.TokenSymbol, "900")
	h.payUntilFinal(t, c, p.Address, 900)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	cursor, err := s.Cursor(t.Context(), h.chain.ChainID)
	if k := chain.ParseKnown(cursor.Known); err != nil || !k.Headers || !k.Transactions || !k.Receipts || k.WrongBloom {
		t.Fatalf("known %q, %v", cursor.Known, err)
	}
	since := c.Head().Number + 1
	after := through(t, s, c, hits, spoiledSince(&since))
	q := after.ask(t, devnet.TokenSymbol, "900")
	after.payUntilFinal(t, c, q.Address, 900)
	after.wantEvents(t, q, "created", "detected")
	if open := after.openDoubts(t); len(open) != 1 || open[0].Kind != models.DoubtProof {
		t.Errorf("doubts %+v", open)
	}
}

// TestAWrongBloomIsReadAgain: where the lists of logs of both providers follow a wrong bloom filter, a payment is
// missed. Once a filter is found wrong, the last day is read again by its receipts and the payment credited, also by
// the process that comes after.
func TestAWrongBloomIsReadAgain(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		c := startDevnet(t)
		s := storetest.SQLite(t)
		hidden, since := "", uint64(1<<40)
		var bloom types.Bloom
		bloom.Add(common.Address{0xaa}.Bytes())
		follows := func(method string, _, result json.RawMessage) (json.RawMessage, int) {
			if method == "eth_getLogs" && hidden != "" && strings.Contains(string(result), hidden[2:]) {
				return json.RawMessage(`[]`), 0
			}
			if method != "eth_getBlockByNumber" {
				return result, 0
			}
			return evmtest.Each(result, func(o evmtest.Object) {
				text, _ := o["number"].(string)
				number, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
				if _, ok := o["logsBloom"]; ok && err == nil && number >= since {
					o["logsBloom"] = "0x" + common.Bytes2Hex(bloom.Bytes())
				}
			}), 0
		}
		h := through(t, s, c, nil, follows, follows)
		missed, seen := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "5")
		hidden, since = missed.Address, c.Head().Number+1
		payElsewhere(t, c, h, missed.Address, 900)
		h.wantEvents(t, missed, "created")
		payToken(t, c, seen.Address, 5)
		h.step(t.Context(), h.fence) //nolint:errcheck // the record says how it went
		cursor, err := s.Cursor(t.Context(), h.chain.ChainID)
		if err != nil || !chain.ParseKnown(cursor.Known).WrongBloom || cursor.RereadNext != 1 || cursor.RereadTo == 0 {
			t.Fatalf("%+v, %v", cursor, err)
		}
		if restarted {
			after := through(t, s, c, nil, follows, follows)
			h = &harness{Scanner: after.Scanner, store: s, fence: h.fence, merchant: h.merchant}
		}
		h.catchUp(t)
		mine(t, c, 4)
		h.catchUp(t)
		h.wantEvents(t, missed, "created", "detected", "confirmed")
		h.wantEvents(t, seen, "created", "detected", "confirmed")
		cursor, err = s.Cursor(t.Context(), h.chain.ChainID)
		if err != nil || cursor.RereadNext != 0 || cursor.RereadTo != 0 {
			t.Errorf("%+v, %v", cursor, err)
		}
		later := h.ask(t, devnet.TokenSymbol, "900") // filters are not believed any more
		hidden = later.Address
		payElsewhere(t, c, h, later.Address, 900)
		h.wantEvents(t, later, "created", "detected", "confirmed")
	}
}

// tagged is a memory chain whose final point is moved by hand.
type tagged struct {
	*memoryChain
	final uint64
}

func (c *tagged) Final(_ context.Context, head uint64) (uint64, error) {
	return min(c.final, head), nil
}

// TestWindowsRunInBlockTime: a payment that closes without a new block closes at the time of the newest one, whatever
// the clock on the wall says.
func TestWindowsRunInBlockTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := &tagged{memoryChain: newMemoryChain(1)}
		wall := genesis.Add(5 * time.Hour)
		cfg := memoryConfig(304, 1)
		cfg.BlockTime = 10 * time.Hour
		h := newHarness(t, s, cfg, c, func() time.Time { return wall })
		h.catchUp(t)
		p := h.ask(t, "native", "7")
		to, err := chain.ParseAddress(p.Address)
		if err != nil {
			t.Fatal(err)
		}
		c.extend(&chain.Tx{Hash: chain.Hash{1, 4}, To: &to, Value: big.NewInt(7)})
		h.catchUp(t)
		c.final = 1
		h.catchUp(t)
		got, err := s.Payment(t.Context(), h.merchant, p.ID)
		at := c.blocks[1].Time
		if err != nil || got.Status != models.PaymentConfirmed || !got.ClosedAt.Equal(at) ||
			!got.WatchUntil.Equal(at.Add(time.Hour)) {
			t.Errorf("%s, closed at %s, watched until %s, block at %s (%v)", got.Status, got.ClosedAt, got.WatchUntil, at, err)
		}
	})
}
