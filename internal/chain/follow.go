package chain

import (
	"cmp"
	"fmt"
	"slices"
)

// Record is what is recorded of a chain. Blocks are consecutive and in ascending order, and the last is the newest. The
// newest block alone is enough to extend the record; Whole says that Blocks holds every recorded block.
type Record struct {
	Blocks []Ref
	Whole  bool
}

func (r Record) at(number uint64) (Ref, bool) {
	i, found := slices.BinarySearchFunc(r.Blocks, number, func(b Ref, n uint64) int { return cmp.Compare(b.Number, n) })
	if !found {
		return Ref{}, false
	}
	return r.Blocks[i], true
}

// Plan is what [Follow] decided: one of [Extend], [Replace], [Wait], [Halt], [NeedRecord] and [NeedHeader].
type Plan interface{ plan() }

// Extend asks to read blocks After.Number+1 to To and to record them on top of After, the newest recorded block. The
// first of them must have After as its parent. When it has not, its header belongs in theirs, and [Follow] decides
// anew.
type Extend struct {
	After Ref
	To    uint64
}

// Replace asks to read blocks After.Number+1 to To and to record them instead of everything above After, the newest
// recorded block that is still on the chain. To is After.Number when the chain has become shorter. Depth counts the
// recorded blocks that go; it is 0 when only the header above our newest block did not link. Anew says that no recorded
// block is left, because the record began a little above where the branches part: After is a block below it then, whose
// header was read.
type Replace struct {
	After Ref
	To    uint64
	Depth uint64
	Anew  bool
}

// Wait asks for nothing: the chain has no block that could be recorded.
type Wait struct{ Reason WaitReason }

// Halt asks to stop the chain until an operator has looked. The chain has Theirs where Recorded was recorded; Theirs is
// zero for the reason NothingShared, and Recorded is the oldest recorded block then.
type Halt struct {
	Reason   HaltReason
	Recorded Ref
	Theirs   Hash
}

// NeedRecord asks for the whole record: the newest block is not enough to decide.
type NeedRecord struct{}

// NeedHeader asks for the header that the chain has at a number, in theirs.
type NeedHeader struct{ Number uint64 }

func (Extend) plan()     {}
func (Replace) plan()    {}
func (Wait) plan()       {}
func (Halt) plan()       {}
func (NeedRecord) plan() {}
func (NeedHeader) plan() {}

// WaitReason says why there is nothing to record.
type WaitReason string

const (
	// UpToDate: the newest recorded block is the head.
	UpToDate WaitReason = "up_to_date"
	// HeadBehind: the head is one of our older blocks, or lies below all of them. The provider lags, or its chain was
	// reset.
	HeadBehind WaitReason = "head_behind"
	// HeadDisputed: the head is not what we recorded at its number, but the header that was read there is.
	HeadDisputed WaitReason = "head_disputed"
)

// HaltReason says why a chain must not be followed any further.
type HaltReason string

const (
	// FinalReplaced: another block stands where we recorded one that was final.
	FinalReplaced HaltReason = "final_replaced"
	// NothingShared: no recorded block is on the chain any more.
	NothingShared HaltReason = "nothing_shared"
)

// String says what happened, for the operator who has to decide.
func (h Halt) String() string {
	if h.Reason == NothingShared {
		return fmt.Sprintf("no recorded block from %d on is on the chain any more", h.Recorded.Number)
	}
	return fmt.Sprintf("block %d was final as %s and is %s now", h.Recorded.Number, h.Recorded.Hash, h.Theirs)
}

