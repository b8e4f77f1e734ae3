package chain_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// numbered makes a header of a branch: its hash is its number and the branch, its parent the block below of parentBranch.
func numbered(number uint64, branch, parentBranch byte) chain.Header {
	return chain.Header{Number: number, Hash: chain.Hash{byte(number), branch}, Parent: chain.Hash{byte(number - 1), parentBranch}}
}

func ExampleView_Connect() {
	view, err := chain.NewView(numbered(10, 'a', 'a'), numbered(11, 'a', 'a'), numbered(12, 'a', 'a'))
	if err != nil {
		panic(err)
	}
	print := func(step chain.Step, err error) {
		fmt.Print("need ", step.Need != nil, ", go")
		for _, ref := range step.Disconnect {
			fmt.Print(" ", ref.Number, string(ref.Hash[1]))
		}
		fmt.Print(", come")
		for _, h := range step.Connect {
			fmt.Print(" ", h.Number, string(h.Hash[1]))
		}
		fmt.Println(",", errors.Is(err, chain.ErrBelowFinality))
	}
	print(view.Connect(numbered(13, 'a', 'a'))) // the next block
	print(view.Connect(numbered(12, 'a', 'a'))) // a node that lags
	print(view.Connect(numbered(14, 'b', 'b'))) // a head whose parent we do not have,
	print(view.Connect(numbered(13, 'b', 'b'))) // nor its parent's,
	print(view.Connect(numbered(12, 'b', 'a'))) // until the branches meet at 11
	view.Finalize(12)
	print(view.Connect(numbered(13, 'c', 'c'))) // would replace 12
	// Output:
	// need false, go, come 13a, false
	// need false, go, come, false
	// need true, go, come, false
	// need true, go, come, false
	// need false, go 13a 12a, come 12b 13b 14b, false
	// need false, go, come, true
}

func ExampleConfirmations() {
	fmt.Println(chain.Confirmations(100, 100), chain.Confirmations(100, 89), chain.Confirmations(100, 101))
	// Output: 1 12 0
}

func ExampleFinalPoint() {
	tag := uint64(64)
	fmt.Println(chain.FinalPoint(100, &tag, 12), chain.FinalPoint(60, &tag, 12), chain.FinalPoint(100, nil, 12))
	// Output: 64 60 89
}

func TestNewViewRefusesHoles(t *testing.T) {
	for name, headers := range map[string][]chain.Header{
		"none":         nil,
		"a hole":       {numbered(1, 'a', 'a'), numbered(3, 'a', 'a')},
		"two branches": {numbered(1, 'a', 'a'), numbered(2, 'b', 'b')},
		"a lie":        {numbered(1, 'a', 'a'), {Number: 7, Hash: chain.Hash{7}, Parent: chain.Hash{1, 'a'}}},
	} {
		if _, err := chain.NewView(headers...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestConnectRefuses: every block that contradicts the final one, however it is met, and the view stays what it was.
func TestConnectRefuses(t *testing.T) {
	for name, walk := range map[string][]chain.Header{
		"another final block":        {numbered(10, 'b', 'b')},
		"a child of another one":     {numbered(11, 'b', 'b')},
		"a branch that goes too low": {numbered(13, 'b', 'b'), numbered(12, 'b', 'b'), numbered(11, 'b', 'b')},
	} {
		view, err := chain.NewView(numbered(10, 'a', 'a'), numbered(11, 'a', 'a'), numbered(12, 'a', 'a'))
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range walk {
			step, err := view.Connect(h)
			if last := i == len(walk)-1; last != errors.Is(err, chain.ErrBelowFinality) || last == (step.Need != nil) {
				t.Errorf("%s: block %d: %+v, %v", name, h.Number, step, err)
			}
		}
		if view.Tip() != numbered(12, 'a', 'a') || view.Final() != numbered(10, 'a', 'a') {
			t.Errorf("%s: the view changed to %v", name, view.Tip())
		}
		if step, err := view.Connect(numbered(13, 'a', 'a')); err != nil || len(step.Connect) != 1 {
			t.Errorf("%s: the chain cannot go on: %+v, %v", name, step, err)
		}
	}
}
