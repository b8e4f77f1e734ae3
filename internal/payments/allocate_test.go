package payments

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestChainIsAskedAheadOfDemand: while payments are created one after the other, only the first waits for the chain.
// What it says about later addresses is known when they are needed, also while it does not answer, and an address that
// was used before is passed over all the same.
func TestChainIsAskedAheadOfDemand(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	broken, spent := false, make(map[string]bool)
	h := newHarness(t, storetest.SQLite(t), func(o *Options) {
		o.Used = func(_ context.Context, _ uint64, addresses []string) (map[string]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return nil, errors.New("the node is away")
			}
			asked++
			answers := make(map[string]bool)
			for i, a := range addresses {
				answers[a] = asked == 2 && i == 5
				spent[a] = spent[a] || answers[a]
			}
			return answers, nil
		}
	})
	create := func(n int) error {
		for range n {
			p, err := h.ask(nil)
			if err != nil {
				return err
			}
			mu.Lock()
			bad := spent[p.Address]
			mu.Unlock()
			if bad {
				t.Errorf("%s was used before", p.Address)
			}
		}
		return nil
	}
	if err := create(lookahead/2 + 1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, "the chain is asked about the next addresses", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return asked == 2
	})
	mu.Lock()
	broken = true
	mu.Unlock()
	if err := create(2*lookahead - 1 - (lookahead/2 + 1)); err != nil {
		t.Fatal(err)
	}
	if err := create(1); !errors.Is(err, ErrChainUnavailable) {
		t.Errorf("an address of which the chain has not spoken: %v", err)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if err := create(1); err != nil {
		t.Error(err)
	}
	if len(spent) < 3*lookahead {
		t.Errorf("the chain was asked about %d addresses", len(spent))
	}
}
