package chain_test

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// world is every block that was ever mined, on whatever branch, and where the head is.
type world struct {
	blocks map[chain.Hash]chain.Block
	head   chain.Hash
}

func (w *world) mine(t *rapid.T, on chain.Hash) {
	var b chain.Block
	if parent, ok := w.blocks[on]; ok {
		b.Number, b.Parent = parent.Number+1, parent.Hash
	}
	n := len(w.blocks) + 1
	b.Hash = chain.Hash{byte(n >> 8), byte(n), 0xb1}
	// The transactions are few, so that branches mine the same ones; a branch has each at most once.
	used := make(map[chain.Hash]bool)
	for at, ok := w.blocks[on]; ok; at, ok = w.blocks[at.Parent] {
		for _, tx := range at.Txs {
			used[tx.Hash] = true
		}
	}
	for i := range byte(8) {
		if hash := (chain.Hash{i, 0x77}); !used[hash] && rapid.IntRange(0, 3).Draw(t, "mined") == 0 {
			to := chain.Address{i % 3}
			b.Txs = append(b.Txs, chain.Tx{Hash: hash, To: &to, Value: big.NewInt(int64(i))})
		}
	}
	w.blocks[b.Hash], w.head = b, b.Hash
}

// branch lists the blocks from the first one to a hash, oldest first.
func (w *world) branch(to chain.Hash) (refs []chain.Ref) {
	for at, ok := w.blocks[to]; ok; at, ok = w.blocks[at.Parent] {
		refs = append(refs, at.Ref())
	}
	slices.Reverse(refs)
	return refs
}

func watchedInModel(a chain.Address) bool { return a[0] != 0 }

// money is what the blocks pay to watched addresses, by transfer and block, read in the plainest way.
func (w *world) money(refs []chain.Ref) map[string]int64 {
	paid := make(map[string]int64)
	for _, ref := range refs {
		for _, tx := range w.blocks[ref.Hash].Txs {
			if watchedInModel(*tx.To) && tx.Value.Sign() > 0 {
				paid[fmt.Sprint(ref.Number, tx.Hash)] = tx.Value.Int64()
			}
		}
	}
	return paid
}

// follower does what a scanner does with a view: it undoes and applies blocks, and never looks at the world's branches.
type follower struct {
	view    *chain.View
	applied []chain.Ref
	paid    map[string]int64
}

func (f *follower) apply(t *rapid.T, w *world, step chain.Step) {
	for _, ref := range step.Disconnect {
		if last := f.applied[len(f.applied)-1]; last != ref {
			t.Fatalf("block %d %s goes, the newest one is %d %s", ref.Number, ref.Hash, last.Number, last.Hash)
		}
		f.applied = f.applied[:len(f.applied)-1]
		for _, tr := range chain.Match(w.blocks[ref.Hash], watchedInModel) {
			delete(f.paid, fmt.Sprint(ref.Number, tr.TxHash))
		}
	}
	if last := f.applied[len(f.applied)-1]; len(step.Connect) > 0 && last != step.Ancestor {
		t.Fatalf("the ancestor is %v, the newest block %v", step.Ancestor, last)
	}
	for _, h := range step.Connect {
		f.applied = append(f.applied, h.Ref())
		for _, tr := range chain.Match(w.blocks[h.Hash], watchedInModel) {
			f.paid[fmt.Sprint(h.Number, tr.TxHash)] = tr.Value.Int64()
		}
	}
}

// follow gives the head to the view and gets whatever it needs, while the head may move away under its feet.
func (f *follower) follow(t *rapid.T, w *world) error {
	step, err := f.view.Connect(w.blocks[w.head].Header)
	for moves := 0; err == nil && step.Need != nil; {
		if moves < 2 && rapid.IntRange(0, 9).Draw(t, "moves away") == 0 {
			moves++
			w.mine(t, w.head)
			step, err = f.view.Connect(w.blocks[w.head].Header)
			continue
		}
		got, ok := w.blocks[step.Need.Hash]
		if !ok || got.Ref() != *step.Need {
			t.Fatalf("there is no block %v", *step.Need)
		}
		step, err = f.view.Connect(got.Header)
	}
	if err == nil {
		f.apply(t, w, step)
	}
	return err
}

// TestViewModel lets a chain grow, fork at any depth, go back and become final at will, and holds the view against the
// world: it has exactly the canonical branch, its money is exactly that branch's, and it halts exactly when the branch
// leaves out a final block.
func TestViewModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{blocks: make(map[chain.Hash]chain.Block)}
		w.mine(t, chain.Hash{})
		first := w.blocks[w.head]
		view, err := chain.NewView(first.Header)
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{view: view, applied: []chain.Ref{first.Ref()}, paid: w.money([]chain.Ref{first.Ref()})}
		for range rapid.IntRange(1, 25).Draw(t, "rounds") {
			canonical := w.branch(w.head)
			switch rapid.SampledFrom([]string{"grow", "grow", "fork", "back", "final"}).Draw(t, "what") {
			case "grow":
				for range rapid.IntRange(1, 4).Draw(t, "blocks") {
					w.mine(t, w.head)
				}
			case "fork":
				w.head = canonical[rapid.IntRange(0, len(canonical)-1).Draw(t, "from")].Hash
				for range rapid.IntRange(1, 5).Draw(t, "blocks") {
					w.mine(t, w.head)
				}
			case "back":
				w.head = canonical[rapid.IntRange(0, len(canonical)-1).Draw(t, "to")].Hash
			case "final":
				view.Finalize(rapid.Uint64Range(0, uint64(len(f.applied))).Draw(t, "final"))
			}
			if rapid.IntRange(0, 3).Draw(t, "asleep") == 0 {
				continue
			}
			before, final := slices.Clone(f.applied), view.Final().Ref()
			err := f.follow(t, w)
			now := w.branch(w.head)
			want := now
			if len(now) <= len(before) && slices.Equal(now, before[:len(now)]) || len(now) <= int(final.Number) {
				want = before // behind us, or too short to tell
			} else if now[final.Number] != final {
				if !errors.Is(err, chain.ErrBelowFinality) {
					t.Fatalf("block %d was final: %v", final.Number, err)
				}
				want, w.head = before, before[len(before)-1].Hash // the operator does not accept it
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.applied, want) || view.Tip().Ref() != want[len(want)-1] {
				t.Fatalf("have %v, want %v", f.applied, want)
			}
			for _, ref := range want[view.Final().Number:] {
				if mine, ok := view.At(ref.Number); !ok || mine.Ref() != ref {
					t.Fatalf("the view has %v at %d, want %v", mine.Ref(), ref.Number, ref)
				}
			}
			if !maps.Equal(f.paid, w.money(want)) {
				t.Fatalf("paid %v, want %v", f.paid, w.money(want))
			}
		}
	})
}

// TestFinalityLaws: a block is final by depth exactly when it has as many confirmations.
func TestFinalityLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head, depth := rapid.Uint64().Draw(t, "head"), rapid.Uint64Range(1, 1<<20).Draw(t, "depth")
		final := chain.FinalByDepth(head, depth)
		if final > head || final > 0 && chain.Confirmations(head, final) != depth {
			t.Fatalf("final %d has %d confirmations", final, chain.Confirmations(head, final))
		}
		if final < head && chain.Confirmations(head, final+1) >= depth {
			t.Fatalf("block %d would be final too", final+1)
		}
	})
}
