package chain_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// line makes headers that follow one another; the hash of block n on branch b is {b, n}.
func line(branch byte, from, to uint64, parent chain.Hash) (hs []chain.Header) {
	for n := from; n <= to; n++ {
		h := chain.Header{Number: n, Hash: chain.Hash{branch, byte(n)}, Parent: parent}
		hs, parent = append(hs, h), h.Hash
	}
	return hs
}

func refs(hs []chain.Header) (rs []chain.Ref) {
	for _, h := range hs {
		rs = append(rs, h.Ref())
	}
	return rs
}

// The newest recorded block is enough to extend the record. When the block above it has another parent, Follow asks for
// what it needs until it has found where the branches part.
func ExampleFollow() {
	ours := line(1, 100, 105, chain.Hash{})
	theirs := append(slices.Clone(ours[:4]), line(2, 104, 107, ours[3].Hash)...)
	head := theirs[len(theirs)-1]

	recorded, read := chain.Record{Blocks: refs(ours[5:])}, map[uint64]chain.Header{}
	for range 6 {
		switch plan := chain.Follow(recorded, 102, head, read).(type) {
		case chain.Extend:
			fmt.Println("read block", plan.After.Number+1, "- does it follow?", chain.Linked(plan.After, theirs[6]) == nil)
			read[106] = theirs[6]
		case chain.NeedRecord:
			fmt.Println("read the record")
			recorded = chain.Record{Blocks: refs(ours), Whole: true}
		case chain.NeedHeader:
			fmt.Println("read header", plan.Number)
			read[plan.Number] = theirs[plan.Number-100]
		case chain.Replace:
			fmt.Println("replace what is above", plan.After.Number, "by blocks up to", plan.To, "- depth", plan.Depth)
		}
	}
	// Output:
	// read block 106 - does it follow? false
	// read the record
	// read header 105
	// read header 104
	// read header 103
	// replace what is above 103 by blocks up to 106 - depth 2
}

// A block that was final is never replaced.
func ExampleFollow_halt() {
	ours := line(1, 100, 103, chain.Hash{})
	theirs := line(2, 100, 104, chain.Hash{})
	read := map[uint64]chain.Header{103: theirs[3], 104: theirs[4]}
	plan := chain.Follow(chain.Record{Blocks: refs(ours), Whole: true}, 103, theirs[4], read)
	fmt.Println(plan.(chain.Halt).Reason)
	// Output: final_replaced
}

func ExampleFollow_wait() {
	ours := line(1, 100, 103, chain.Hash{})
	recorded := chain.Record{Blocks: refs(ours), Whole: true}
	fmt.Println(chain.Follow(recorded, 101, ours[3], nil).(chain.Wait).Reason)
	fmt.Println(chain.Follow(recorded, 101, ours[1], nil).(chain.Wait).Reason)
	// Output:
	// up_to_date
	// head_behind
}

func ExampleLinked() {
	blocks := line(1, 100, 103, chain.Hash{})
	fmt.Println(chain.Linked(blocks[0].Ref(), blocks[1:]...))
	err := chain.Linked(blocks[0].Ref(), blocks[1], blocks[3])
	var unlinked *chain.UnlinkedError
	fmt.Println(errors.As(err, &unlinked), unlinked.Number)
	// Output:
	// <nil>
	// true 103
}

func ExampleConfirmations() {
	fmt.Println(chain.Confirmations(100, 100), chain.Confirmations(100, 90), chain.Confirmations(100, 101))
	// Output: 1 11 0
}

// The tag decides where a chain has one, but no block above the head that we know is final.
func ExampleFinalPoint() {
	tag := uint64(64)
	fmt.Println(chain.FinalPoint(100, &tag, 12), chain.FinalPoint(50, &tag, 12), chain.FinalPoint(100, nil, 12))
	// Output: 64 50 89
}

// model is a chain that changes, and a record that follows it as the scanner does.
type model struct {
	t      *rapid.T
	blocks map[chain.Hash]chain.Header // every block that ever was
	canon  []chain.Header              // by number
	stale  []chain.Header              // heads of branches that are gone
	was    map[uint64][]chain.Hash     // every block that was ever canonical at a number
	record []chain.Ref
	final  uint64
	serial byte
	halted bool
}

