package money

import (
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMoney is the short form: every trouble once. CHAOS_SEED repeats a plan.
func TestMoney(t *testing.T) {
	s, err := ReadSettings(func(name string) string {
		if name == "CHAOS_SEED" || name == "CHAOS_FAULTS" {
			return os.Getenv(name)
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Payments, s.Min, s.Block = 96, 1, 90*time.Millisecond
	var out strings.Builder
	v := Run(t, NewPlan(s), &out)
	t.Logf("%s%s", &out, v.Line())
	if !v.OK() {
		t.Errorf("the promise was broken; CHAOS_SEED=%d repeats this plan", s.Seed)
	}
}

func TestPlanIsMadeOfTheSeed(t *testing.T) {
	s := Settings{Payments: 50, Seed: 7, Troubles: All(), Min: 2}
	a, b := NewPlan(s), NewPlan(s)
	if !slices.Equal(a.Intents, b.Intents) || !slices.Equal(a.Steps, b.Steps) {
		t.Error("two plans of a seed differ")
	}
	ordered, tried := 0, make(map[Trouble]int)
	for _, step := range a.Steps {
		ordered += step.Payments
		tried[step.Trouble]++
	}
	if ordered != s.Payments {
		t.Errorf("%d payments are ordered, want %d", ordered, s.Payments)
	}
	for _, name := range All() {
		if tried[name] != s.Min {
			t.Errorf("%s is tried %d times", name, tried[name])
		}
	}
}

func TestJudge(t *testing.T) {
	event := func(id, kind string, confirmed int64, retracts ...string) Event {
		return Event{ID: id, Type: "payment." + kind, Confirmed: big.NewInt(confirmed), Retracts: retracts}
	}
	good := func(change func(*Case)) Case {
		c := Case{Name: "pay", Asked: big.NewInt(10), Holds: big.NewInt(10), Received: big.NewInt(10),
			Confirmed: big.NewInt(10), Status: "confirmed", Events: []Event{event("1", "created", 0), event("2", "detected", 0),
				event("3", "confirmed", 10)}}
		if change != nil {
			change(&c)
		}
		return c
	}
	for name, tc := range map[string]struct {
		c    Case
		line string
	}{
		"right": {good(nil), "right=1 missed=0 believed_wrongly=0 announced_twice=0"},
		"right after a reorg": {good(func(c *Case) {
			c.Events = slices.Insert(c.Events, 2, event("a", "reorged", 0, "2"), event("b", "detected", 0))
		}), "right=1 missed=0 believed_wrongly=0 announced_twice=0"},
		"missed": {good(func(c *Case) {
			c.Confirmed, c.Status, c.Events = new(big.Int), "pending", c.Events[:1]
		}), "right=0 missed=1 believed_wrongly=0 announced_twice=0"},
		"believed": {good(func(c *Case) { c.Holds = new(big.Int) }), "right=0 missed=0 believed_wrongly=1 announced_twice=0"},
		"believed for a while": {good(func(c *Case) {
			c.Events = append(c.Events, event("4", "reorged", 0, "2", "3"), event("5", "detected", 0),
				event("6", "confirmed", 10))
		}), "right=0 missed=0 believed_wrongly=1 announced_twice=0"},
		"twice": {good(func(c *Case) { c.Events = append(c.Events, event("4", "confirmed", 10)) }),
			"right=0 missed=0 believed_wrongly=0 announced_twice=1"},
		"not told": {good(func(c *Case) { c.Events = c.Events[:2] }), "right=0 missed=0 believed_wrongly=0 announced_twice=0"},
		"status":   {good(func(c *Case) { c.Status = "detected" }), "right=0 missed=0 believed_wrongly=0 announced_twice=0"},
	} {
		v := Judge([]Case{tc.c})
		if got := v.Line(); got != "payments=1 "+tc.line || v.OK() != strings.Contains(tc.line, "right=1") {
			t.Errorf("%s: %s, %v", name, got, v.Problems)
		}
	}
}
