package models

import "time"

// PaymentStatus is where a payment stands. Partial, overpaid and late are flags beside it, not statuses, because a
// payment can be late and overpaid at once.
type PaymentStatus string

const (
	// PaymentPending waits for money. A payment starts here, and comes back when a reorg takes the money away. It is left
	// when enough has arrived, when its time ends, or when the merchant cancels it.
	PaymentPending PaymentStatus = "pending"
	// PaymentDetected has enough money in blocks that are not final yet. It is left when those blocks are final, or when a
	// reorg takes the money away.
	PaymentDetected PaymentStatus = "detected"
	// PaymentConfirmed has enough money in final blocks. It is left only when the chain breaks its own finality.
	PaymentConfirmed PaymentStatus = "confirmed"
	// PaymentExpired had not enough money when a block later than expires_at was processed. It is left when a transfer in
	// time is found later, or when late money is accepted.
	PaymentExpired PaymentStatus = "expired"
	// PaymentCanceled was canceled by the merchant before anything arrived. It is never left.
	PaymentCanceled PaymentStatus = "canceled"
)

// PaymentStatuses lists every status in the order of a payment's life.
var PaymentStatuses = []PaymentStatus{PaymentPending, PaymentDetected, PaymentConfirmed, PaymentExpired,
	PaymentCanceled}

// PaymentMoves says which status may follow which, and why.
var PaymentMoves = []struct {
	From, To PaymentStatus
	Why      string
}{
	{PaymentPending, PaymentDetected, "the sum reached the amount less the tolerance"},
	{PaymentPending, PaymentExpired, "a block later than expires_at was processed"},
	{PaymentPending, PaymentCanceled, "the merchant canceled it before anything arrived"},
	{PaymentDetected, PaymentConfirmed, "what settles it is final"},
	{PaymentDetected, PaymentPending, "a reorg took the money away"},
	{PaymentDetected, PaymentExpired, "a reorg took the money away after expiry"},
	{PaymentConfirmed, PaymentDetected, "the chain broke its own finality"},
	{PaymentConfirmed, PaymentPending, "the chain broke its own finality"},
	{PaymentConfirmed, PaymentExpired, "the chain broke its own finality after expiry"},
	{PaymentExpired, PaymentDetected, "a transfer in time was found later, or late money is accepted"},
}

// CanMove reports whether the table [PaymentMoves] allows from → to.
func (from PaymentStatus) CanMove(to PaymentStatus) bool {
	for _, m := range PaymentMoves {
		if m.From == from && m.To == to {
			return true
		}
	}
	return false
}

// AssetNative is the asset id of a chain's own coin; every other asset is its lower-case contract address.
const AssetNative = "native"

// Payment is a merchant's request for an amount of one asset at one address.
type Payment struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Token      string // opens the checkout page
	OrderID    *string
	// OrderReleased is set when the payment expires, is canceled or is replaced, for good: OrderID may be another
	// payment's then.
	OrderReleased bool
	Replaces      *string // the payment whose order it took over
	ReplacedBy    *string // the payment that took its order over
	Status        PaymentStatus
	Partial       bool
	Overpaid      bool
	Late          bool
	Test          bool // on a chain marked test

	Chain         string
	ChainID       uint64
	Asset         string // AssetNative or a lower-case contract address
	AssetSymbol   string
	AssetDecimals uint8

	Address        string // lower case; shown in EIP-55
	AccountKeyID   string
	AddressIndex   uint32
	DerivationPath string

	Amount          Amount
	AmountReceived  Amount // canonical transfers, final or not
	AmountConfirmed Amount // final transfers
	// What payment.overpaid and payment.late have told the merchant so far, so that only new money is told again.
	OverpaidAnnounced Amount
	LateAnnounced     Amount
	// MisdirectedAnnounced is how many misdirected transfers were told of.
	MisdirectedAnnounced int
	ToleranceBPS         int  `gorm:"column:tolerance_bps"`
	AcceptLate           bool // the merchant's policy when the payment was made
	// What the last block showed, so that a reader needs no other table.
	Confirmations         uint64
	RequiredConfirmations uint64

	Sequence    int               // of the last event, counted from 1 without holes
	Metadata    map[string]string `gorm:"serializer:json"`
	RedirectURL string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	ExpiresAt   time.Time
	DetectedAt  *time.Time
	ConfirmedAt *time.Time
	ClosedAt    *time.Time // expired, canceled or confirmed: the monitoring window starts here, in block time
	// WatchUntil ends the monitoring window, in block time; nil while the payment is open.
	WatchUntil *time.Time
	// QuarantinedAt is set when recomputing this payment failed; the block went on without it.
	QuarantinedAt    *time.Time
	QuarantineReason string
}

// OrderCurrent reports whether what the payment receives is for its order. One that has given its order up may still be
// paid, and another payment may have been paid for the same order.
func (p Payment) OrderCurrent() bool {
	closed := p.Status == PaymentExpired || p.Status == PaymentCanceled
	return !p.OrderReleased && (p.OrderID == nil || !closed)
}

// Due is the smallest sum that settles the payment.
func (p Payment) Due() Amount { return p.Amount.LessTolerance(p.ToleranceBPS) }

// Open reports whether the payment still waits for money or for finality.
func (p Payment) Open() bool { return p.Status == PaymentPending || p.Status == PaymentDetected }
