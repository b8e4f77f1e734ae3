package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// switchesEvery is how often a worker looks at the incident switch, and so how long it may go on after it was turned.
const switchesEvery = time.Second

// switches knows to whom nothing is to be sent. While the database does not answer, what was last known holds.
type switches struct {
	store *store.Store
	log   *slog.Logger
	last  atomic.Pointer[store.Pauses]
}

// paused reports whether nothing may be sent for a merchant. Before the first look it asks the database.
func (s *switches) paused(ctx context.Context, merchantID string) (bool, error) {
	p := s.last.Load()
	if p == nil {
		if err := s.look(ctx); err != nil {
			return false, err
		}
		p = s.last.Load()
	}
	return p.Paused(merchantID), nil
}

func (s *switches) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	p, err := s.store.Pauses(ctx)
	if err == nil {
		s.last.Store(&p)
	}
	return err
}

// run looks until stop is closed.
func (s *switches) run(stop <-chan struct{}) {
	tick := time.NewTicker(switchesEvery)
	defer tick.Stop()
	for {
		if err := s.look(context.Background()); err != nil {
			s.log.Debug("switches.not_read", "error", err)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}
