package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// readKeysEvery is how long the keys are used before they are read again.
	readKeysEvery = 30 * time.Second
	// clockSkew is how far ahead the clock of the process that made the first key may be. With more a process is not
	// ready.
	clockSkew = 30 * time.Second
)

// signingKeys remembers the gateway's own keys, for test endpoints or for all others, decrypted.
type signingKeys struct {
	endpoints *endpoints.Service
	test      bool

	mu     sync.Mutex
	readAt time.Time
	rows   []models.SigningKey
	keys   map[string]webhook.SigningKey
}

// live returns the keys that sign at now, newest first. What was read before is used while the database does not
// answer.
func (s *signingKeys) live(ctx context.Context, now time.Time) ([]webhook.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.readAt) >= readKeysEvery || len(s.keys) == 0 {
		if err := s.read(ctx); err != nil && len(s.keys) == 0 {
			return nil, err
		}
		s.readAt = now // a failure too: those who wait here would each wait for the database
	}
	var live []webhook.SigningKey
	for _, skew := range []time.Duration{0, clockSkew} {
		for _, row := range s.rows {
			if !row.ActiveFrom.After(now.Add(skew)) && (row.ExpiresAt == nil || row.ExpiresAt.After(now)) {
				live = append(live, s.keys[row.ID])
			}
		}
		if len(live) > 0 {
			return live, nil
		}
	}
	return nil, fmt.Errorf("endpoints: no signing key is active: %w", models.ErrNotFound)
}

func (s *signingKeys) read(ctx context.Context) error {
	rows, err := s.endpoints.SigningKeys(ctx, s.test)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("endpoints: there is no signing key: %w", models.ErrNotFound)
	}
	keys := make(map[string]webhook.SigningKey, len(rows))
	for _, row := range rows {
		if known, ok := s.keys[row.ID]; ok {
			keys[row.ID] = known
			continue
		}
		if keys[row.ID], err = s.endpoints.OpenSigningKey(row); err != nil {
			return err
		}
	}
	s.rows, s.keys = rows, keys
	return nil
}
