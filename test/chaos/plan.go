package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one kind of trouble, by the name that CHAOS_FAULTS and the report know.
type Fault string

// The faults.
const (
	KillBeforePost   Fault = "worker-kill-before-post"
	KillBeforeCommit Fault = "worker-kill-before-commit"
	KillBeforeAck    Fault = "worker-kill-before-ack"
	TermWorker       Fault = "worker-term"
	KillAPI          Fault = "api-kill"
	FlushRedis       Fault = "redis-flushall"
	EmptyRedis       Fault = "redis-restart-empty"
	KillRedis        Fault = "redis-kill"
	StallRedis       Fault = "redis-stall"
	FillRedis        Fault = "redis-full"
	CutRedis         Fault = "redis-cut"
	KillPostgres     Fault = "postgres-kill"
	RestartPostgres  Fault = "postgres-restart"
	LosePostgres     Fault = "postgres-away"
	CutPostgres      Fault = "postgres-cut"
	FreezePostgres   Fault = "postgres-read-only"
	EndBackends      Fault = "postgres-terminate"
	FlapReceiver     Fault = "receiver-flap"
	HangReceiver     Fault = "receiver-hang"
	SlowReceiver     Fault = "receiver-slow"
)

// AllFaults lists every fault.
var AllFaults = []Fault{
	KillBeforePost, KillBeforeCommit, KillBeforeAck, TermWorker, KillAPI, FlushRedis, EmptyRedis, KillRedis, StallRedis,
	FillRedis,
	CutRedis, KillPostgres, RestartPostgres, LosePostgres, CutPostgres, FreezePostgres, EndBackends,
	FlapReceiver, HangReceiver, SlowReceiver,
}

// variants are the ways in which a fault can be injected.
var variants = map[Fault][]string{
	KillBeforePost:   {taskTaken, rowLoaded},
	KillBeforeCommit: {afterAccepted, beforeAnswer, commitSent},
	KillBeforeAck:    {commitOnWay, commitKnown},
	LosePostgres:     {"stopped", "unreachable", "silent"},
}

// kills reports whether a fault kills a worker.
func (f Fault) kills() bool {
	return f == KillBeforePost || f == KillBeforeCommit || f == KillBeforeAck
}

// forgets reports whether a fault makes Redis lose what it knows, or some of it.
func (f Fault) forgets() bool { return f == FlushRedis || f == EmptyRedis || f == KillRedis }

// ofReceiver reports whether a fault is one of the receiver.
func (f Fault) ofReceiver() bool { return f == FlapReceiver || f == HangReceiver || f == SlowReceiver }

// workers are the processes of which one is the victim.
var workers = []string{"worker", "worker-2"}

// Settings are what a run is like.
type Settings struct {
	Events       int
	Seed         uint64
	Faults       []Fault
	Min          int           // how often each fault is injected
	PostgresAway time.Duration // how long Postgres stays away
	Stall        time.Duration // how long Redis stalls
	// Backlog is about how many deliveries wait when the recovery after FLUSHALL is measured; 0 measures none.
	Backlog int
}

// readSettings reads the settings from the environment.
func readSettings(get func(string) string) (Settings, error) {
	s := Settings{Events: 20_000, Seed: rand.Uint64() >> 12, Faults: AllFaults, Min: 5, PostgresAway: time.Minute,
		Stall: 6 * time.Second}
	number := func(name string, least int, into *int) error {
		v := get(name)
		if v == "" {
			return nil
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < least {
			return fmt.Errorf("%s=%q is not a whole number from %d", name, v, least)
		}
		*into = n
		return nil
	}
	if err := number("CHAOS_EVENTS", 1, &s.Events); err != nil {
		return s, err
	}
	if err := number("CHAOS_MIN", 1, &s.Min); err != nil {
		return s, err
	}
	if v := get("CHAOS_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return s, fmt.Errorf("CHAOS_SEED=%q is not a number", v)
		}
		s.Seed = n
	}
	if v := get("CHAOS_AWAY"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return s, fmt.Errorf("CHAOS_AWAY=%q is not a duration", v)
		}
		s.PostgresAway = d
	}
	if v := get("CHAOS_FAULTS"); v != "" {
		var err error
		if s.Faults, err = parseFaults(v); err != nil {
			return s, err
		}
	}
	if slices.Contains(s.Faults, FlushRedis) {
		s.Backlog = min(12_500, s.Events*5/8) // some of it is delivered before Redis is emptied
	}
	return s, nil
}