const modelDepth = 4

func newModel(t *rapid.T) *model {
	m := &model{t: t, blocks: make(map[chain.Hash]chain.Header), was: make(map[uint64][]chain.Hash)}
	m.mine(rapid.IntRange(1, 8).Draw(t, "first blocks"))
	m.record = []chain.Ref{m.canon[rapid.IntRange(0, len(m.canon)-1).Draw(t, "begin")].Ref()}
	m.final = chain.FinalByDepth(m.record[0].Number, modelDepth)
	return m
}

func (m *model) mine(n int) {
	for range n {
		m.serial++
		h := chain.Header{Number: uint64(len(m.canon)), Hash: chain.Hash{m.serial, byte(len(m.canon))}}
		if h.Number > 0 {
			h.Parent = m.canon[h.Number-1].Hash
		}
		m.canon, m.blocks[h.Hash] = append(m.canon, h), h
		m.was[h.Number] = append(m.was[h.Number], h.Hash)
	}
}

// change lets the chain grow, fork at any depth, or become shorter.
func (m *model) change() {
	back := 0
	switch rapid.IntRange(0, 5).Draw(m.t, "change") {
	case 0, 1:
	case 2, 3:
		back = min(rapid.IntRange(1, modelDepth).Draw(m.t, "back"), len(m.canon)-1)
	case 4:
		back = rapid.IntRange(0, len(m.canon)-1).Draw(m.t, "deep back")
	case 5: // shorter
		m.stale = append(m.stale, m.canon[len(m.canon)-1])
		m.canon = m.canon[:len(m.canon)-min(len(m.canon)-1, rapid.IntRange(1, 3).Draw(m.t, "shorter"))]
		return
	}
	if back > 0 {
		m.stale = append(m.stale, m.canon[len(m.canon)-1])
	}
	m.canon = slices.Clone(m.canon[:len(m.canon)-back])
	m.mine(rapid.IntRange(0, 4).Draw(m.t, "mined"))
}

// head is the chain's own, one of its older blocks, or one of a branch that is gone.
func (m *model) head() chain.Header {
	switch lag := rapid.IntRange(0, 6).Draw(m.t, "lag"); {
	case lag == 6 && len(m.stale) > 0:
		return rapid.SampledFrom(m.stale).Draw(m.t, "stale")
	case lag > 3:
		return m.canon[max(0, len(m.canon)-lag)]
	}
	return m.canon[len(m.canon)-1]
}

// step decides and records once. The chain may change after each header that is read. It reports whether something was
// recorded, and whether the chain stood still.
func (m *model) step(head chain.Header, mayChange bool) (recorded bool) {
	still, theirs := true, make(map[uint64]chain.Header)
	canon := m.canon
	read := func(n uint64) (chain.Header, bool) {
		if mayChange && rapid.IntRange(0, 9).Draw(m.t, "changes now") == 0 {
			m.change()
			still = false
		}
		if n >= uint64(len(m.canon)) {
			return chain.Header{}, false
		}
		return m.canon[n], true
	}
	known := chain.Record{Blocks: m.record[len(m.record)-1:]}
	for asked := 0; ; asked++ {
		if asked > 3*len(m.record)+10 {
			m.t.Fatal("Follow never decides")
		}
		plan := chain.Follow(known, m.final, head, theirs)
		switch p := plan.(type) {
		case chain.NeedRecord:
			if known.Whole {
				m.t.Fatal("Follow asks for the record that it has")
			}
			known = chain.Record{Blocks: m.record, Whole: true}
			continue
		case chain.NeedHeader:
			h, ok := read(p.Number)
			if !ok {
				return false // the chain became shorter: the node says so, and the step fails
			}
			theirs[p.Number] = h
			continue
		case chain.Extend:
			h, ok := read(p.After.Number + 1)
			if !ok {
				return false
			}
			if chain.Linked(p.After, h) != nil {
				theirs[h.Number] = h
				continue
			}
			m.expect("extend", head, canon, still)
			return m.write(p.After, []chain.Header{h})
		case chain.Replace:
			m.expect(fmt.Sprint("replace after ", p.After.Number), head, canon, still)
			return m.replace(p, read)
		case chain.Halt:
			m.expect("halt", head, canon, still)
			m.mustHalt(p)
		case chain.Wait:
			m.expect("wait", head, canon, still)
		}
		return false
	}
}

