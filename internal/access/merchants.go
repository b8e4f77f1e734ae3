package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// CreateMerchant makes a merchant, with an account key when xpub is not "". It returns the first address of the key,
// which the owner compares with what their wallet shows. It fails with [models.FieldErrors] or [ErrForeignXPub].
func (s *Service) CreateMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, name,
	xpub string) (m models.Merchant, firstAddress string, err error) {
	if problem := badName(name); problem != "" {
		return m, "", models.FieldErrors{{Field: "name", Message: problem, Example: "Tea & Sons"}}
	}
	now := s.now()
	m = models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: name, CreatedAt: now, UpdatedAt: now}
	if err := tx.InsertMerchant(ctx, m); err != nil {
		return models.Merchant{}, "", err
	}
	lines := []models.AuditEntry{{Action: "merchant.created", Detail: map[string]string{"name": name}}}
	if xpub != "" {
		line, err := s.setXPub(ctx, tx, m.ID, xpub)
		if err != nil {
			return models.Merchant{}, "", err
		}
		firstAddress, lines = line.Detail["first_address"], append(lines, line)
	}
	if err := s.audit(ctx, tx, actor, m.ID, lines...); err != nil {
		return models.Merchant{}, "", err
	}
	m, err = tx.Merchant(ctx, m.ID)
	return m, firstAddress, err
}

// SetXPub gives a merchant a new account key, as [Service.CreateMerchant] does. New payments draw from it; the
// addresses of the old one stay watched.
func (s *Service) SetXPub(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	xpub string) (firstAddress string, err error) {
	if _, err := tx.LockMerchant(ctx, merchantID); err != nil {
		return "", err
	}
	line, err := s.setXPub(ctx, tx, merchantID, xpub)
	if err != nil {
		return "", err
	}
	return line.Detail["first_address"], s.audit(ctx, tx, actor, merchantID, line)
}

// MerchantChange is what to change about a merchant: nil leaves a field as it is, and a limit that points to nil goes
// back to the deployment's default.
type MerchantChange struct {
	Name            *string
	AcceptLate      *bool
	RatePerSecond   **int // requests a second of each key
	MaxEndpoints    **int
	MaxKeys         **int
	MaxOpenPayments **int
}

// ChangeMerchant changes a merchant and writes one audit line, which says what became of each field; what stays as it
// was is not in it. It fails with [models.FieldErrors] or [models.ErrNotFound].
func (s *Service) ChangeMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string,
	c MerchantChange) (models.Merchant, error) {
	if broken := c.check(); broken != nil {
		return models.Merchant{}, broken
	}
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil {
		return models.Merchant{}, err
	}
	changed := c.apply(&m)
	if len(changed) == 0 {
		return m, nil
	}
	m.UpdatedAt = s.now()
	if err := tx.SaveMerchant(ctx, m); err != nil {
		return models.Merchant{}, err
	}
	s.forget(tx, merchantID)
	return m, s.audit(ctx, tx, actor, merchantID, models.AuditEntry{Action: "merchant.changed", Detail: changed})
}

func (c MerchantChange) check() models.FieldErrors {
	var broken models.FieldErrors
	if c.Name != nil {
		if problem := badName(*c.Name); problem != "" {
			broken = append(broken, models.FieldError{Field: "name", Message: problem, Example: "Tea & Sons"})
		}
	}
	for _, l := range c.limits(new(models.Merchant)) {
		if l.given != nil && *l.given != nil && (**l.given < 1 || **l.given > l.most) {
			broken = append(broken, models.FieldError{Field: "limits." + l.name, Message: fmt.Sprintf("must be 1 to %d", l.most),
				Example: strconv.Itoa(l.most)})
		}
	}
	return broken
}

// limit is one of a merchant's limits: what it is called, what was asked for, where it is kept, and its greatest value.
type limit struct {
	name  string
	given **int
	to    **int
	most  int
}

