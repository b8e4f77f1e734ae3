package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stack takes a process down in the opposite order of its building. Every step has a name, so that a log line says
// which one was slow or failed.
type stack struct {
	log   *slog.Logger
	steps []step
}

type step struct {
	name string
	stop func(context.Context) error
}

func (s *stack) push(name string, stop func(context.Context) error) {
	s.steps = append(s.steps, step{name, stop})
}

// unwind runs every step, whatever the others return, until ctx ends their patience.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		start := time.Now()
		err := s.steps[i].stop(ctx)
		s.log.Debug("app.stopped", "part", s.steps[i].name, "took_ms", time.Since(start).Milliseconds())
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.steps[i].name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}
