package payments

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// DefaultExpiry is how long a payment waits when neither merchant nor operator says.
const DefaultExpiry = 30 * time.Minute

// maxMetadata bounds all keys and values of one payment's metadata together, in bytes: they are in every event of it.
const maxMetadata = 4 << 10

// maxLag is how far a chain's newest recorded block may lag behind the clock, at least, before payments on it are
// refused; chains with slow blocks get maxLagBlocks of them.
const (
	maxLag       = 2 * time.Minute
	maxLagBlocks = 20
)

// Request asks for a payment. Fields are as the merchant sent them.
type Request struct {
	Actor         models.Actor // who asks, for the audit log
	MerchantID    string
	Test          bool // asked with a ck_test_ key
	Chain         string
	Asset         string // symbol, contract address or "native"
	Amount        string // base units; "" when AmountDecimal is given
	AmountDecimal string
	OrderID       *string
	Replaces      string // a payment that gives its order up to this one; "" for none
	Metadata      map[string]string
	ExpiresIn     time.Duration // 0 means Options.Expiry
	RedirectURL   string
	ToleranceBPS  int
}

// Errors of [Service.Prepare] that are about the gateway and not about a field.
var (
	ErrChainUnavailable = errors.New("the chain stands still: no new block has been recorded")
	ErrNoAccountKey     = errors.New("the merchant has no account key yet: an operator sets one with `ctripctl merchant " +
		"set-xpub`")
	ErrMerchantPaused = errors.New("the merchant is paused by the operator")
	ErrTooManyOpen    = errors.New("the merchant has too many open payments")
)

// OrderTakenError says which payment holds the order_id.
type OrderTakenError struct{ OrderID, PaymentID string }

func (e *OrderTakenError) Error() string {
	return fmt.Sprintf("order_id %q belongs to payment %s", e.OrderID, e.PaymentID)
}

// Draft is a payment that is checked and has an address, and is not written yet. Whoever prepares one ends it with
// [Service.Commit] or [Service.Discard]; a draft that is dropped instead leaves its address unused for good.
type Draft struct {
	actor   models.Actor
	payment models.Payment
	event   models.Event
	slot    slot
	ended   *atomic.Bool
}

// Payment is the payment as Commit will write it.
func (d Draft) Payment() models.Payment { return d.payment }

// Prepare checks a request and gives the payment an address. It writes nothing but the counter of addresses. It returns
// [models.FieldErrors], [*NotReplaceableError] or one of the errors above when the request cannot be met.
func (s *Service) Prepare(ctx context.Context, r Request) (Draft, error) {
	p, err := s.check(r)
	if err != nil {
		return Draft{}, err
	}
	if err := s.replaceOf(ctx, r, &p); err != nil {
		return Draft{}, err
	}
	m, err := s.store.Merchant(ctx, r.MerchantID)
	if err != nil {
		return Draft{}, err
	}
	if err := s.mayCreate(ctx, m, p); err != nil {
		return Draft{}, err
	}
	p.AcceptLate = m.AcceptLate
	at, err := s.allocator.take(ctx, *m.AccountKeyID, m.ID, p.ChainID)
	if err != nil {
		return Draft{}, err
	}
	p.AccountKeyID, p.AddressIndex, p.Address, p.DerivationPath = *m.AccountKeyID, at.index, at.address, at.path
	e, err := s.event(Announcement{Type: webhook.PaymentCreated, Payment: p}, State{})
	if err != nil {
		s.allocator.release(p.AccountKeyID, at)
		return Draft{}, err
	}
	e.Traceparent = telemetry.CauseOf(ctx) // it is written in a transaction of several requests
	return Draft{actor: r.Actor, payment: p, event: e, slot: at, ended: new(atomic.Bool)}, nil
}

