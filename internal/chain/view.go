package chain

import (
	"errors"
	"fmt"
	"slices"
)

// ErrBelowFinality is returned when a block would replace one that was final. The chain has broken its own promise, and a
// person has to look.
var ErrBelowFinality = errors.New("chain: the block replaces one that was final")

// View is the part of a chain that may still change: the block that is final and those that follow it, each the parent of
// the next. It says what a new block means for them. It is not safe for concurrent use.
type View struct {
	headers []Header // oldest first; the first one is final
	branch  []Header // newest first; blocks that lead to none of ours yet
}

// Step is what a block means. The zero Step means nothing: the block is ours already, or older than all that we hold.
type Step struct {
	// Need names the header to get by its hash and to give to Connect next. While it is set nothing has changed.
	Need *Ref
	// Ancestor is the newest block of ours that stays, Disconnect those above it that go, newest first, and Connect those
	// that come, oldest first.
	Ancestor   Ref
	Disconnect []Ref
	Connect    []Header
}

// NewView takes the recorded headers, oldest first and without holes, the first of them final.
func NewView(recorded ...Header) (*View, error) {
	if len(recorded) == 0 {
		return nil, errors.New("chain: a view needs a block to start from")
	}
	for i, h := range recorded[1:] {
		if before := recorded[i]; h.Parent != before.Hash || h.Number != before.Number+1 {
			return nil, fmt.Errorf("chain: block %d (%s) does not follow block %d (%s)", h.Number, h.Hash, before.Number, before.Hash)
		}
	}
	return &View{headers: slices.Clone(recorded)}, nil
}

// Connect takes a block, usually the head, and says what follows from it. A block that does not reach ours asks for its
// parent, and so on down to the common ancestor; whoever is far behind spares himself that by connecting upwards from the
// tip. A block other than the one that was needed starts the walk anew, because the chain has moved on meanwhile.
//
// A head below the tip that is on our chain changes nothing: the node lags, or the chain went back and has not said yet
// where it goes instead.
func (v *View) Connect(h Header) (Step, error) {
	if n := len(v.branch); n > 0 && (h.Hash != v.branch[n-1].Parent || h.Number+1 != v.branch[n-1].Number) {
		v.branch = nil
	}
	final := v.Final()
	if mine, ok := v.At(h.Number); h.Number < final.Number || ok && mine.Hash == h.Hash {
		v.branch = nil
		return Step{}, nil
	}
	if h.Number == final.Number {
		return v.refuse(h)
	}
	v.branch = append(v.branch, h)
	parent := Ref{h.Number - 1, h.Parent}
	mine, ok := v.At(parent.Number)
	switch {
	case ok && mine.Hash == parent.Hash:
		return v.join(mine.Ref()), nil
	case parent.Number <= final.Number:
		return v.refuse(h)
	}
	return Step{Need: &parent}, nil
}

// join puts the branch on its ancestor.
func (v *View) join(ancestor Ref) Step {
	keep := int(ancestor.Number-v.Final().Number) + 1
	step := Step{Ancestor: ancestor, Connect: v.branch}
	for _, h := range v.headers[keep:] {
		step.Disconnect = append(step.Disconnect, h.Ref())
	}
	slices.Reverse(step.Disconnect)
	slices.Reverse(step.Connect)
	v.headers, v.branch = append(v.headers[:keep], step.Connect...), nil
	return step
}

func (v *View) refuse(h Header) (Step, error) {
	v.branch = nil
	final := v.Final()
	return Step{}, fmt.Errorf("%w: block %d (%s) is no descendant of block %d (%s)", ErrBelowFinality, h.Number, h.Hash, final.Number, final.Hash)
}

// Finalize makes the block at a height final and lets go of those below it. A height above the tip means the tip, one
// below the final block nothing.
func (v *View) Finalize(number uint64) {
	if number = min(number, v.Tip().Number); number > v.Final().Number {
		v.headers = slices.Clone(v.headers[number-v.Final().Number:])
	}
}

// Final is the oldest block of the view.
func (v *View) Final() Header { return v.headers[0] }

// Tip is the newest block of the view.
func (v *View) Tip() Header { return v.headers[len(v.headers)-1] }

// At is our block at a height; ok is false outside the view.
func (v *View) At(number uint64) (h Header, ok bool) {
	if number < v.Final().Number || number > v.Tip().Number {
		return Header{}, false
	}
	return v.headers[number-v.Final().Number], true
}
