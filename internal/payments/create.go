package payments

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// DefaultExpiry is how long a payment waits when neither merchant nor operator says (ruling 4).
const DefaultExpiry = 30 * time.Minute

// maxMetadata bounds all keys and values of one payment's metadata together, in bytes (ruling 1).
const maxMetadata = 4 << 10

// standstill is how far a chain's newest recorded block may lag behind the clock, at least, before payments on it are
// refused; chains with slow blocks get stallBlocks of them.
const (
	standstill  = 2 * time.Minute
	stallBlocks = 20
)

// Request asks for a payment. Fields are as the merchant sent them.
type Request struct {
	MerchantID    string
	Test          bool // asked with a ck_test_ key
	Chain         string
	Asset         string // symbol, contract address or "native"
	Amount        string // base units; "" when AmountDecimal is given
	AmountDecimal string
	OrderID       *string
	Metadata      map[string]string
	ExpiresIn     time.Duration // 0 means Options.Expiry
	RedirectURL   string
	ToleranceBPS  int
}

// Errors of [Service.Create] that are about the gateway and not about a field.
var (
	ErrChainUnavailable = errors.New("the chain stands still: no new block has been recorded")
	ErrNoAccountKey     = errors.New("the merchant has no account key yet: an operator sets one with `ctripctl merchant set-xpub`")
	ErrMerchantPaused   = errors.New("the merchant is paused by the operator")
	ErrTooManyOpen      = errors.New("the merchant has too many open payments")
)

// OrderTakenError says which payment holds the order_id.
type OrderTakenError struct{ OrderID, PaymentID string }

func (e *OrderTakenError) Error() string {
	return fmt.Sprintf("order_id %q belongs to payment %s", e.OrderID, e.PaymentID)
}

// Create makes a payment and announces it: the payment, its address, payment.created, the deliveries of that and the
// answer to its idempotency key are one transaction. answer makes the record of the key; it
// is nil, or returns nil, where the request has none. It returns [models.Faults], [*OrderTakenError], one of the errors above or those of [store.Tx.KeepAnswers] when the
// request cannot be met.
func (s *Service) Create(ctx context.Context, r Request, answer func(models.Payment) (*models.IdempotencyRecord, error)) (models.Payment, error) {
	p, err := s.draft(r)
	if err != nil {
		return models.Payment{}, err
	}
	m, err := s.store.Merchant(ctx, r.MerchantID)
	if err != nil {
		return models.Payment{}, err
	}
	if err := s.admit(ctx, m, p); err != nil {
		return models.Payment{}, err
	}
	p.AcceptLate = m.AcceptLate
	place, err := s.allocator.take(ctx, *m.AccountKeyID, m.ID, p.ChainID)
	if err != nil {
		return models.Payment{}, err
	}
	p.AccountKeyID, p.AddressIndex, p.Address, p.DerivationPath = *m.AccountKeyID, place.index, place.address, place.path
	if err := s.commit(p, answer); err != nil {
		if !errors.As(err, new(unsureError)) { // what may exist has an address that is never handed out again
			s.allocator.giveBack(*m.AccountKeyID, place)
		}
		if errors.Is(err, store.ErrOrderTaken) {
			return models.Payment{}, s.orderTaken(ctx, r.MerchantID, *p.OrderID, err)
		}
		return models.Payment{}, err
	}
	s.countOpen(m.ID)
	return p, nil
}

// commit writes a new payment with its event and answer.
func (s *Service) commit(p models.Payment, answer func(models.Payment) (*models.IdempotencyRecord, error)) error {
	e, err := s.event(Announcement{Type: webhook.PaymentCreated, Payment: p}, nil, nil)
	if err != nil {
		return err
	}
	n := creation{payment: p, event: e}
	if answer != nil {
		if n.answer, err = answer(p); err != nil {
			return err
		}
	}
	return s.committer.commit(&n)
}

