package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// lanesTimeout bounds what is asked of Redis.
const lanesTimeout = 10 * time.Second

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
	Processes    []Process     `json:"processes"` // that live
}

// Process is one that gave a sign of life lately.
type Process struct {
	ID         string    `json:"id"`
	Role       string    `json:"role"`    // api, worker, scanner; several with commas
	Version    string    `json:"version"` // of the binary, "" when it was built without one
	Schema     int64     `json:"schema"`  // that the binary was built for
	StartedAt  time.Time `json:"started_at"`
	AgeSeconds int64     `json:"age_seconds"` // of its last sign
	Leads      []string  `json:"leads"`       // the chains that it scans
}

func (p Process) has(role string) bool { return slices.Contains(strings.Split(p.Role, ","), role) }

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

// ReadLanes reads how the queues stand.
type ReadLanes func(context.Context) ([]telemetry.Lane, error)

// ReadStatus reads the state of everything, and changes nothing. A Redis that does not answer is part of the answer.
func ReadStatus(ctx context.Context, st *store.Store, clock func() time.Time, read ReadLanes) (Status, error) {
	from := &Service{store: st, clock: clock}
	s := Status{At: from.now()}
	var err error
	if s.Chains, err = from.Chains(ctx); err != nil {
		return s, err
	}
	if s.Doubts, err = from.Doubts(ctx, false); err != nil {
		return s, err
	}
	if s.Quarantine, err = from.Quarantine(ctx); err != nil {
		return s, err
	}
	if s.Pauses, err = ReadPauses(ctx, st); err != nil {
		return s, err
	}
	if s.Processes, err = from.processes(ctx, s.Chains); err != nil {
		return s, err
	}
	if err := from.countDeliveries(ctx, &s); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, lanesTimeout)
	defer cancel()
	lanes, err := read(ctx)
	if err != nil {
		s.LanesError = strings.Join(strings.Fields(err.Error()), " ")
	}
	s.Lanes = make([]Lane, len(lanes))
	for i, l := range lanes {
		s.Lanes[i] = Lane{Name: l.Name, Pending: l.Pending, Active: l.Active, Retry: l.Retry, Archived: l.Archived,
			ExpiredLeases: l.ExpiredLeases, OldestSeconds: int64(l.Oldest.Seconds())}
	}
	return s, nil
}

// processes are those that live, with the chains that they lead.
func (from *Service) processes(ctx context.Context, chains []Chain) ([]Process, error) {
	all, now, err := from.store.Processes(ctx)
	if err != nil {
		return nil, err
	}
	leases, err := from.store.Leases(ctx)
	if err != nil {
		return nil, err
	}
	leads := make(map[string][]string)
	for _, l := range leases {
		for _, c := range chains {
			if c.ChainID == l.ChainID && now.Before(l.ExpiresAt) {
				leads[l.Holder] = append(leads[l.Holder], c.Chain)
			}
		}
	}
	alive := []Process{}
	for _, p := range all {
		if p.IsAlive(now) {
			alive = append(alive, Process{ID: p.ID, Role: p.Role, Version: p.Version, Schema: p.Schema, StartedAt: p.StartedAt,
				AgeSeconds: max(int64(now.Sub(p.SeenAt).Seconds()), 0), Leads: append([]string{}, leads[p.ID]...)})
		}
	}
	slices.SortStableFunc(alive, func(a, b Process) int { return strings.Compare(a.Role, b.Role) })
	return alive, nil
}

func (from *Service) countDeliveries(ctx context.Context, s *Status) error {
	now := s.At
	oldest, err := from.store.OldestDue(ctx, now)
	if err != nil {
		return err
	}
	if !oldest.IsZero() {
		s.OldestDueSeconds = int64(now.Sub(oldest).Seconds())
	}
	if s.DeadLetters, err = from.store.DeadLetters(ctx); err != nil {
		return err
	}
	if s.DeadByReason, err = from.store.DeadByReason(ctx); err != nil {
		return err
	}
	if s.Unannounced, err = from.store.Unannounced(ctx, now.Add(-maintenance.UnannouncedFor),
		now.Add(-maintenance.UnannouncedAfter)); err != nil {
		return err
	}
	s.OpenBreakers, err = from.store.OpenBreakers(ctx)
	return err
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
	tell := func(yes bool, format string, args ...any) {
		if yes {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	for _, role := range []string{"api", "worker", "scanner"} {
		tell(!slices.ContainsFunc(s.Processes, func(p Process) bool { return p.has(role) }),
			"No process with the role %s has given a sign for %s. Start one, or see its log.", role, models.ProcessAlive)
	}
	tell(s.LanesError != "", "Redis does not answer: %s", s.LanesError)
	for _, c := range s.Chains {
		tell(c.HaltedAt != nil, "%s is halted: %s. See `ctripctl chain status %s`.", c.Chain, c.HaltReason, c.Chain)
		tell(c.HaltedAt == nil && c.AgeSeconds != nil && time.Duration(*c.AgeSeconds)*time.Second > silentAfter,
			"%s has not answered for a minute: no scanner, or no provider. See `ctripctl chain status %s`.", c.Chain, c.Chain)
	}
	tell(len(s.Doubts) > 0, "%d doubts wait for a decision. See `ctripctl doubt list`.", len(s.Doubts))
	tell(len(s.Quarantine) > 0, "%d payments are set aside. See `ctripctl quarantine list`.", len(s.Quarantine))
	tell(s.Unannounced > 0, "%d confirmed payments have reached no endpoint for an hour. See `ctripctl endpoint list`.",
		s.Unannounced)
	tell(time.Duration(s.OldestDueSeconds)*time.Second > lateAfter,
		"The oldest due delivery waits for %s. Does a worker run?", time.Duration(s.OldestDueSeconds)*time.Second)
	expired := 0
	for _, l := range s.Lanes {
		expired += l.ExpiredLeases
	}
	tell(expired > 0, "%d tasks are held by workers that are gone; the sweeper takes them back within a minute.", expired)
	tell(s.Pauses.All != nil, "Deliveries are paused for everybody. `ctripctl delivery resume` ends it.")
	paused := len(s.Pauses.Merchants) + len(s.Pauses.Endpoints)
	tell(paused > 0, "Deliveries are paused for %d merchants and endpoints. See `ctripctl delivery pauses`.", paused)
	return lines
}
