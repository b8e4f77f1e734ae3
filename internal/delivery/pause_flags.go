package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// pauseFlagsEvery is how often a worker reads the pause flags, and so how long it may go on sending after a pause
// began.
const pauseFlagsEvery = time.Second

// pauseFlags knows for whom deliveries are paused. While the database does not answer, what was last known holds.
type pauseFlags struct {
	store *store.Store
	log   *slog.Logger
	last  atomic.Pointer[store.Pauses]
}

// paused reports whether nothing may be sent for a merchant. Before they were first read it asks the database.
func (s *pauseFlags) paused(ctx context.Context, merchantID string) (bool, error) {
	p := s.last.Load()
	if p == nil {
		if err := s.read(ctx); err != nil {
			return false, err
		}
		p = s.last.Load()
	}
	return p.Paused(merchantID), nil
}

func (s *pauseFlags) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	p, err := s.store.Pauses(ctx)
	if err == nil {
		s.last.Store(&p)
	}
	return err
}

// run reads them until stop is closed.
func (s *pauseFlags) run(stop <-chan struct{}) {
	tick := time.NewTicker(pauseFlagsEvery)
	defer tick.Stop()
	for {
		if err := s.read(context.Background()); err != nil {
			s.log.Debug("switches.not_read", "error", err)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}
