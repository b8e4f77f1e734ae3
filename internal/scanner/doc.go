// Package scanner reads chains into the record: one loop a chain, and one leader a loop.
//
// It promises that a block is recorded whole or not at all: its hash, the transfers to our addresses, the payments they
// move, their events and deliveries, and the cursor are one transaction, written behind the fence of the chain's lease. It
// never passes over a block. What it cannot explain, a gap, a short answer, two providers that disagree, it does not
// record; a reorg below the final point halts the chain until an operator accepts it.
//
// How a node is asked is internal/evm's business, what a block means internal/chain's, and what a transfer does to a
// payment internal/payments'.
package scanner
