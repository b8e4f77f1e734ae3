package webhook

import "time"

const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is a moment as the wire writes it: RFC 3339, UTC, always three decimals of a second.
type Time struct{ time.Time }

// At is t as the wire writes it, cut to the millisecond.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// AtPtr is [At] for a moment that may not have come yet.
func AtPtr(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	at := At(*t)
	return &at
}

// MarshalJSON writes "2026-11-23T10:00:00.123Z".
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"` + timeLayout + `"`)), nil
}

// MarshalText writes 2026-11-23T10:00:00.123Z.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.UTC().Format(timeLayout)), nil }

// Payment is a payment as it stood when the event happened. Members that have no value are null, never left out.
type Payment struct {
	ID       string  `json:"id"`       // pay_…
	Sequence int     `json:"sequence"` // counts this payment's events from 1, without holes
	OrderID  *string `json:"order_id"`
	// OrderCurrent is false once the payment has given its order up, because it expired, was canceled or was replaced.
	// Do not fulfil the order for it then: another payment may have been paid for the same one.
	OrderCurrent          bool              `json:"order_current"`
	Replaces              *string           `json:"replaces"`    // the payment whose order it took over
	ReplacedBy            *string           `json:"replaced_by"` // the payment that took its order over
	Status                string            `json:"status"`      // pending, detected, confirmed, expired or canceled
	Partial               bool              `json:"partial"`
	Overpaid              bool              `json:"overpaid"`
	Late                  bool              `json:"late"`
	Chain                 string            `json:"chain"`
	ChainID               uint64            `json:"chain_id"`
	Test                  bool              `json:"test"` // on a test chain: its money is worth nothing
	Asset                 Asset             `json:"asset"`
	Address               string            `json:"address"` // EIP-55
	DerivationPath        string            `json:"derivation_path"`
	Amount                string            `json:"amount"` // base units, as are the two below; 0…2^256−1
	AmountDecimal         string            `json:"amount_decimal"`
	AmountReceived        string            `json:"amount_received"`
	AmountReceivedDecimal string            `json:"amount_received_decimal"`
	AmountConfirmed       string            `json:"amount_confirmed"`
	Confirmations         uint64            `json:"confirmations"`
	RequiredConfirmations uint64            `json:"required_confirmations"`
	CreatedAt             Time              `json:"created_at"`
	ExpiresAt             Time              `json:"expires_at"`
	ConfirmedAt           *Time             `json:"confirmed_at"`
	UpdatedAt             Time              `json:"updated_at"`
	Metadata              map[string]string `json:"metadata"`
	CheckoutURL           *string           `json:"checkout_url"`
	RedirectURL           *string           `json:"redirect_url"`
	// PaymentURI is the EIP-681 link to pay what is missing, nil when there is nothing to pay.
	PaymentURI *string `json:"payment_uri"`
	// Transfers lists at most MaxTransfers, oldest first; TransfersTotal counts all.
	Transfers      []Transfer `json:"transfers"`
	TransfersTotal int        `json:"transfers_total"`
	// Doubts are transfers that wait for the operator, MaxTransfers at most. The payment does not expire meanwhile.
	Doubts []Doubt `json:"doubts"`
}

// MarshalJSON writes the fields in order, an empty object or list where there is nothing, and of more than
// [MaxTransfers] transfers the last ones. TransfersTotal is never less than the transfers given.
func (p Payment) MarshalJSON() ([]byte, error) {
	type plain Payment
	p.TransfersTotal = max(p.TransfersTotal, len(p.Transfers))
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	if p.Transfers == nil {
		p.Transfers = []Transfer{}
	}
	if p.Doubts == nil {
		p.Doubts = []Doubt{}
	}
	p.Doubts = p.Doubts[:min(len(p.Doubts), MaxTransfers)]
	if over := len(p.Transfers) - MaxTransfers; over > 0 {
		p.Transfers = p.Transfers[over:]
	}
	return marshal(plain(p))
}

// Asset is what is paid. Contract is null for the chain's own coin.
type Asset struct {
	Symbol   string  `json:"symbol"`
	Contract *string `json:"contract"` // EIP-55
	Decimals uint8   `json:"decimals"`
}

// Where a transfer was found. The list is open: take a source that you do not know for another way in.
const (
	SourceChain      = "chain"      // the recipient of a transaction, or a log of a token
	SourceLog        = "log"        // a log of the chain about its own coin
	SourceTrace      = "trace"      // a call that a contract made
	SourceWithdrawal = "withdrawal" // of the consensus layer
	SourceBalance    = "balance"    // what the address holds beyond the transfers that were found
)

// Transfer is money that reached the address. The same transaction may hold several.
type Transfer struct {
	TxHash         *string `json:"tx_hash"`   // null when Source is withdrawal or balance
	LogIndex       *int    `json:"log_index"` // null for the chain's own coin
	From           *string `json:"from"`      // EIP-55; null when Source is withdrawal or balance
	Amount         string  `json:"amount"`    // base units
	BlockNumber    uint64  `json:"block_number"`
	BlockHash      string  `json:"block_hash"`
	BlockTimestamp Time    `json:"block_timestamp"`
	Confirmations  uint64  `json:"confirmations"`
	Status         string  `json:"status"` // seen, confirmed or orphaned
	Source         string  `json:"source"`
}

// Doubt is a transfer about which the nodes of its chain contradict each other. It confirms nothing before it is
// settled.
type Doubt struct {
	ID          string  `json:"id"`   // dbt_…
	Kind        string  `json:"kind"` // invented, hidden, unproven or balance; more may come
	Chain       string  `json:"chain"`
	ChainID     uint64  `json:"chain_id"`
	Asset       Asset   `json:"asset"`
	Amount      string  `json:"amount"`  // base units
	TxHash      *string `json:"tx_hash"` // null for what only a balance shows
	BlockNumber uint64  `json:"block_number"`
	BlockHash   string  `json:"block_hash"`
	CreatedAt   Time    `json:"created_at"`
}

// Misdirected is a transfer of an asset, or on a chain, that the payment did not ask for. It counts towards nothing.
// The first five of a payment have an event each; then one event may tell of several, and shows the newest.
type Misdirected struct {
	Chain    string   `json:"chain"`
	ChainID  uint64   `json:"chain_id"`
	Asset    Asset    `json:"asset"`
	Transfer Transfer `json:"transfer"`
	// TransfersNew is how many transfers this event tells of, TransfersTotal how many there are of the payment so far.
	TransfersNew   int `json:"transfers_new"`
	TransfersTotal int `json:"transfers_total"`
	// Totals sums up all of them by chain and asset, at most [MaxTransfers] of these.
	Totals []MisdirectedTotal `json:"totals"`
}

// MisdirectedTotal is all that a payment was sent of an asset, or on a chain, that it did not ask for.
type MisdirectedTotal struct {
	Chain     string `json:"chain"`
	ChainID   uint64 `json:"chain_id"`
	Asset     Asset  `json:"asset"`
	Amount    string `json:"amount"` // base units
	Transfers int    `json:"transfers"`
}

// Endpoint is the endpoint that endpoint.* and webhook.test tell about. Members that have no value are null.
type Endpoint struct {
	ID              string  `json:"id"` // we_…
	URL             string  `json:"url"`
	Status          string  `json:"status"` // enabled, disabled or paused
	DisabledReason  *string `json:"disabled_reason"`
	SecretCreatedAt *Time   `json:"secret_created_at"`
	// SecretExpiresAt is when the secret reaches its greatest age and edits are refused until it is rotated.
	SecretExpiresAt *Time `json:"secret_expires_at"`
}