func (m *model) replace(p chain.Replace, read func(uint64) (chain.Header, bool)) bool {
	var branch []chain.Header
	for n := p.After.Number + 1; n <= p.To; n++ {
		h, ok := read(n)
		if !ok {
			return false
		}
		branch = append(branch, h)
	}
	if chain.Linked(p.After, branch...) != nil {
		return false
	}
	if p.Anew {
		if p.After.Number < m.final || p.After.Number >= m.record[0].Number ||
			!slices.Contains(m.was[p.After.Number], p.After.Hash) {
			m.t.Fatalf("begun anew at %v: final %d, record %v", p.After, m.final, m.record)
		}
		m.record = []chain.Ref{p.After}
	}
	return m.write(p.After, branch)
}

// write records blocks on top of a recorded one and drops what was above it.
func (m *model) write(after chain.Ref, blocks []chain.Header) bool {
	i := slices.Index(m.record, after)
	if i < 0 {
		m.t.Fatalf("block %v is not recorded", after)
	}
	if after.Number < m.final && after.Number < m.record[len(m.record)-1].Number {
		m.t.Fatalf("block %d was final and is replaced from %d on", m.final, after.Number+1)
	}
	m.record = append(slices.Clone(m.record[:i+1]), refs(blocks)...)
	for j := 1; j < len(m.record); j++ {
		if m.blocks[m.record[j].Hash].Parent != m.record[j-1].Hash {
			m.t.Fatalf("recorded block %d does not follow the one below it", m.record[j].Number)
		}
	}
	m.final = max(m.final, chain.FinalByDepth(m.record[len(m.record)-1].Number, modelDepth))
	return true
}

// mustHalt checks that a halt has its reason: what it names was on the chain, and is not what is recorded.
func (m *model) mustHalt(h chain.Halt) {
	m.halted = true
	switch h.Reason {
	case chain.FinalReplaced:
		was, recorded := slices.Contains(m.was[h.Recorded.Number], h.Theirs), slices.Contains(m.record, h.Recorded)
		if h.Recorded.Number > m.final || h.Recorded.Hash == h.Theirs || !was || !recorded {
			m.t.Fatalf("halted without a reason: %s", h)
		}
	case chain.NothingShared:
		if h.Recorded != m.record[0] {
			m.t.Fatalf("halted without a reason: %s", h)
		}
	}
}

// expect holds a decision about a chain that stood still against a naive reading of record and chain in full.
func (m *model) expect(got string, head chain.Header, canon []chain.Header, still bool) {
	if !still || head.Number >= uint64(len(canon)) {
		return
	}
	if want := m.naive(head, canon); got != want {
		m.t.Fatalf("%s, want %s: head %d, final %d, record %v, chain %v", got, want, head.Number, m.final, m.record, canon)
	}
}

func (m *model) naive(head chain.Header, canon []chain.Header) string {
	tip, first := m.record[len(m.record)-1], m.record[0]
	top := min(tip.Number, head.Number)
	if head.Number > tip.Number && canon[tip.Number+1].Parent == tip.Hash {
		return "extend"
	}
	if head.Number <= tip.Number {
		if head.Number < first.Number {
			return "wait"
		}
		if ours := m.record[head.Number-first.Number]; ours.Hash == head.Hash || ours.Hash == canon[head.Number].Hash {
			return "wait"
		}
	}
	for i := len(m.record) - 1; i >= 0; i-- {
		if r := m.record[i]; r.Number <= top && canon[r.Number].Hash == r.Hash {
			if r.Number < min(m.final, top) {
				return "halt"
			}
			return fmt.Sprint("replace after ", r.Number)
		}
	}
	if first.Number <= m.final {
		return "halt"
	}
	return fmt.Sprint("replace after ", m.final) // nothing that was recorded is left, and nothing of it was final
}

