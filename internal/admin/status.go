package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

const (
	// unannouncedAfter is how long a confirmed payment may wait for its first endpoint before it is told of.
	unannouncedAfter = time.Hour
	// unannouncedFor is how far back payments are looked at.
	unannouncedFor = 7 * 24 * time.Hour
)

// Status is the state of the whole gateway on one screen.
type Status struct {
	At     time.Time `json:"at"`
	Chains []Chain   `json:"chains"`
	// Lanes are the queues in Redis; LanesError says why there are none.
	Lanes      []Lane `json:"lanes"`
	LanesError string `json:"lanes_error"`
	// OldestDueSeconds is how long the oldest due delivery has waited, 0 when none is due.
	OldestDueSeconds int64 `json:"oldest_due_seconds"`
	// DeadLetters counts up to 100,000, DeadByReason the newest 10,000 of them.
	DeadLetters  int                `json:"dead_letters"`
	DeadByReason []store.DeadReason `json:"dead_by_reason"`
	// Unannounced counts payments that were confirmed an hour ago and of which no endpoint has heard.
	Unannounced  int           `json:"payments_unannounced"`
	OpenBreakers int64         `json:"open_breakers"`
	Doubts       []Doubt       `json:"doubts"`
	Quarantine   []Quarantined `json:"quarantine"`
	Pauses       Pauses        `json:"pauses"`
}

// Lane is how one queue stands.
type Lane struct {
	Name          string `json:"lane"`
	Pending       int    `json:"pending"`
	Active        int    `json:"active"`
	Retry         int    `json:"retry"`
	Archived      int    `json:"archived"`
	ExpiredLeases int    `json:"expired_leases"`
	OldestSeconds int64  `json:"oldest_seconds"`
}

// Status reads the state of everything, and changes nothing. A Redis that does not answer is part of the answer.
func (a *Admin) Status(ctx context.Context) (Status, error) {
	now := a.utc()
	s := Status{At: now}
	var err error
	if s.Chains, err = a.Chains(ctx); err != nil {
		return s, err
	}
	if s.Doubts, err = a.Doubts(ctx, false); err != nil {
		return s, err
	}
	if s.Quarantine, err = a.Quarantine(ctx); err != nil {
		return s, err
	}
	if s.Pauses, err = a.Pauses(ctx); err != nil {
		return s, err
	}
	if err := a.countDeliveries(ctx, now, &s); err != nil {
		return s, err
	}
	if s.Lanes, err = a.readLanes(ctx); err != nil {
		s.LanesError = oneLine(err)
	}
	return s, nil
}

func (a *Admin) countDeliveries(ctx context.Context, now time.Time, s *Status) error {
	oldest, err := a.store.OldestDue(ctx, now)
	if err != nil {
		return err
	}
	if !oldest.IsZero() {
		s.OldestDueSeconds = int64(now.Sub(oldest).Seconds())
	}
	if s.DeadLetters, err = a.store.DeadLetters(ctx); err != nil {
		return err
	}
	if s.DeadByReason, err = a.store.DeadByReason(ctx); err != nil {
		return err
	}
	if s.Unannounced, err = a.store.Unannounced(ctx, now.Add(-unannouncedFor), now.Add(-unannouncedAfter)); err != nil {
		return err
	}
	s.OpenBreakers, err = a.store.OpenBreakers(ctx)
	return err
}

// readLanes reads the queues, over the process's own connection where there is one.
func (a *Admin) readLanes(ctx context.Context) ([]Lane, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	read := a.lanes
	if read == nil {
		if err := a.cfg.Need("REDIS_URL"); err != nil {
			return nil, err
		}
		one := a.cfg
		one.Redis.PoolSize = 1
		r, err := wiring.Redis(one)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		client, err := wiring.Jobs(one, r, a.now)
		if err != nil {
			return nil, err
		}
		read = client.Lanes
	}
	lanes, err := read(ctx)
	return convert(lanes, func(l telemetry.Lane) Lane {
		return Lane{Name: l.Name, Pending: l.Pending, Active: l.Active, Retry: l.Retry, Archived: l.Archived,
			ExpiredLeases: l.ExpiredLeases, OldestSeconds: int64(l.Oldest.Seconds())}
	}), err
}

const (
	// lateAfter is the age from which a due delivery is late.
	lateAfter = 2 * time.Minute
	// silentAfter is how long a chain may give no answer.
	silentAfter = time.Minute
)

// Attention says what asks for a person, and with which command to begin; nothing when all is well.
func (s Status) Attention() []string {
	lines := []string{}
	say := func(yes bool, format string, args ...any) {
		if yes {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	say(s.LanesError != "", "Redis does not answer: %s", s.LanesError)
	for _, c := range s.Chains {
		say(c.HaltedAt != nil, "%s is halted: %s. See `ctripctl chain status %s`.", c.Chain, c.HaltReason, c.Chain)
		say(c.HaltedAt == nil && c.AgeSeconds != nil && time.Duration(*c.AgeSeconds)*time.Second > silentAfter,
			"%s has not answered for a minute: no scanner, or no provider. See `ctripctl chain status %s`.", c.Chain, c.Chain)
	}
	say(len(s.Doubts) > 0, "%d doubts wait for a decision. See `ctripctl doubt list`.", len(s.Doubts))
	say(len(s.Quarantine) > 0, "%d payments are set aside. See `ctripctl quarantine list`.", len(s.Quarantine))
	say(s.Unannounced > 0, "%d confirmed payments have reached no endpoint for an hour. See `ctripctl endpoint list`.",
		s.Unannounced)
	say(time.Duration(s.OldestDueSeconds)*time.Second > lateAfter,
		"The oldest due delivery waits for %s. Does a worker run?", time.Duration(s.OldestDueSeconds)*time.Second)
	expired := 0
	for _, l := range s.Lanes {
		expired += l.ExpiredLeases
	}
	say(expired > 0, "%d tasks are held by workers that are gone; the sweeper takes them back within a minute.", expired)
	say(s.Pauses.All != nil, "Deliveries are paused for everybody. `ctripctl delivery resume` ends it.")
	paused := len(s.Pauses.Merchants) + len(s.Pauses.Endpoints)
	say(paused > 0, "Deliveries are paused for %d merchants and endpoints. See `ctripctl delivery pauses`.", paused)
	return lines
}
