package scanner

import (
	"context"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// twice is a memory chain that two providers tell of in the same words.
type twice struct{ *memoryChain }

func (twice) Providers() int { return 2 }

func (c twice) Testify(ctx context.Context, from, to uint64, _ string) ([]chain.Block, error) {
	return c.Blocks(ctx, from, to)
}

// TestFinalityLeapsToTheRecord: where no final point is known, the blocks below the first recorded one are not crossed
// step by step.
func TestFinalityLeapsToTheRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := twice{newMemoryChain(5)}
		for range 5 * maxWitnessed {
			c.extend(nil)
		}
		h := newHarness(t, s, memoryConfig(420, 5), c, func() time.Time { return genesis })
		h.catchUp(t)
		if err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.AcceptReorg(t.Context(), 420) }); err != nil {
			t.Fatal(err)
		}
		for range 7 {
			c.extend(nil)
		}
		for range 6 { // the record, one search, and what it found
			if _, err := h.step(t.Context(), h.fence); err != nil {
				t.Fatal(err)
			}
			h.searched()
		}
		cursor, err := s.Cursor(t.Context(), 420)
		if want := c.blocks[len(c.blocks)-1].Number - 5; err != nil || cursor.FinalNumber < want {
			t.Errorf("final %d, want %d, %v", cursor.FinalNumber, want, err)
		}
	})
}
