package money

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Way is how a payment is paid.
type Way string

// The ways.
const (
	Transfer   Way = "transfer"   // a transaction to the address
	Forwarder  Way = "forwarder"  // a contract that passes coin on
	Batch      Way = "batch"      // a contract that pays several addresses in one transaction
	Safe       Way = "safe"       // a contract that delegates to another one, which pays
	Destroyed  Way = "destroyed"  // what a contract leaves when it destroys itself
	Withdrawal Way = "withdrawal" // the consensus layer
	Token      Way = "token"
	Halves     Way = "halves"  // two transactions
	TooMuch    Way = "toomuch" // half as much again
	TooLittle  Way = "toolittle"
	Failing    Way = "failing" // a contract that pays and then fails
	Nothing    Way = "nothing" // nobody pays; liars say that somebody did
)

// Ways lists every way.
var Ways = []Way{
	Transfer, Forwarder, Batch, Safe, Destroyed, Withdrawal, Token, Halves, TooMuch, TooLittle, Failing, Nothing,
}

// Trouble is what is wrong with a provider, by the name that CHAOS_FAULTS and the report know.
type Trouble string

// Kill is the fault that is none of a provider: a scanner is killed, and started again.
const Kill Trouble = "scanner-kill"

// Settings are what a run is like.
type Settings struct {
	Payments int
	Seed     uint64
	Troubles []Trouble
	Min      int           // how often each is tried
	Block    time.Duration // between blocks
}

// Step is one trouble of one provider.
type Step struct {
	Trouble  Trouble
	Provider int
	Blocks   int // how many blocks it lasts
	Payments int // that are ordered when it begins
	// Depth of the reorganisation at block ReorgAt of the step, 0 for none; Drop is how many payments it drops, of which
	// every second one is sent again.
	Depth, ReorgAt, Drop int
	Kill                 bool
}

// Intent is a payment to be made.
type Intent struct {
	Way    Way
	Amount int64 // base units
}

// Plan is a whole run.
type Plan struct {
	Settings
	Traces  bool // the first provider traces blocks
	Intents []Intent
	Steps   []Step
}

// ReadSettings reads the settings from the environment.
func ReadSettings(get func(string) string) (Settings, error) {
	s := Settings{Payments: 2000, Seed: rand.Uint64() >> 12, Troubles: All(), Min: 3, Block: 150 * time.Millisecond}
	for name, into := range map[string]*int{"CHAOS_PAYMENTS": &s.Payments, "CHAOS_MIN": &s.Min} {
		if v := get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return s, fmt.Errorf("%s=%q is not a whole number from 1", name, v)
			}
			*into = n
		}
	}
	if v := get("CHAOS_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return s, fmt.Errorf("CHAOS_SEED=%q is not a number", v)
		}
		s.Seed = n
	}
	switch v := get("CHAOS_FAULTS"); v {
	case "":
	case "none":
		s.Troubles = nil
	default:
		s.Troubles = nil
		for name := range strings.SplitSeq(v, ",") {
			t := Trouble(strings.TrimSpace(name))
			if !slices.Contains(All(), t) {
				return s, fmt.Errorf("CHAOS_FAULTS: there is no fault %q; there are none, %v", t, All())
			}
			s.Troubles = append(s.Troubles, t)
		}
	}
	return s, nil
}

// NewPlan makes the plan of a run. The same settings make the same plan.
func NewPlan(s Settings) Plan {
	random := rand.New(rand.NewPCG(s.Seed, 1))
	p := Plan{Settings: s, Traces: s.Seed%2 == 1}
	for i := range s.Payments {
		in := Intent{Way: Ways[i%len(Ways)], Amount: 1000 + random.Int64N(1_000_000)}
		if in.Way == Withdrawal {
			in.Amount *= 1_000_000_000
		}
		p.Intents = append(p.Intents, in)
	}
	random.Shuffle(len(p.Intents), func(i, j int) { p.Intents[i], p.Intents[j] = p.Intents[j], p.Intents[i] })
	for range s.Min {
		round := slices.Clone(s.Troubles)
		if len(round) == 0 {
			round = []Trouble{""}
		}
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, t := range round {
			p.Steps = append(p.Steps, newStep(random, t))
		}
	}
	for i := range p.Steps {
		p.Steps[i].Payments = (i+1)*s.Payments/len(p.Steps) - i*s.Payments/len(p.Steps)
	}
	return p
}

// deepest is the deepest reorganisation; blocks are final when they lie deeper.
const deepest = 64

func newStep(random *rand.Rand, t Trouble) Step {
	s := Step{Trouble: t, Blocks: 7 + random.IntN(6), Kill: t == Kill}
	if random.IntN(5) > 2 {
		s.Provider = 1
	}
	depth, wants, drop := 1+random.IntN(4), random.IntN(3) > 0, random.IntN(4)
	switch random.IntN(6) {
	case 0:
		depth = deepest
	case 1:
		depth = 1 + random.IntN(deepest)
	}
	if wants {
		s.Depth, s.ReorgAt, s.Drop = depth, 1+random.IntN(s.Blocks-1), drop
	}
	return s
}
