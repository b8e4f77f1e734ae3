package models

import "time"

// DoubtStatus is where a doubt stands.
type DoubtStatus string

// A doubt is open until a provider's answer or an operator settles it.
const (
	DoubtOpen     DoubtStatus = "open"
	DoubtAccepted DoubtStatus = "accepted" // the transfer counts
	DoubtRejected DoubtStatus = "rejected" // it does not
)

// Kinds of doubts.
const (
	DoubtInvented = "invented" // it was recorded, and another provider contradicts it
	DoubtHidden   = "hidden"   // it was not recorded, and another provider tells of it
	DoubtUnproven = "unproven" // it was recorded, and no other provider can tell
	DoubtProof    = "proof"    // it was recorded, and what the providers say of its block does not hash to the block
	DoubtGross    = "gross"    // it was recorded, and the balance of the address grew by less
	// the balance of the address, and providers that differ about it or an account that was used
	DoubtBalance = "balance"
)

// ProviderAnswer is what one provider says about the transfer of a doubt.
type ProviderAnswer struct {
	Provider string `json:"provider"`
	Known    bool   `json:"known"` // it can tell
	Holds    bool   `json:"holds"` // its block holds the transfer
	// Proven says that what it told hashes to the hash of the block.
	Proven bool   `json:"proven,omitempty"`
	Text   string `json:"text"`
}

// Recorded reports whether a doubt of a kind is about a transfer that is recorded.
func (d Doubt) Recorded() bool { return d.Kind != DoubtHidden && d.Kind != DoubtBalance }

// Doubt is a contradiction about a transfer to a payment. It holds up that transfer, and nothing else of the chain; the
// payment does not expire while it is open.
type Doubt struct {
	ID         string `gorm:"primaryKey"` // dbt_…
	Kind       string
	Status     DoubtStatus
	Chain      string
	ChainID    uint64
	PaymentID  string
	MerchantID string

	TxHash    string
	Asset     string
	Recipient string
	Ordinal   int
	Sender    string
	Amount    Amount
	LogIndex  *int
	Source    string

	BlockNumber uint64
	BlockHash   string
	BlockTime   time.Time
	Answers     []ProviderAnswer `gorm:"serializer:json"`
	SettledBy   string
	Reason      string
	SettledAt   *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}
