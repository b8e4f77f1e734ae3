package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// report prints the table of a run.
func report(out io.Writer, p Plan, v Verdict, restarted int, flush *rebuilt, took time.Duration) {
	fmt.Fprintf(out, "\nseed %d, %d events, %s\n\n", p.Seed, p.Events, took.Round(time.Second))
	fmt.Fprintf(out, "| fault | times | lost | duplicates | allowed | in work | recovery p50 | recovery max "+
		"|\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range v.byName() {
		r := v.ByFault[f]
		name := string(f)
		if name == "" {
			name = "(none)"
		}
		inWork := ""
		if r.InWork > 0 {
			inWork = fmt.Sprint(r.InWork)
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s | %s | %s |\n", name, r.Times, r.Lost, r.Duplicates, r.Allowed,
			inWork, recovery(r.Recovery, 0.5), recovery(r.Recovery, 1))
	}
	fmt.Fprintln(out)
	if flush != nil {
		fmt.Fprintf(out, "FLUSHALL with %d tasks: all re-enqueued after %s\n", flush.Pending, seconds(flush.Took))
	}
	if restarted > 0 {
		fmt.Fprintf(out, "processes that ended by themselves and were started again: %d\n", restarted)
	}
	for _, problem := range v.Problems {
		fmt.Fprintf(out, "FAULT: %s\n", problem)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// byName sorts the faults of a verdict in the order of [AllFaults]; what happened without one comes last.
func (v Verdict) byName() []Fault {
	var names []Fault
	for f := range v.ByFault {
		names = append(names, f)
	}
	rank := func(f Fault) int {
		if i := slices.Index(AllFaults, f); i >= 0 {
			return i
		}
		return len(AllFaults)
	}
	slices.SortFunc(names, func(a, b Fault) int { return cmp.Compare(rank(a), rank(b)) })
	return names
}

// quantile is the p-th part of sorted durations, 0 of none.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func recovery(sorted []time.Duration, p float64) string {
	if len(sorted) == 0 {
		return ""
	}
	return seconds(quantile(sorted, p))
}
