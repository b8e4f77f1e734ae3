package scanner

import (
	"context"
	"math/big"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// twoFaced is a memory chain whose second readings of a block hold a payment that the first did not. Something may
// happen between such a reading and what is done with it.
type twoFaced struct {
	*memoryChain
	paid      uint64 // the block
	pays      chain.Tx
	meanwhile func()
}

func (c *twoFaced) Blocks(ctx context.Context, from, to uint64) ([]chain.Block, error) {
	bs, err := c.memoryChain.Blocks(ctx, from, to)
	if err != nil || c.paid < from || c.paid > to {
		return bs, err
	}
	bs[c.paid-from].Txs = []chain.Tx{c.pays}
	if happens := c.meanwhile; happens != nil {
		c.meanwhile = nil
		happens()
	}
	return bs, nil
}

func (c *twoFaced) Ask(context.Context, chain.Ref, chain.Claim) []chain.Answer {
	return []chain.Answer{{Provider: "alone", Known: true, Holds: true}}
}

// missedPayment is a chain of eight recorded blocks, and a payment that a second reading of block 5 pays.
func missedPayment(t *testing.T, s *store.Store, id uint64) (*harness, *twoFaced, models.Payment) {
	t.Helper()
	c := &twoFaced{memoryChain: newMemoryChain(30)}
	h := newHarness(t, s, memoryConfig(id, 30), c, func() time.Time { return genesis })
	h.catchUp(t)
	p := h.ask(t, "native", "5")
	for range 7 {
		c.extend(nil)
		h.catchUp(t)
	}
	to, err := chain.ParseAddress(p.Address)
	if err != nil {
		t.Fatal(err)
	}
	c.paid, c.pays = 5, chain.Tx{Hash: chain.Hash{1}, To: &to, Value: big.NewInt(5)}
	return h, c, p
}

// secondLooks are the two ways in which recorded blocks are read again.
var secondLooks = map[string]func(t *testing.T, h *harness, c Source){
	"a rescan": func(t *testing.T, h *harness, c Source) {
		Rescan(t.Context(), h.chain, c, h.store, h.payments, 3, 7) //nolint:errcheck // the record says how it went
	},
	"a wrong filter": func(t *testing.T, h *harness, _ Source) {
		t.Helper()
		if err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
			cursor, err := tx.Cursor(t.Context(), h.chain.ChainID)
			if err != nil {
				return err
			}
			cursor.RereadNext, cursor.RereadTo = 3, 7
			return tx.SaveCursor(t.Context(), cursor)
		}); err != nil {
			t.Fatal(err)
		}
		h.reread(t.Context(), h.fence) //nolint:errcheck // the record says how it went
	},
}

// TestASecondLookRecordsNothingOfABranchThatLeft: the block that was read leaves the chain before what it holds is
// written. Nothing of it is recorded then, and a block that stays is credited.
func TestASecondLookRecordsNothingOfABranchThatLeft(t *testing.T) {
	id := uint64(410)
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for name, look := range secondLooks {
			for _, leaves := range []bool{true, false} {
				id++
				h, c, p := missedPayment(t, s, id)
				if leaves {
					c.meanwhile = func() {
						c.blocks = c.blocks[:4]
						for range 6 {
							c.extend(nil)
						}
						paid := c.paid
						c.paid = 1000
						h.catchUp(t)
						c.paid = paid
					}
				}
				look(t, h, c)
				if got := h.transfers(t, p.ID); len(got) > 0 == leaves {
					t.Errorf("%s, and the block leaves: %t: recorded %+v", name, leaves, got)
				}
			}
		}
	})
}

// TestAFencedScannerRereadsNothing: one that leads no more writes nothing of what it has read again.
func TestAFencedScannerRereadsNothing(t *testing.T) {
	h, c, p := missedPayment(t, storetest.SQLite(t), 409)
	c.meanwhile = func() {
		if _, err := h.store.TakeLease(t.Context(), 409, "other", genesis.Add(time.Hour), time.Minute); err != nil {
			t.Error(err)
		}
	}
	secondLooks["a wrong filter"](t, h, c)
	if got := h.transfers(t, p.ID); len(got) > 0 {
		t.Errorf("recorded %+v", got)
	}
}

// TestARereadFindsPaymentsWhoseWindowHasEnded: what was paid inside the monitoring window is credited after it too.
func TestARereadFindsPaymentsWhoseWindowHasEnded(t *testing.T) {
	for name, look := range secondLooks {
		h, c, p := missedPayment(t, storetest.SQLite(t), 408)
		if err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
			ended := c.blocks[c.paid].Time
			p.WatchUntil = &ended
			return tx.SavePayment(t.Context(), p)
		}); err != nil {
			t.Fatal(err)
		}
		h.watch.reset()
		look(t, h, c)
		if got := h.transfers(t, p.ID); len(got) != 1 {
			t.Errorf("%s: recorded %+v", name, got)
		}
	}
}