func parseFaults(list string) ([]Fault, error) {
	if list == "none" {
		return nil, nil
	}
	var chosen []Fault
	for name := range strings.SplitSeq(list, ",") {
		f := Fault(strings.TrimSpace(name))
		if !slices.Contains(AllFaults, f) {
			return nil, fmt.Errorf("CHAOS_FAULTS: there is no fault %q; there are none, %v", f, AllFaults)
		}
		if !slices.Contains(chosen, f) {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

// Step injects one fault.
type Step struct {
	Fault   Fault
	Variant string
	Victim  string // of faults of a worker
	// Payments is how many payments are ordered when the step begins.
	Payments int
	// Nth is which of the things that a proxy or the receiver waits for is the moment, counted from 1.
	Nth int
	// After is the moment of faults that wait for nothing, counted from the beginning of the step.
	After time.Duration
	// Lasts is how long the trouble lasts, Back how long what died stays dead.
	Lasts, Back time.Duration
	// Gap is the pause before the next step. Trouble of the receiver goes on into the steps that follow.
	Gap time.Duration
}

// Plan is a whole run.
type Plan struct {
	Settings
	Payments int // in all; each makes payment.created, and all but an odd last one payment.canceled
	Backlog  int // payments made at once for the recovery after FLUSHALL
	Steps    []Step
}

// NewPlan makes the plan of a run. The same settings make the same plan.
func NewPlan(s Settings) Plan {
	random := rand.New(rand.NewPCG(s.Seed, 0))
	p := Plan{Settings: s, Payments: (s.Events + 1) / 2}
	p.Backlog = s.Backlog / (2 * endpointsPerMerchant)
	var order []Fault
	for range s.Min {
		round := slices.Clone(s.Faults)
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		order = append(order, round...)
	}
	seen := make(map[Fault]int)
	for _, f := range order {
		p.Steps = append(p.Steps, newStep(random, s, f, seen[f]))
		seen[f]++
	}
	share(random, p.Steps, p.Payments-p.Backlog)
	return p
}

func newStep(random *rand.Rand, s Settings, f Fault, nth int) Step {
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)))
	}
	step := Step{
		Fault: f, Victim: workers[random.IntN(len(workers))], After: between(0, 800*time.Millisecond),
		Lasts: between(2*time.Second, 6*time.Second), Back: between(0, 3*time.Second), Gap: between(0, 1500*time.Millisecond),
	}
	if v := variants[f]; len(v) > 0 { // all of them in turn, from a random one
		step.Variant = v[(nth+int(s.Seed%uint64(len(v))))%len(v)]
	}
	switch f {
	case LosePostgres:
		step.Lasts = s.PostgresAway
	case StallRedis:
		step.Lasts = s.Stall
	case KillPostgres, RestartPostgres, EmptyRedis, KillRedis:
		step.Lasts = between(0, 2*time.Second)
	}
	return step
}

// share spreads the payments over the steps, each within half and one and a half of the mean.
func share(random *rand.Rand, steps []Step, payments int) {
	if len(steps) == 0 {
		return
	}
	weights, sum := make([]float64, len(steps)), 0.0
	for i := range steps {
		weights[i] = 0.5 + random.Float64()
		sum += weights[i]
	}
	given := 0
	for i := range steps {
		steps[i].Payments = int(float64(payments) * weights[i] / sum)
		given += steps[i].Payments
	}
	steps[0].Payments += payments - given
	for i := range steps { // a moment that the load of its step brings
		most := 1 + steps[i].Payments/4
		if v := steps[i].Variant; v == commitSent || v == commitOnWay || v == commitKnown {
			most = 1 + steps[i].Payments/16 // many verdicts share a commit
		}
		steps[i].Nth = 1 + random.IntN(min(40, most))
	}
}
