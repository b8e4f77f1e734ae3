package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// ErrOrderTaken says that a merchant's order_id names another payment of the same mode that has not given it up.
var ErrOrderTaken = errors.New("store: order_id is taken by another payment")

// InsertPayments writes payments and their rows in the book of addresses. It returns [ErrOrderTaken] when an order_id
// is in use, and [ErrLockTimeout] when another transaction that uses it takes longer than we wait.
func (tx *Tx) InsertPayments(ctx context.Context, ps []models.Payment) error {
	if err := tx.with(ctx).Create(&ps).Error; err != nil {
		if violates(err, "payments_order", "payments.order_id") {
			return ErrOrderTaken
		}
		return wrap("insert payments", err)
	}
	book := make([]Address, len(ps))
	for i, p := range ps {
		book[i] = Address{
			Address: p.Address, AccountKeyID: p.AccountKeyID, AddressIndex: p.AddressIndex, DerivationPath: p.DerivationPath,
			MerchantID: p.MerchantID, PaymentID: &p.ID, CreatedAt: p.CreatedAt,
		}
	}
	return wrap("insert addresses", tx.with(ctx).Create(&book).Error)
}

// Payment reads one payment of a merchant.
func (q *Queries) Payment(ctx context.Context, merchantID, id string) (models.Payment, error) {
	var p models.Payment
	err := q.with(ctx).Where("merchant_id = ? AND id = ?", merchantID, id).Take(&p).Error
	return p, one("payment "+id, err)
}

// PaymentByToken reads the payment that a checkout link opens.
func (q *Queries) PaymentByToken(ctx context.Context, token string) (models.Payment, error) {
	var p models.Payment
	err := q.with(ctx).Where("token = ?", token).Take(&p).Error
	return p, one("payment by token", err)
}

// PaymentByOrder reads the payment of a mode that holds a merchant's order_id.
func (q *Queries) PaymentByOrder(ctx context.Context, merchantID, orderID string, test bool) (models.Payment, error) {
	var p models.Payment
	err := q.with(ctx).Where("merchant_id = ? AND test = ? AND order_id = ? AND NOT order_released AND "+
		"status NOT IN ('expired', 'canceled')", merchantID, test, orderID).Take(&p).Error
	return p, one("payment by order", err)
}

// CountOpenPayments counts a merchant's payments of a mode that wait for money or finality, up to limit.
func (q *Queries) CountOpenPayments(ctx context.Context, merchantID string, test bool, limit int) (int, error) {
	var n int64
	open := q.with(ctx).Table("payments").Select("1").
		Where("merchant_id = ? AND test = ? AND status IN ('pending', 'detected')", merchantID, test).Limit(limit)
	err := q.with(ctx).Table("(?) AS open_payments", open).Count(&n).Error
	return int(n), wrap("count open payments", err)
}

// LockPayments reads payments by id, in the order of the id, and locks their rows until the transaction ends.
func (tx *Tx) LockPayments(ctx context.Context, ids []string) ([]models.Payment, error) {
	var ps []models.Payment
	for start := 0; start < len(ids); start += chunk {
		var some []models.Payment
		err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Payment{}, "")+" FROM payments WHERE id IN ? ORDER BY id"+
			tx.dialect.forUpdate(),
			ids[start:min(start+chunk, len(ids))]).Scan(&some).Error
		if err != nil {
			return nil, wrap("lock payments", err)
		}
		ps = append(ps, some...)
	}
	return ps, nil
}

// SavePayment writes what can change of a payment.
func (tx *Tx) SavePayment(ctx context.Context, p models.Payment) error {
	err := tx.with(ctx).Model(&models.Payment{}).Where("id = ?", p.ID).Updates(map[string]any{
		"status": p.Status, "order_released": p.OrderReleased, "replaced_by": p.ReplacedBy, "partial": p.Partial,
		"overpaid": p.Overpaid, "late": p.Late,
		"amount_received": p.AmountReceived, "amount_confirmed": p.AmountConfirmed,
		"overpaid_announced": p.OverpaidAnnounced, "late_announced": p.LateAnnounced,
		"misdirected_announced": p.MisdirectedAnnounced,
		"confirmations":         p.Confirmations, "sequence": p.Sequence, "updated_at": p.UpdatedAt,
		"detected_at": p.DetectedAt, "confirmed_at": p.ConfirmedAt, "closed_at": p.ClosedAt, "watch_until": p.WatchUntil,
		"quarantined_at": p.QuarantinedAt, "quarantine_reason": p.QuarantineReason,
	}).Error
	return wrap("save payment "+p.ID, err)
}

// SaveMetadata writes the metadata of a payment, which [Tx.SavePayment] leaves alone.
func (tx *Tx) SaveMetadata(ctx context.Context, p models.Payment) error {
	return wrap("save metadata of "+p.ID, tx.with(ctx).Model(&p).Select("metadata", "updated_at").Updates(&p).Error)
}

