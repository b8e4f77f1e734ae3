package limits

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// sharedTimeout is how long the shared store may take to answer, sharedPause how long it is left alone when it did
	// not.
	sharedTimeout = 150 * time.Millisecond
	sharedPause   = 2 * time.Second
)

// Shared is a token bucket that all processes take from.
type Shared interface {
	// TakeToken takes one token of a key's bucket. It returns how many are left, and a wait when there was none.
	TakeToken(ctx context.Context, key string, perSecond float64, burst int) (left int, wait time.Duration, err error)
}

// Options are what a Merchants needs.
type Options struct {
	Shared Shared // nil: each process has buckets of its own
	// PerSecond and Burst are those of a merchant for whom the operator has set nothing.
	PerSecond float64
	Burst     int
	Now       func() time.Time
	Logger    *slog.Logger
}

// Merchants bounds the requests of each merchant, over all their keys and sessions and over all processes.
type Merchants struct {
	opts  Options
	local Buckets

	mu   sync.Mutex
	away time.Time // until when the shared store is not asked
}

// NewMerchants returns a Merchants.
func NewMerchants(o Options) *Merchants { return &Merchants{opts: o} }

// Take takes a request of a merchant, or says how long to wait. A merchant with a rate of their own has as much at once
// in proportion.
func (m *Merchants) Take(ctx context.Context, merchant models.Merchant) Quota {
	perSecond, burst := m.opts.PerSecond, m.opts.Burst
	if own := merchant.RatePerSecond; own != nil {
		perSecond = float64(*own)
		burst = max(1, int(perSecond*float64(m.opts.Burst)/m.opts.PerSecond))
	}
	if m.opts.Shared != nil && m.answers() {
		asking, cancel := context.WithTimeout(ctx, sharedTimeout)
		defer cancel()
		left, wait, err := m.opts.Shared.TakeToken(asking, merchant.ID, perSecond, burst)
		if err == nil {
			return Quota{Limit: burst, Left: left, Wait: wait}
		}
		if ctx.Err() == nil {
			m.fail(ctx, err)
		}
	}
	return m.local.Take(merchant.ID, perSecond, burst, m.opts.Now())
}

func (m *Merchants) answers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !time.Now().Before(m.away)
}

func (m *Merchants) fail(ctx context.Context, err error) {
	m.mu.Lock()
	m.away = time.Now().Add(sharedPause)
	m.mu.Unlock()
	m.opts.Logger.WarnContext(ctx, "limits.not_shared", "error", err)
}
