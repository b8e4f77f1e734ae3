package models

import "time"

// Block is a canonical block that a scanner has recorded. A reorg deletes the rows of the branch that lost.
type Block struct {
	ChainID    uint64 `gorm:"primaryKey"`
	Number     uint64 `gorm:"primaryKey"`
	Hash       string
	ParentHash string
	Time       time.Time
	Provider   string // who gave it; "" when nobody remembers
}

// ChainCursor is how far one chain has been recorded. It moves only in the transaction that records a block.
type ChainCursor struct {
	ChainID     uint64 `gorm:"primaryKey"`
	Chain       string
	Number      uint64 // the last recorded block
	Hash        string
	BlockTime   time.Time
	HeadNumber  uint64 // what the providers last called the head
	FinalNumber uint64 // every block up to here is final
	// HaltedAt is set when the chain did something that must not be decided by a machine.
	HaltedAt   *time.Time
	HaltReason string
	UpdatedAt  time.Time
	SeenAt     *time.Time // of the last answer of the chain
	// BalancesNumber and BalancesTime are the newest block at which the balance of every open payment in the chain's own
	// coin was read; nil while balances are not read.
	BalancesNumber uint64
	BalancesTime   *time.Time
	// Known is what was found out about the chain, in the words of internal/chain.
	Known string
	// RereadNext to RereadTo are blocks that are to be read once more; both are 0 when there are none.
	RereadNext, RereadTo uint64
}

// ChainLease makes one scanner the leader of a chain. Fence grows with every change of leader; a write that carries an
// older fence is refused.
type ChainLease struct {
	ChainID   uint64 `gorm:"primaryKey"`
	Holder    string
	Fence     int64
	ExpiresAt time.Time
}
