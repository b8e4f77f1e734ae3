// Package scanner reads chains into the record: one loop for each chain, and one leader for each loop.
//
// It promises that a block is recorded whole or not at all: its hash, the transfers to our addresses, the payments they
// move, their events and deliveries, and the cursor are one transaction, written behind the fence of the chain's lease.
// It never skips a block. A gap, a short answer and a block that does not link are not recorded but asked for again; a
// reorg below the final point halts the chain until an operator accepts it.
//
// It does not promise that a block holds what one provider says it holds. The transactions and logs of a block come
// from the first provider that answers, and nobody else is asked about them: a provider that invents or hides a
// transfer in a block with the true hash is believed. Of two or more providers a second one is asked for the hash of
// the block that becomes final, and only for that; while it has another hash, nothing becomes final.
//
// internal/evm knows how a node is asked, internal/chain what to do about the answer ([chain.Follow]), and
// internal/payments what a transfer does to a payment.
package scanner