// Quarantine marks a payment that could not be recomputed; the block goes on without it.
func (tx *Tx) Quarantine(ctx context.Context, id, reason string, at time.Time) error {
	return wrap("quarantine "+id, tx.with(ctx).Model(&models.Payment{}).Where("id = ?", id).
		Updates(map[string]any{"quarantined_at": at, "quarantine_reason": reason, "updated_at": at}).Error)
}

// Expiring returns the ids of a chain's pending payments whose time ended before blockTime, or before coinTime for
// those in the chain's own coin. A payment with an open doubt does not expire.
func (tx *Tx) Expiring(ctx context.Context, chainID uint64, blockTime, coinTime time.Time) ([]string, error) {
	var ids []string
	err := tx.with(ctx).Model(&models.Payment{}).
		Where("chain_id = ? AND status = 'pending' AND expires_at < ? AND quarantined_at IS NULL", chainID, blockTime).
		Where("asset <> 'native' OR expires_at < ?", coinTime).
		Where("NOT EXISTS (SELECT 1 FROM doubts d WHERE d.payment_id = payments.id AND d.status = 'open')").
		Order("id").Pluck("id", &ids).Error
	return ids, wrap("expiring payments", err)
}

// CoinPayment is a payment in a chain's own coin whose balance is to be read.
type CoinPayment struct {
	ID        string
	Address   string
	CreatedAt time.Time
}

// CoinPayments reads payments in a chain's own coin, newest first, below an id ("" for the newest): those that are
// open, and after them, when closed is set, those that expired and are still watched at that block time.
func (q *Queries) CoinPayments(
	ctx context.Context, chainID uint64, below string, closed *time.Time, limit int,
) ([]CoinPayment, error) {
	db := q.with(ctx).Table("payments").Select("id", "address", "created_at").
		Where("chain_id = ? AND asset = 'native'", chainID).Order("id DESC").Limit(limit)
	if closed == nil {
		db = db.Where("status IN ('pending', 'detected')")
	} else {
		db = db.Where("status IN ('expired', 'canceled') AND watch_until >= ?", *closed)
	}
	if below != "" {
		db = db.Where("id < ?", below)
	}
	var ps []CoinPayment
	return ps, wrap("payments in coin", db.Find(&ps).Error)
}

// Quarantined returns the ids of payments that wait for another try since before.
func (q *Queries) Quarantined(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := q.with(ctx).Model(&models.Payment{}).Where("quarantined_at < ?",
		before).Order("quarantined_at").Limit(limit).Pluck("id", &ids).Error
	return ids, wrap("quarantined payments", err)
}

// QuarantinedPayments reads the payments that are set aside, those that wait longest first.
func (q *Queries) QuarantinedPayments(ctx context.Context, limit int) ([]models.Payment, error) {
	var ps []models.Payment
	err := q.with(ctx).Where("quarantined_at IS NOT NULL").Order("quarantined_at, id").Limit(limit).Find(&ps).Error
	return ps, wrap("quarantined payments", err)
}

// Announced is what an event told a merchant about a payment, without its body.
type Announced struct {
	ID        string
	PaymentID string
	Type      string
	Sequence  int
	Retracts  []string `gorm:"serializer:json"`
	CreatedAt time.Time
}

// TableName reads the events table.
func (Announced) TableName() string { return "events" }

// AnnouncedFor reads what was announced of the given payments, in the order of the sequence.
func (q *Queries) AnnouncedFor(ctx context.Context, paymentIDs []string) (map[string][]Announced, error) {
	all := make(map[string][]Announced)
	for start := 0; start < len(paymentIDs); start += chunk {
		var some []Announced
		err := q.with(ctx).Select("id", "payment_id", "type", "sequence", "retracts", "created_at").
			Where("payment_id IN ?", paymentIDs[start:min(start+chunk,
				len(paymentIDs))]).Order("payment_id, sequence").Find(&some).Error
		if err != nil {
			return nil, wrap("events of payments", err)
		}
		for _, a := range some {
			all[a.PaymentID] = append(all[a.PaymentID], a)
		}
	}
	return all, nil
}

// Savepoint runs f so that its writes can be given up without giving up the transaction. Deliveries it wrote are told
// after the commit only when it succeeded.
func (tx *Tx) Savepoint(ctx context.Context, f func(*Tx) error) error {
	var inner Tx
	err := tx.with(ctx).Transaction(func(db *gorm.DB) error {
		inner = Tx{Queries: Queries{db: db, dialect: tx.dialect}}
		return f(&inner)
	})
	if err == nil {
		tx.written = append(tx.written, inner.written...)
		tx.afterCommit = append(tx.afterCommit, inner.afterCommit...)
		tx.events = append(tx.events, inner.events...)
	}
	return err
}