// Commit writes a draft: the payment, payment.created, the deliveries of that, the line of the audit log and the record
// of the request's idempotency key are one transaction. record is nil where the request has no key. It returns
// [*OrderTakenError], [*NotReplaceableError], an error of [store.Tx.SaveAnswers], or [ErrCommitUnknown] when the
// payment may exist all the same. Commit waits for the database even when ctx has ended, because others share the
// transaction.
func (s *Service) Commit(ctx context.Context, d Draft, record *models.IdempotencyRecord) (models.Payment, error) {
	if !d.ended.CompareAndSwap(false, true) {
		return models.Payment{}, errDraftEnded
	}
	p := d.payment
	line := auditLine(d.actor, "payment.created", p)
	n := &creation{payment: p, event: d.event, record: record, line: line, actor: d.actor}
	if p.Replaces != nil {
		line.Detail["replaces"] = *p.Replaces
	}
	if err := s.group.write(n); err != nil {
		if !errors.Is(err, ErrCommitUnknown) { // the address of a payment that may exist is never handed out again
			s.allocator.release(p.AccountKeyID, d.slot)
		}
		if errors.Is(err, store.ErrOrderTaken) {
			return models.Payment{}, s.orderTaken(ctx, p, err)
		}
		return models.Payment{}, err
	}
	s.countOpen(openKey{p.MerchantID, p.Test})
	return p, nil
}

// errDraftEnded is a mistake of the caller: committing twice would use one address for two payments.
var errDraftEnded = errors.New("payments: the draft was committed or discarded before")

// Discard gives the address of a draft that will not be committed to the next payment. A draft that has ended stays so.
func (s *Service) Discard(d Draft) {
	if d.ended.CompareAndSwap(false, true) {
		s.allocator.release(d.payment.AccountKeyID, d.slot)
	}
}

// mayCreate checks what a request does not say itself: that the merchant may have one more payment, and that the chain
// moves.
func (s *Service) mayCreate(ctx context.Context, m models.Merchant, p models.Payment) error {
	switch {
	case m.SuspendedAt != nil:
		return ErrMerchantPaused
	case m.AccountKeyID == nil:
		return ErrNoAccountKey
	}
	limit := s.maxOpen
	if m.MaxOpenPayments != nil {
		limit = *m.MaxOpenPayments
	}
	if n, err := s.openPayments(ctx, openKey{m.ID, p.Test}, limit); err != nil {
		return err
	} else if n >= limit {
		return ErrTooManyOpen
	}
	cursor, err := s.store.Cursor(ctx, p.ChainID)
	if errors.Is(err, models.ErrNotFound) {
		return ErrChainUnavailable
	} else if err != nil {
		return err
	}
	lag := max(maxLag, maxLagBlocks*s.chains[p.Chain].BlockTime)
	if cursor.HaltedAt != nil || s.now().Sub(cursor.BlockTime) > lag {
		return ErrChainUnavailable
	}
	return nil
}

func (s *Service) orderTaken(ctx context.Context, p models.Payment, err error) error {
	other, lookErr := s.store.PaymentByOrder(ctx, p.MerchantID, *p.OrderID, p.Test)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	return &OrderTakenError{OrderID: *p.OrderID, PaymentID: other.ID}
}

// openKey is whose open payments are counted: a merchant's, those of each mode by themselves.
type openKey struct {
	merchantID string
	test       bool
}

// openCount is how many open payments a merchant has, trusted for openFor.
type openCount struct {
	n  int
	at time.Time
}

// openFor is how long a count of open payments is trusted before it is taken again.
const openFor = 2 * time.Second

func (s *Service) openPayments(ctx context.Context, of openKey, limit int) (int, error) {
	s.openMu.Lock()
	c, ok := s.open[of]
	s.openMu.Unlock()
	if ok && s.now().Sub(c.at) < openFor && c.n < limit {
		return c.n, nil
	}
	n, err := s.store.CountOpenPayments(ctx, of.merchantID, of.test, limit)
	if err != nil {
		return 0, err
	}
	s.openMu.Lock()
	s.open[of] = openCount{n, s.now()}
	s.openMu.Unlock()
	return n, nil
}

func (s *Service) countOpen(of openKey) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	c := s.open[of]
	c.n++
	s.open[of] = c
}
