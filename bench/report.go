package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// maxSpread is how far the repeats of a baseline may lie apart, as a share of their median, before the run is void.
const maxSpread = 0.15

// report is what a bench found.
type report struct {
	Bench   string         `json:"bench"`
	At      time.Time      `json:"at"`
	Cores   int            `json:"cores"`
	Results map[string]any `json:"results"`
	Targets []target       `json:"targets"`

	json   bool
	series []series
	signs  []string
}

// target is one figure that the product has to reach.
type target struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Target float64 `json:"target"`
	OK     bool    `json:"ok"`
}

// series are the repeats of one figure.
type series struct {
	name   string
	values []float64
}

func newReport(name string) *report {
	return &report{Bench: name, At: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(),
		Results: make(map[string]any), Targets: []target{}}
}

// add takes one repeat of a figure.
func (r *report) add(name string, value float64) {
	for i := range r.series {
		if r.series[i].name == name {
			r.series[i].values = append(r.series[i].values, value)
			return
		}
	}
	r.series = append(r.series, series{name, []float64{value}})
}

// median is the median of the repeats of a figure, and its place in the results.
func (r *report) median(name string) float64 {
	v := median(r.repeats(name))
	r.Results[name] = round(v)
	return v
}

func (r *report) repeats(name string) []float64 {
	for _, s := range r.series {
		if s.name == name {
			return s.values
		}
	}
	return nil
}

// ratio is the median of a ÷ b, pair by pair.
func (r *report) ratio(a, b string) float64 {
	as, bs := r.repeats(a), r.repeats(b)
	var ratios []float64
	for i := range min(len(as), len(bs)) {
		ratios = append(ratios, as[i]/bs[i])
	}
	return median(ratios)
}

// baseline notes how far the repeats of a baseline lie apart, and that the run is void when it is too far.
func (r *report) baseline(name string) {
	v := r.repeats(name)
	if len(v) == 0 {
		return
	}
	spread := (slices.Max(v) - slices.Min(v)) / median(v)
	r.Results[name+"_spread"] = round(spread)
	if spread > maxSpread {
		void, _ := r.Results["void"].([]string)
		r.Results["void"] = append(void, fmt.Sprintf("%s spreads over %.0f %%", name, spread*100))
	}
}

// atLeast and atMost add a target.
func (r *report) atLeast(name string, value, limit float64) {
	r.Targets, r.signs = append(r.Targets, target{name, round(value), limit, value >= limit}), append(r.signs, "≥")
}

func (r *report) atMost(name string, value, limit float64) {
	r.Targets, r.signs = append(r.Targets, target{name, round(value), limit, value <= limit && value > 0}),
		append(r.signs, "≤")
}

// print writes the table and, when asked for, the JSON line.
func (r *report) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "%s on %d cores\n\nfigure\tmedian\trepeats\n", r.Bench, r.Cores)
	for _, s := range r.series {
		r.median(s.name)
		fmt.Fprintf(tab, "%s\t%s\t", s.name, number(median(s.values)))
		for _, v := range s.values {
			fmt.Fprintf(tab, "%s ", number(v))
		}
		fmt.Fprintln(tab)
	}
	fmt.Fprintf(tab, "\ntarget\tvalue\tasked\t\n")
	for i, g := range r.Targets {
		verdict := "reached"
		if !g.OK {
			verdict = "missed"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s %s\t%s\n", g.Name, number(g.Value), r.signs[i], number(g.Target), verdict)
	}
	_ = tab.Flush() // standard output that is gone has nobody to be told
	if void, ok := r.Results["void"].([]string); ok {
		fmt.Fprintf(w, "\nvoid, because the machine was not quiet: %s\n", void)
	}
	if r.json {
		b, err := json.Marshal(r)
		if err != nil {
			b = []byte(err.Error())
		}
		fmt.Fprintf(w, "%s\n", b)
	}
}

func number(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// round keeps three decimals, and turns what JSON cannot say into 0.
func round(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Round(v*1000) / 1000
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile is the q-quantile of v, the mean of the two middle values where q falls between them; 0 for none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
