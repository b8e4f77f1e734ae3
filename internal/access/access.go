package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// CacheFor is how long a looked-up key and its merchant are trusted: a revocation holds everywhere after it.
	CacheFor = 2 * time.Second
	// maxCached bounds the memory of the cache; keys that do not exist are never in it.
	maxCached = 10_000
	// flushEvery is how often the times of last use are written.
	flushEvery = 5 * time.Second
	// defaultMaxKeys is the limit of live keys where neither the merchant nor the deployment has one.
	defaultMaxKeys = 20
)

// ErrUnauthenticated is returned for a key that is unknown, malformed, expired or revoked; callers are not told which.
var ErrUnauthenticated = errors.New("access: no such live key")

// Options are what a Service needs.
type Options struct {
	Store *store.Store
	// MaxKeys is how many live keys a merchant may have that has no limit of its own; 0 means 20.
	MaxKeys int
	// Branch is the ADDRESS_BRANCH of this deployment.
	Branch uint32
	// PublicURL is where browsers reach the gateway, without a trailing slash: links and logos are there.
	PublicURL string
	Now       func() time.Time
	Logger    *slog.Logger
}

// Service knows merchants and keys.
type Service struct {
	store     *store.Store
	maxKeys   int
	branch    uint32
	publicURL string
	clock     func() time.Time
	log       *slog.Logger

	mu    sync.Mutex
	cache map[string]cached // by hash
	used  map[string]time.Time
}

type cached struct {
	key      models.APIKey
	merchant models.Merchant
	at       time.Time
}

// New checks the options and returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Now == nil {
		return nil, errors.New("access: Store and Now are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store: o.Store, maxKeys: cmp.Or(o.MaxKeys, defaultMaxKeys), branch: o.Branch, publicURL: o.PublicURL, clock: o.Now,
		log:   o.Logger,
		cache: make(map[string]cached), used: make(map[string]time.Time),
	}, nil
}

// Authenticate returns the live key that was presented, and its merchant. The key is looked up by its SHA-256, so that
// the time it takes says nothing about how much of a guess was right.
func (s *Service) Authenticate(ctx context.Context, presented string) (models.APIKey, models.Merchant, error) {
	if !strings.HasPrefix(presented, livePrefix) && !strings.HasPrefix(presented, testPrefix) ||
		len(presented) > maxKeyLength {
		return models.APIKey{}, models.Merchant{}, ErrUnauthenticated
	}
	hash, now := hashKey(presented), s.now()
	s.mu.Lock()
	c, ok := s.cache[hash]
	s.mu.Unlock()
	if !ok || now.Sub(c.at) > CacheFor {
		key, err := s.store.APIKeyByHash(ctx, hash)
		if errors.Is(err, models.ErrNotFound) {
			return models.APIKey{}, models.Merchant{}, ErrUnauthenticated
		} else if err != nil {
			return models.APIKey{}, models.Merchant{}, err
		}
		merchant, err := s.store.Merchant(ctx, key.MerchantID)
		if err != nil {
			return models.APIKey{}, models.Merchant{}, err
		}
		c = cached{key, merchant, now}
		s.mu.Lock()
		if len(s.cache) >= maxCached {
			clear(s.cache)
		}
		s.cache[hash] = c
		s.mu.Unlock()
	}
	if !c.key.Live(now) {
		return models.APIKey{}, models.Merchant{}, ErrUnauthenticated
	}
	s.mu.Lock()
	s.used[c.key.ID] = now
	s.mu.Unlock()
	return c.key, c.merchant, nil
}

// Run writes down when keys were last used, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushEvery)
			defer cancel()
			s.flush(last)
			return nil
		case <-tick.C:
			s.flush(ctx)
		}
	}
}

// flush writes the times of use; what cannot be written is forgotten, because the next use comes soon enough.
func (s *Service) flush(ctx context.Context) {
	s.mu.Lock()
	used := s.used
	s.used = make(map[string]time.Time)
	s.mu.Unlock()
	if err := s.store.TouchAPIKeys(ctx, used); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "key_use.not_written", "error", err)
	}
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// now is the time to the microsecond, which is what both databases keep.
func (s *Service) now() time.Time { return models.Now(s.clock) }
