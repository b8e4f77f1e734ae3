package evm

import (
	"math"
	"time"
)

// lessonAge is how long something that we found out about a provider is believed. Plans and nodes change, and what
// looked like a limit may have been a bad minute.
const lessonAge = 10 * time.Minute

// trait is something that providers differ in.
type trait int

const (
	batchSize        trait = iota // the most calls that it takes in one request
	logRange                      // the most blocks that it takes in one eth_getLogs
	noLogsByHash                  // it refuses or ignores blockHash in eth_getLogs
	noBlockReceipts               // it does not know eth_getBlockReceipts
	noDebugTrace                  // it does not know debug_traceBlockByHash
	noBlockTrace                  // it does not know trace_block
	noHashState                   // it refuses a block hash where state is asked for
	noMulticall                   // it finds no Multicall3
	noRawTransaction              // it gives no bytes of transactions
	noCreateCall                  // it refuses a call that creates a contract
	noTipRead                     // it does not give a block and its logs in one request
	noHistory                     // it does not search all its logs for an address, or takes too long
)

// lesson is a limit that was found out, and how long it is believed.
type lesson struct {
	limit int
	until time.Time
}

// learn notes a limit.
func (pr *provider) learn(t trait, limit int) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.learned[t] = lesson{max(limit, 1), pr.now().Add(lessonAge)}
}

// limit is what was learned of a trait, or as good as none.
func (pr *provider) limit(t trait) int {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if l, ok := pr.learned[t]; ok && pr.now().Before(l.until) {
		return l.limit
	}
	return math.MaxInt
}

// lacks reports whether a provider was found to lack something.
func (pr *provider) lacks(t trait) bool { return pr.limit(t) != math.MaxInt }
