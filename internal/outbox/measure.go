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
	return s.measureSecrets(ctx, now)
}

// measureSecrets tells now and then how old the oldest secret is.
func (s *Sweeper) measureSecrets(ctx context.Context, now time.Time) error {
	if now.Sub(s.secretsSeen) < secretsEvery {
		return nil
	}
	since, err := s.opts.Store.OldestSecret(ctx)
	if err != nil {
		return err
	}
	s.secretsSeen = now
	s.opts.Metrics.SecretAge(age(since, now))
	return nil
}

// age is how long ago something was, 0 for the zero time.
func age(since, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return now.Sub(since)
}