// TestFollowAnyChain holds Follow against a naive model: whatever the chain does, also while it is read, and whatever
// heads the providers tell, the record is always one chain, what was final is never replaced, each halt has its reason,
// and once the chain stands still the record becomes equal to it.
func TestFollowAnyChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "chain changes") {
				m.change()
			}
			// Every step begins with nothing but the record, as after a restart.
			if m.step(m.head(), rapid.Bool().Draw(t, "may change")); m.halted {
				return
			}
		}
		for m.step(m.canon[len(m.canon)-1], false) && !m.halted {
		}
		tip, head := m.record[len(m.record)-1], m.canon[len(m.canon)-1]
		switch n := m.record[0].Number; {
		case m.halted:
		case head.Number < n: // the chain is shorter than everything that was recorded
		case head.Number < tip.Number:
			if m.record[head.Number-n].Hash != head.Hash {
				t.Fatalf("the chain ends at %d %s, the record is %v", head.Number, head.Hash, m.record)
			}
		case !slices.Equal(m.record, refs(m.canon[n:])):
			t.Fatalf("recorded %v, the chain is %v", m.record, m.canon)
		}
	})
}

// TestFollowBeginsAnew: a record of which no block is left, and none was final, is put on a block below its first one.
// It halts where it may not hold every block that was ever recorded, and where there is nothing below it.
func TestFollowBeginsAnew(t *testing.T) {
	follow := func(first, last byte, final uint64, more map[uint64]chain.Header) chain.Plan {
		ours := line(1, uint64(first), uint64(last), chain.Hash{})
		theirs := line(2, uint64(first), uint64(last)+1, chain.Hash{})
		read := more
		if read == nil {
			read = make(map[uint64]chain.Header)
		}
		for _, h := range theirs {
			read[h.Number] = h
		}
		return chain.Follow(chain.Record{Blocks: refs(ours), Whole: true}, final, theirs[len(theirs)-1], read)
	}
	below := line(2, 50, 50, chain.Hash{})[0]
	if plan := follow(100, 103, 50, nil); plan != (chain.NeedHeader{Number: 50}) {
		t.Errorf("%#v", plan)
	}
	plan := follow(100, 103, 50, map[uint64]chain.Header{50: below})
	if plan != (chain.Replace{After: below.Ref(), To: 104, Depth: 4, Anew: true}) {
		t.Errorf("%#v", plan)
	}
	if plan := follow(100, 100, 0, nil); plan != (chain.NeedHeader{Number: 36}) {
		t.Errorf("without a final point: %#v", plan)
	}
	if plan := follow(3, 3, 0, nil); plan != (chain.NeedHeader{Number: 0}) {
		t.Errorf("near the first block of the chain: %#v", plan)
	}
	h, ok := follow(0, 9, 0, nil).(chain.Halt)
	if !ok || h.Recorded.Number != 0 {
		t.Errorf("another chain: %#v", h)
	}
	long := chain.Record{Whole: true}
	theirs := make(map[uint64]chain.Header)
	for n := range uint64(chain.BlocksBelowFinal + 1) {
		long.Blocks = append(long.Blocks, chain.Ref{Number: 1000 + n, Hash: chain.Hash{1}})
		theirs[1000+n] = chain.Header{Number: 1000 + n, Hash: chain.Hash{2}}
	}
	const words = "no recorded block from 1000 on is on the chain any more"
	h, ok = chain.Follow(long, 0, theirs[1000+chain.BlocksBelowFinal], theirs).(chain.Halt)
	if !ok || h.Reason != chain.NothingShared || h.String() != words {
		t.Errorf("a record that may have been cut off: %#v", h)
	}
}

// TestFollowDisputedHead: a head that the header at its number contradicts replaces nothing.
func TestFollowDisputedHead(t *testing.T) {
	ours := line(1, 100, 105, chain.Hash{})
	stale := line(2, 103, 103, ours[2].Hash)[0]
	record := chain.Record{Blocks: refs(ours), Whole: true}
	if plan := chain.Follow(record, 100, stale, nil); plan != (chain.NeedHeader{Number: 103}) {
		t.Fatalf("%#v", plan)
	}
	read := map[uint64]chain.Header{103: ours[3]}
	if plan := chain.Follow(record, 100, stale, read); plan != (chain.Wait{Reason: chain.HeadDisputed}) {
		t.Fatalf("%#v", plan)
	}
}