func (c MerchantChange) limits(m *models.Merchant) []limit {
	return []limit{
		{"requests_per_second", c.RatePerSecond, &m.RatePerSecond, 100_000},
		{"webhook_endpoints", c.MaxEndpoints, &m.MaxEndpoints, 10_000},
		{"api_keys", c.MaxKeys, &m.MaxKeys, 10_000},
		{"open_payments", c.MaxOpenPayments, &m.MaxOpenPayments, 10_000_000},
	}
}

// apply writes what changes into m, and returns it in words.
func (c MerchantChange) apply(m *models.Merchant) map[string]string {
	changed := make(map[string]string)
	if c.Name != nil && *c.Name != m.Name {
		m.Name, changed["name"] = *c.Name, *c.Name
	}
	if c.AcceptLate != nil && *c.AcceptLate != m.AcceptLate {
		m.AcceptLate, changed["accept_late"] = *c.AcceptLate, strconv.FormatBool(*c.AcceptLate)
	}
	for _, l := range c.limits(m) {
		if l.given == nil || inWords(*l.given) == inWords(*l.to) {
			continue
		}
		*l.to, changed[l.name] = *l.given, inWords(*l.given)
	}
	return changed
}

func inWords(limit *int) string {
	if limit == nil {
		return "default"
	}
	return strconv.Itoa(*limit)
}

// SuspendMerchant lets a merchant make no new payments; those that they have go on, and so do their webhooks.
// Suspending one that is suspended changes nothing.
func (s *Service) SuspendMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string) error {
	return s.setSuspended(ctx, tx, actor, merchantID, true)
}

// ReinstateMerchant ends a suspension.
func (s *Service) ReinstateMerchant(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string) error {
	return s.setSuspended(ctx, tx, actor, merchantID, false)
}

func (s *Service) setSuspended(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string,
	suspend bool) error {
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil || (m.SuspendedAt != nil) == suspend {
		return err
	}
	now := s.now()
	action, since := "merchant.resumed", (*time.Time)(nil)
	if suspend {
		action, since = "merchant.paused", &now
	}
	if err := tx.SuspendMerchant(ctx, merchantID, since, now); err != nil {
		return err
	}
	s.forget(tx, merchantID)
	return s.audit(ctx, tx, actor, merchantID, models.AuditEntry{Action: action})
}

// forget lets this process look the merchant up again after the commit; others do so within [CacheFor].
func (s *Service) forget(tx *store.Tx, merchantID string) {
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.DeleteFunc(s.cache, func(_ string, c cached) bool { return c.merchant.ID == merchantID })
	})
}

// setXPub returns what is to be written into the audit log, which is locked last.
func (s *Service) setXPub(ctx context.Context, tx *store.Tx, merchantID, xpub string) (models.AuditEntry, error) {
	account, err := wallet.Parse(xpub)
	if err != nil {
		return models.AuditEntry{},
			models.FieldErrors{{Field: "xpub", Message: err.Error(), Example: "xpub6C… of m/44'/60'/0'"}}
	}
	key := models.AccountKey{ID: account.KeyID(), MerchantID: merchantID, XPub: strings.TrimSpace(xpub), Branch: s.branch,
		CreatedAt: s.now()}
	if err := tx.SetAccountKey(ctx, key); errors.Is(err, models.ErrConflict) {
		return models.AuditEntry{}, ErrForeignXPub
	} else if err != nil {
		return models.AuditEntry{}, err
	}
	// A key that the merchant had before keeps its branch, which may not be today's.
	if key, err = tx.AccountKey(ctx, key.ID); err != nil {
		return models.AuditEntry{}, err
	}
	first, err := account.Address(key.Branch, 0)
	if err != nil {
		return models.AuditEntry{}, err
	}
	return models.AuditEntry{Action: "merchant.xpub_set",
		Detail: map[string]string{"account_key": key.ID, "first_address": first}}, nil
}

// audit completes lines about a merchant and writes them.
func (s *Service) audit(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string,
	lines ...models.AuditEntry) error {
	for _, line := range lines {
		line.At, line.Actor, line.IP, line.Subject, line.Merchant = s.now(), actor.Name, actor.IP, merchantID, merchantID
		if err := tx.Audit(ctx, line); err != nil {
			return err
		}
	}
	return nil
}
