package devnet

import (
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/core/types"
)

// withdrawals are what the next block pays out.
type withdrawals struct {
	mu      sync.Mutex
	next    uint64 // index of the next one
	waiting []*types.Withdrawal
}

// take hands out what waits.
func (w *withdrawals) take() []*types.Withdrawal {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.waiting
	w.waiting = nil
	return waiting
}

// Withdraw has the next block pay out so much to an address, as the consensus layer does, and returns the index of the
// withdrawal. A reorganisation keeps it, one block later, as it keeps transactions.
func (c *Chain) Withdraw(to string, gwei uint64) (index uint64, err error) {
	address, err := parseAddress(to)
	if err != nil {
		return 0, fmt.Errorf("withdraw: %w", err)
	}
	w := &c.withdrawals
	w.mu.Lock()
	defer w.mu.Unlock()
	index = w.next
	w.next++
	w.waiting = append(w.waiting, &types.Withdrawal{Index: index, Address: address, Amount: gwei})
	return index, nil
}
