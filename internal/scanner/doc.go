// Package scanner reads chains into the record: one loop for each chain, and one leader for each loop.
//
// It promises that a block is recorded whole or not at all: its hash, the transfers to our addresses, the payments they
// move, their events and deliveries, and the cursor are one transaction, written behind the fence of the chain's lease.
// It never skips a block. A gap, a short answer and a block that does not link are not recorded but asked for again; a
// reorg below the final point halts the chain until an operator accepts it.
//
// Before money is final its block is held against its hash, where the chain can be proven, and a second provider, where
// there is one, has read the block by itself and tells the same transfers. What contradicts that is taken off or
// doubted, and holds up nothing else. With one provider, whoever invents whole blocks with their hashes is believed.
//
// internal/evm knows how a node is asked, internal/chain what to do about the answer ([chain.Follow]), and
// internal/payments what a transfer does to a payment.
package scanner
