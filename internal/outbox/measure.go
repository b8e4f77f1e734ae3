package outbox

import (
	"context"
	"time"
)

// measure sets the metrics that are read from the database: how late the latest delivery is, and how many breakers are
// open.
func (s *Sweeper) measure(ctx context.Context) error {
	now := s.now()
	oldest, err := s.opts.Store.OldestDue(ctx, now)
	if err != nil {
		return err
	}
	s.opts.Metrics.OldestDue(age(oldest, now))
	open, err := s.opts.Store.OpenBreakers(ctx)
	if err != nil {
		return err
	}
	s.opts.Metrics.BreakersOpen(int(open))
	return nil
}

// age is how long ago something was, 0 for the zero time.
func age(since, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return now.Sub(since)
}
