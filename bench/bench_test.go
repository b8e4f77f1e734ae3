package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// The parts that a bench starts are this binary, whatever it is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && parts[os.Args[1]] != nil {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestContract runs every bench with tiny sizes and holds its last line against what readers of the JSON rely on.
func TestContract(t *testing.T) {
	gateway.Binary(t, "worker") // built once, before five harnesses want it
	small := map[string]struct {
		args    string
		targets int
	}{
		"deliver":   {"--n 200 --slow 200 --two 100 --bare 500 --endpoints 8 --delay 5ms --wide 100", 4},
		"latency":   {"--for 300ms --warm-up 100ms --endpoints 8 --n 200", 6},
		"neighbour": {"--healthy 10 --queued 200 --for 500ms --warm-up 100ms --n 200", 1},
		"api":       {"--n 200 --few 500 --many 1000 --for 400ms --warm-up 100ms --rate 50 --list-rate 50 --raw 200", 3},
		"scan":      {"--blocks 60 --delay 5ms --lasting 2s --warm-up 1s --few 10 --many 100 --limited 10 --raw 200", 6},
		"through":   {"--n 100 --for 300ms --warm-up 100ms --merchants 2 --rate 50 --raw 200", 2},
	}
	for _, b := range benches {
		want, ok := small[b.name]
		if !ok {
			t.Errorf("%s has no small form here", b.name)
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			b.measure(append(strings.Fields(want.args), "--json", "--pairs", "1"), &out)(t)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var got struct {
				Bench   string
				At      time.Time
				Cores   int
				Results map[string]any
				Targets []map[string]any
			}
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
				t.Fatalf("%v in the last line of\n%s", err, &out)
			}
			if got.Bench != b.name || got.At.IsZero() || got.Cores < 1 || len(got.Targets) != want.targets {
				t.Errorf("%+v", got)
			}
			for _, name := range []string{"raw_asynq_per_s", "bare_per_s"} {
				if v, ok := got.Results[name].(float64); !ok || v <= 0 {
					t.Errorf("%s is %v", name, got.Results[name])
				}
			}
			for _, g := range got.Targets {
				value, ok := g["value"].(float64)
				if _, isBool := g["ok"].(bool); !ok || !isBool || len(g) != 4 || value <= 0 || g["name"] == "" ||
					g["target"] == nil {
					t.Errorf("target %v", g)
				}
			}
		})
	}
}

func TestReport(t *testing.T) {
	r := newReport("x")
	for _, pair := range [][2]float64{{100, 50}, {110, 110}, {90, 30}} {
		r.add("a", pair[0])
		r.add("b", pair[1])
	}
	if got := r.ratio("a", "b"); got != 2 {
		t.Errorf("the median of 2, 1 and 3 is %v", got)
	}
	if r.median("a") != 100 || r.Results["a"] != 100.0 {
		t.Errorf("median %v", r.Results["a"])
	}
	r.baseline("a")
	if void, _ := r.Results["void"].([]string); len(void) != 1 {
		t.Errorf("a spread of 20 %% is not void: %v", r.Results)
	}
	r.atLeast("x", 1, 1)
	r.atMost("y", 1.1, 1)
	if !r.Targets[0].OK || r.Targets[1].OK {
		t.Errorf("%+v", r.Targets)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		v       []float64
		q, want float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{4, 1, 2, 3}, 0.5, 2.5},
		{[]float64{0, 100}, 0.99, 99}} {
		if got := quantile(c.v, c.q); fmt.Sprintf("%.6f", got) != fmt.Sprintf("%.6f", c.want) {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.v, c.q, got, c.want)
		}
	}
}