// Follow decides how the record follows a chain: it extends the record, replaces its end, waits or halts. It never
// replaces a block up to the number final. Head is the newest block that the providers know, and theirs are the headers
// of the chain that have been read so far, by number.
//
// Follow is pure. When it lacks something it answers [NeedRecord] or [NeedHeader], the caller reads that and asks again
// with the same head and a larger theirs. An iterator that reads while Follow runs would hide errors and the order of
// the calls inside a decision; a map of headers can be written down in a test, and the usual step, Extend, needs none.
//
// Headers that are read one after another may be of different branches. So the caller checks with [Linked] that the
// blocks it reads afterwards follow After, and starts over with an empty theirs when they do not.
func Follow(recorded Record, final uint64, head Header, theirs map[uint64]Header) Plan {
	tip := recorded.Blocks[len(recorded.Blocks)-1]
	if head.Number > tip.Number {
		next, known := theirs[tip.Number+1]
		if !known || next.Parent == tip.Hash {
			return Extend{After: tip, To: head.Number}
		}
		return branchOff(recorded, final, head, theirs)
	}
	if head.Ref() == tip {
		return Wait{UpToDate}
	}
	if !recorded.Whole {
		return NeedRecord{}
	}
	ours, found := recorded.at(head.Number)
	switch {
	case !found || ours.Hash == head.Hash:
		return Wait{HeadBehind}
	case theirs[head.Number].Hash == ours.Hash:
		return Wait{HeadDisputed}
	}
	return branchOff(recorded, final, head, theirs)
}

// branchOff walks down from the head to the newest recorded block that is still on the chain.
func branchOff(recorded Record, final uint64, head Header, theirs map[uint64]Header) Plan {
	if !recorded.Whole {
		return NeedRecord{}
	}
	tip := recorded.Blocks[len(recorded.Blocks)-1]
	for i := len(recorded.Blocks) - 1; i >= 0; i-- {
		ours := recorded.Blocks[i]
		if ours.Number > head.Number {
			continue
		}
		h, known := theirs[ours.Number]
		switch {
		case !known:
			return NeedHeader{ours.Number}
		case h.Hash == ours.Hash:
			return Replace{After: ours, To: min(head.Number, tip.Number+1), Depth: tip.Number - ours.Number}
		case ours.Number <= final:
			return Halt{Reason: FinalReplaced, Recorded: ours, Theirs: h.Hash}
		}
	}
	return beginAnew(recorded, final, head, theirs)
}

const (
	// anewDepth is how far below its first block a record begins anew.
	anewDepth = 64
	// BlocksBelowFinal is how many recorded blocks below the final point are kept, for an operator who accepts a deep
	// reorg. A record that is no longer than that, or begins above the final point, holds all blocks that were ever
	// recorded.
	BlocksBelowFinal = 256
)

// beginAnew puts a record of which nothing is left on a block below its first one. That is only done where the record
// is whole: what was paid in blocks that it does not hold any more could not be taken back.
func beginAnew(recorded Record, final uint64, head Header, theirs map[uint64]Header) Plan {
	first, tip := recorded.Blocks[0].Number, recorded.Blocks[len(recorded.Blocks)-1].Number
	if first == 0 || final == 0 && len(recorded.Blocks) > BlocksBelowFinal {
		return Halt{Reason: NothingShared, Recorded: recorded.Blocks[0]}
	}
	at := max(final, first-min(first, anewDepth))
	h, known := theirs[at]
	if !known {
		return NeedHeader{at}
	}
	return Replace{After: h.Ref(), To: min(head.Number, tip+1), Depth: tip - first + 1, Anew: true}
}

// UnlinkedError says that a block which was read does not have the one before it as its parent: the branch changed
// while it was read, or the node's chain does not link.
type UnlinkedError struct {
	Number       uint64 // of the block that does not link
	Parent, Want Hash   // the parent that it names, and the hash of the block before it
}

func (e *UnlinkedError) Error() string {
	return fmt.Sprintf("block %d has %s as its parent, but block %d is %s", e.Number, e.Parent, e.Number-1, e.Want)
}

// Linked is nil when the headers follow a block, each the parent of the next; otherwise it is an [*UnlinkedError].
func Linked(after Ref, headers ...Header) error {
	for _, h := range headers {
		if h.Parent != after.Hash || h.Number != after.Number+1 {
			return &UnlinkedError{Number: h.Number, Parent: h.Parent, Want: after.Hash}
		}
		after = h.Ref()
	}
	return nil
}
