package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// bench is one thing that can be measured.
type bench struct {
	name, what string
	run        func(r *report, args []string) func(t testkit.TB)
}

var benches = []bench{
	{"deliver", "deliveries a second, against raw Asynq, a bare client, and two workers against one", deliver},
	{"latency", "commit of an event to its receipt, at 500/s and 2,000/s", latency},
	{"neighbour", "healthy endpoints beside one that hangs", neighbour},
	{"through", "payments created over REST to payment.created received", through},
	{"api", "payments created and pages read over REST, against a bare pgx loop, and at a million payments against ten " +
		"thousand", api},
	{"scan", "blocks caught up with, against a loop that only reads them; the lag behind fast blocks; a block to its webhook; " +
		"a million watched addresses against a thousand", scan},
}

// parts are the processes that the bench makes of itself.
var parts = map[string]func(args []string) error{"_receiver": runReceiver, "_raw": runRaw, "_bare": runBare}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		return usage()
	}
	if part, ok := parts[args[0]]; ok {
		if err := part(args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", args[0], err)
			return 1
		}
		return 0
	}
	for _, b := range benches {
		if b.name != args[0] {
			continue
		}
		measure := b.measure(args[1:], os.Stdout)
		return testkit.Main(measure)
	}
	return usage()
}

// measure reads the flags of a bench and returns what runs it and prints its report.
func (b bench) measure(args []string, w io.Writer) func(testkit.TB) {
	r := newReport(b.name)
	run := b.run(r, args)
	return func(t testkit.TB) {
		run(t)
		r.print(w)
	}
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: bench NAME [--json] [flags]; NAME --help lists its flags")
	for _, b := range benches {
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", b.name, b.what)
	}
	return 2
}

// flags are the flags that every bench has.
func (r *report) flags(defaultPairs int) (*flag.FlagSet, *int) {
	f := flag.NewFlagSet(r.Bench, flag.ExitOnError)
	f.BoolVar(&r.json, "json", false, "print one JSON object as the last line")
	return f, f.Int("pairs", defaultPairs, "interleaved repeats, of which the median counts")
}

// warmUpFlag is how long a rate is offered before anything is timed: connections are made and caches filled then.
func warmUpFlag(f *flag.FlagSet) *time.Duration {
	return f.Duration("warm-up", time.Second, "how long a rate is offered before anything is timed")
}

// settings is a flag that may be given several times: NAME=value for the processes of the gateway.
type settings []string

func (s *settings) String() string { return strings.Join(*s, " ") }

func (s *settings) Set(v string) error {
	if !strings.Contains(v, "=") {
		return fmt.Errorf("%q is not NAME=value", v)
	}
	*s = append(*s, v)
	return nil
}