// draft checks every field against the rules and returns the payment without its address.
func (s *Service) draft(r Request) (models.Payment, error) {
	var faults models.Faults
	fault := func(field, example, format string, args ...any) {
		faults = append(faults, models.Fault{Field: field, Message: fmt.Sprintf(format, args...), Example: example})
	}
	now := s.now()
	p := models.Payment{
		ID: models.NewID(models.PrefixPayment, now), MerchantID: r.MerchantID, Token: models.NewToken(models.PrefixCheckout),
		OrderID: r.OrderID, Status: models.PaymentPending, ToleranceBPS: r.ToleranceBPS, Metadata: r.Metadata,
		RedirectURL: r.RedirectURL, Sequence: 1, CreatedAt: now, UpdatedAt: now,
	}
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	chain, ok := s.chains[r.Chain]
	switch {
	case !ok:
		fault("chain", s.someChain(r.Test), "is not a chain of this gateway: %q", clip(r.Chain))
	case r.Test && !chain.Test:
		fault("chain", s.someChain(true), "is not a test chain, and this is a test key: %q", clip(r.Chain))
		ok = false
	default:
		p.Chain, p.ChainID, p.Test, p.RequiredConfirmations = chain.Name, chain.ChainID, chain.Test, chain.Finality.Depth
	}
	if ok {
		asset, problem := resolve(chain, r.Asset)
		if problem != "" {
			fault("asset", "native", "%s", problem)
		} else {
			p.Asset, p.AssetSymbol, p.AssetDecimals = asset.id, asset.symbol, asset.decimals
			field, example := "amount", "1500000"
			amount, err := models.Amount{}, error(nil)
			switch {
			case r.Amount != "" && r.AmountDecimal != "":
				fault("amount_decimal", "1.5", "cannot be given together with amount")
			case r.AmountDecimal != "":
				field, example = "amount_decimal", "1.5"
				amount, err = models.ParseDecimal(r.AmountDecimal, asset.decimals)
			default:
				amount, err = models.ParseAmount(r.Amount)
			}
			if errors.Is(err, models.ErrAmountPrecision) {
				fault(field, example, "has more decimal places than %s has (%d)", asset.symbol, asset.decimals)
			} else if err != nil {
				fault(field, example, "%s", err.Error())
			} else if amount.Sign() == 0 && len(faults) == 0 {
				fault(field, example, "must be more than zero")
			}
			p.Amount = amount
		}
	}
	if r.ExpiresIn == 0 {
		r.ExpiresIn = s.expiry
	}
	p.ExpiresAt = now.Add(r.ExpiresIn)
	if n := metadataSize(r.Metadata); n > maxMetadata {
		fault("metadata", `{"cart":"9"}`, "is %d bytes in all, and at most %d are kept", n, maxMetadata)
	}
	if r.RedirectURL != "" {
		u, err := url.Parse(r.RedirectURL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			fault("redirect_url", "https://shop.example/thanks", "is not an absolute http or https URL")
		}
	}
	if faults != nil {
		return models.Payment{}, faults
	}
	return p, nil
}

// admit checks what a request cannot say about itself: that the chain moves, and that the merchant may have one more.
func (s *Service) admit(ctx context.Context, m models.Merchant, p models.Payment) error {
	switch {
	case m.PausedAt != nil:
		return ErrMerchantPaused
	case m.AccountKeyID == nil:
		return ErrNoAccountKey
	}
	limit := s.maxOpen
	if m.MaxOpenPayments != nil {
		limit = *m.MaxOpenPayments
	}
	if n, err := s.openPayments(ctx, m.ID, limit); err != nil {
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
	patience := max(standstill, stallBlocks*s.chains[p.Chain].BlockTime)
	if cursor.HaltedAt != nil || s.now().Sub(cursor.BlockTime) > patience {
		return ErrChainUnavailable
	}
	return nil
}

func (s *Service) orderTaken(ctx context.Context, merchantID, orderID string, err error) error {
	other, lookErr := s.store.PaymentByOrder(ctx, merchantID, orderID)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	return &OrderTakenError{OrderID: orderID, PaymentID: other.ID}
}

// openCount remembers how many open payments a merchant has, for openFor.
type openCount struct {
	n  int
	at time.Time
}

// openFor is how long a count of open payments is trusted before it is taken again.
const openFor = 2 * time.Second

func (s *Service) openPayments(ctx context.Context, merchantID string, limit int) (int, error) {
	s.openMu.Lock()
	c, ok := s.open[merchantID]
	s.openMu.Unlock()
	if ok && s.now().Sub(c.at) < openFor && c.n < limit {
		return c.n, nil
	}
	n, err := s.store.CountOpenPayments(ctx, merchantID, limit)
	if err != nil {
		return 0, err
	}
	s.openMu.Lock()
	s.open[merchantID] = openCount{n, s.now()}
	s.openMu.Unlock()
	return n, nil
}

func (s *Service) countOpen(merchantID string) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	c := s.open[merchantID]
	c.n++
	s.open[merchantID] = c
}

type asset struct {
	id       string
	symbol   string
	decimals uint8
}

// resolve finds an asset of a chain by symbol, contract address or "native". The second answer says what is wrong.
func resolve(c config.Chain, name string) (asset, string) {
	if name == models.AssetNative || strings.EqualFold(name, c.Native.Symbol) {
		return asset{models.AssetNative, c.Native.Symbol, c.Native.Decimals}, ""
	}
	contract := ""
	if strings.HasPrefix(name, "0x") || strings.HasPrefix(name, "0X") {
		address, err := wallet.ParseAddress(name)
		if err != nil {
			return asset{}, fmt.Sprintf("is not a contract address: %v", err)
		}
		contract = address
	}
	for _, t := range c.Tokens {
		if contract != "" && t.Contract == contract || contract == "" && strings.EqualFold(t.Symbol, name) {
			return asset{t.Contract, t.Symbol, t.Decimals}, ""
		}
	}
	return asset{}, fmt.Sprintf("is not listed on chain %s: %q", c.Name, clip(name))
}

// someChain names a chain that a merchant could have meant.
func (s *Service) someChain(test bool) string {
	best := ""
	for name, c := range s.chains {
		if (!test || c.Test) && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

func metadataSize(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// clip shortens what a merchant sent before it is shown back.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
