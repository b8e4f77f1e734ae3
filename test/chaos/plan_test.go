package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func setting(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestReadSettings(t *testing.T) {
	s, err := readSettings(setting())
	if err != nil || s.Events != 20_000 || s.Min != 5 || s.PostgresAway != time.Minute || s.Backlog != 12_500 ||
		len(s.Faults) != len(AllFaults) {
		t.Errorf("by default: %+v, %v", s, err)
	}
	s, err = readSettings(setting("CHAOS_EVENTS", "100", "CHAOS_SEED", "7", "CHAOS_FAULTS",
		"redis-cut, api-kill,redis-cut", "CHAOS_MIN", "2", "CHAOS_AWAY", "5s"))
	if err != nil || s.Events != 100 || s.Seed != 7 || !slices.Equal(s.Faults, []Fault{CutRedis, KillAPI}) || s.Min != 2 ||
		s.PostgresAway != 5*time.Second || s.Backlog != 0 {
		t.Errorf("chosen: %+v, %v", s, err)
	}
	if s, err = readSettings(setting("CHAOS_FAULTS", "none")); err != nil || len(s.Faults) != 0 ||
		len(NewPlan(s).Steps) != 0 {
		t.Errorf("none: %+v, %v", s, err)
	}
	for _, bad := range []string{"CHAOS_EVENTS=0", "CHAOS_EVENTS=x", "CHAOS_MIN=0", "CHAOS_SEED=-1", "CHAOS_AWAY=5",
		"CHAOS_FAULTS=redis"} {
		name, value, _ := strings.Cut(bad, "=")
		if _, err := readSettings(setting(name, value)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestPlan holds every plan to its settings: each fault as often as asked, every payment in one step, the same plan
// from the same seed.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Settings{
			Events: rapid.IntRange(200, 50_000).Draw(t, "events"), Seed: rapid.Uint64().Draw(t, "seed"),
			Min:          rapid.IntRange(1, 6).Draw(t, "min"),
			Faults:       rapid.SliceOfNDistinct(rapid.SampledFrom(AllFaults), 1, -1, rapid.ID).Draw(t, "faults"),
			PostgresAway: time.Minute, Stall: 6 * time.Second,
		}
		s.Backlog = rapid.IntRange(0, s.Events/2).Draw(t, "backlog")
		p := NewPlan(s)
		if again := NewPlan(s); !reflect.DeepEqual(p, again) {
			t.Fatal("the seed does not make the plan")
		}
		times, payments := make(map[Fault]int), p.Backlog
		used := make(map[Fault]map[string]bool)
		for _, step := range p.Steps {
			times[step.Fault]++
			payments += step.Payments
			if used[step.Fault] == nil {
				used[step.Fault] = make(map[string]bool)
			}
			used[step.Fault][step.Variant] = true
			if step.Payments < 0 || step.Nth < 1 || step.Lasts < 0 || step.Back < 0 || step.Gap < 0 ||
				!slices.Contains(workers, step.Victim) {
				t.Fatalf("%+v", step)
			}
			if step.Fault == LosePostgres && step.Lasts != s.PostgresAway || step.Fault == StallRedis && step.Lasts != s.Stall {
				t.Fatalf("%s lasts %s", step.Fault, step.Lasts)
			}
		}
		for _, f := range s.Faults {
			if times[f] != s.Min {
				t.Fatalf("%s is injected %d times, not %d", f, times[f], s.Min)
			}
			if want := min(s.Min, max(1, len(variants[f]))); len(used[f]) < want {
				t.Fatalf("%s is injected in %d ways, not %d", f, len(used[f]), want)
			}
		}
		if len(times) != len(s.Faults) || payments != p.Payments || p.Payments != (s.Events+1)/2 {
			t.Fatalf("%d faults, %d payments of %d", len(times), payments, p.Payments)
		}
	})
}

// TestEveryFaultCanBeInjected: what can be planned can be done.
func TestEveryFaultCanBeInjected(t *testing.T) {
	for _, f := range AllFaults {
		if _, ok := inject[f]; ok == f.kills() {
			t.Errorf("%s is done in %v", f, ok)
		}
	}
}
