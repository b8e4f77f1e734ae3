package models

import "time"

// TransferStatus is where a transfer stands on its chain.
type TransferStatus string

// A transfer is seen in a block, then final; a reorg orphans it, and it may be mined again.
const (
	TransferSeen      TransferStatus = "seen"
	TransferConfirmed TransferStatus = "confirmed"
	TransferOrphaned  TransferStatus = "orphaned"
)

// Sources of a transfer. The list is open: another way in may get a name of its own.
const (
	SourceChain      = "chain"      // the recipient of a transaction, or a log of a token
	SourceLog        = "log"        // a log of the chain about its own coin
	SourceTrace      = "trace"      // a call that a contract made
	SourceWithdrawal = "withdrawal" // of the consensus layer; Ordinal is its index
	SourceBalance    = "balance"    // what the address holds beyond the transfers that were found
)

// Transfer is money that reached a watched address. Its identity is (chain id, tx hash, asset, recipient, ordinal):
// the ordinal counts that transaction's transfers of the same asset to the same recipient, so it survives a re-mining
// that moves the log index. A transfer that was orphaned and mined again is the same row.
type Transfer struct {
	ID         string `gorm:"primaryKey"`
	PaymentID  string
	MerchantID string
	ChainID    uint64
	TxHash     string // "" when Source is withdrawal or balance
	Asset      string
	Recipient  string
	Ordinal    int
	Sender     string
	Amount     Amount
	LogIndex   *int // nil for native transfers
	Status     TransferStatus
	Source     string
	// Misdirected marks an asset or a chain that the payment did not ask for; it is reported and never counted.
	Misdirected bool
	Witness     string // the provider that told of it too, beside the one that gave the block; "" while none did
	DoubtID     *string

	BlockNumber    uint64
	BlockHash      string
	BlockTime      time.Time
	FirstBlockTime time.Time // of the first block it was ever mined in: judges expiry
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Canonical reports whether the transfer is on the chain as the scanner knows it.
func (t Transfer) Canonical() bool { return t.Status != TransferOrphaned }

// Counts reports whether the transfer adds to its payment's sums.
func (t Transfer) Counts() bool { return t.Canonical() && !t.Misdirected }
