package redelivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ErrEndpointDisabled refuses to send again to an endpoint that is disabled. It wraps [models.ErrConflict].
var ErrEndpointDisabled = fmt.Errorf("the endpoint is disabled: enable it first: %w", models.ErrConflict)

// ErrOtherMode refuses to send an event to an endpoint that takes no events of its mode any more. It wraps
// [models.ErrConflict].
var ErrOtherMode = fmt.Errorf("the endpoint takes no events of this mode: %w", models.ErrConflict)

// Options are what a Service needs.
type Options struct {
	Store *store.Store
	// MaxAttempts is the budget of a delivery to an endpoint that has none of its own.
	MaxAttempts int
	Now         func() time.Time
}

// Service sends events once more. Each operation writes through the transaction of its caller, its audit line included.
type Service struct {
	store       *store.Store
	maxAttempts int
	clock       func() time.Time
	reads       reads
}

// New checks the options and returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.MaxAttempts <= 0 || o.Now == nil {
		return nil, errors.New("redelivery: Store, MaxAttempts and Now are needed")
	}
	return &Service{store: o.Store, maxAttempts: o.MaxAttempts, clock: o.Now}, nil
}

func (s *Service) now() time.Time { return models.Now(s.clock) }

// AuditRead records that somebody read the attempts of a delivery, once in [readAgain] for a session and a delivery.
// session names a session of the portal, or the API key.
func (s *Service) AuditRead(ctx context.Context, actor models.Actor, session string, d models.Delivery) error {
	now := s.now()
	if s.reads.known(session+"/"+d.ID, now) {
		return nil
	}
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() { s.reads.note(session+"/"+d.ID, now) })
		return s.audit(ctx, tx, actor, "attempts.read", d.ID, d.MerchantID, nil)
	})
}

const (
	readAgain = 10 * time.Minute
	maxReads  = 20_000
)

// reads remembers for a while, within bounds, which readings this process has written down.
type reads struct {
	mu             sync.Mutex
	recent, before map[string]time.Time
}

func (r *reads) known(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.recent[key]
	if !ok {
		at, ok = r.before[key]
	}
	return ok && now.Sub(at) < readAgain
}

func (r *reads) note(key string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent == nil || len(r.recent) >= maxReads {
		r.before, r.recent = r.recent, make(map[string]time.Time)
	}
	r.recent[key] = now
}

func (s *Service) audit(
	ctx context.Context, tx *store.Tx, actor models.Actor, action, subject, merchantID string, detail map[string]string,
) error {
	return tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor.Name, IP: actor.IP, Action: action, Subject: subject, Merchant: merchantID, Detail: detail,
	})
}
