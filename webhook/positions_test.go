package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// A receiver proves that nothing is missing: it notes the position of every request, and reads what lies between
// positions from the list of events.
func ExamplePositions() {
	var seen webhook.Positions
	for _, header := range []string{"7", "9", "10,11", "9"} { // as requests come
		h := http.Header{}
		h.Set(webhook.HeaderEventPosition, header)
		positions, err := webhook.PositionsOf(h)
		if err != nil {
			panic(err)
		}
		seen.Add(positions...)
	}
	for _, gap := range seen.Gaps() {
		// client.EventsFrom(ctx, gap.After) yields the events behind it: handle those that are new, up to gap.Last.
		fmt.Printf("nothing came between %d and %d\n", gap.After, gap.Last+1)
		seen.Fill(gap.After, gap.Last)
	}
	fmt.Println("nothing is missing up to", seen.Last())
	// Output:
	// nothing came between 7 and 9
	// nothing is missing up to 11
}

// TestPositionsLaws: whatever is seen or filled in whatever order, what is told is what a set of numbers would tell.
func TestPositionsLaws(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var p webhook.Positions
		naive := map[int64]bool{}
		for range 60 {
			if r.IntN(4) == 0 {
				after := r.Int64N(80)
				last := after + r.Int64N(6)
				p.Fill(after, last)
				for x := after + 1; x <= last; x++ {
					naive[x] = true
				}
				continue
			}
			x := 1 + r.Int64N(80)
			p.Add(x)
			naive[x] = true
		}
		var first, last int64
		for x := int64(1); x <= 100; x++ {
			if p.Seen(x) != naive[x] {
				t.Fatalf("seed %d: seen %d: %v", seed, x, p.Seen(x))
			}
			if naive[x] {
				last = x
				if first == 0 {
					first = x
				}
			}
		}
		missing := map[int64]bool{}
		for _, g := range p.Gaps() {
			for x := g.After + 1; x <= g.Last; x++ {
				missing[x] = true
			}
		}
		for x := first; x <= last; x++ {
			if missing[x] == naive[x] {
				t.Fatalf("seed %d: %d is missing: %v", seed, x, missing[x])
			}
		}
		b, err := json.Marshal(p)
		var again webhook.Positions
		if err == nil {
			err = json.Unmarshal(b, &again)
		}
		if err != nil || p.Last() != last || again.Last() != last || !slices.Equal(again.Gaps(), p.Gaps()) {
			t.Fatalf("seed %d: %s, %v", seed, b, err)
		}
	}
}

func TestPositionsOf(t *testing.T) {
	for value, want := range map[string][]int64{"1": {1}, "7, 8,9": {7, 8, 9}, "9223372036854775807": {1<<63 - 1}} {
		if got, err := webhook.PositionsOf(http.Header{"Ctrip-Event-Position": {value}}); err != nil ||
			!slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	if got, err := webhook.PositionsOf(http.Header{}); err != nil || got != nil {
		t.Errorf("without the header: %v, %v", got, err)
	}
	for _, bad := range [][]string{{""}, {"0"}, {"-1"}, {"1,"}, {"x"}, {"1.5"}, {"9223372036854775808"}, {"1", "2"}} {
		if got, err := webhook.PositionsOf(http.Header{"Ctrip-Event-Position": bad}); !errors.Is(err,
			webhook.ErrMalformed) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
	for _, bad := range []string{`[[0,1]]`, `[[3,2]]`, `{}`, `[["1","2"]]`} {
		if err := json.Unmarshal([]byte(bad), new(webhook.Positions)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	// The gap that a restored gateway leaves is as dear as any other.
	var p webhook.Positions
	p.Add(3, 1<<40)
	if got := p.Gaps(); !slices.Equal(got, []webhook.Gap{{After: 3, Last: 1<<40 - 1}}) {
		t.Errorf("%v", got)
	}
}
