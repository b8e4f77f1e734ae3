// Command bench measures the gateway against its baselines, all in one run on one machine:
//
//	go run ./bench deliver|latency|neighbour|through|api|scan [--json] [flags]
//
// The gateway is its production binaries, as processes on a Postgres (fsync on) and a Redis (append-only file, synced
// every second) that the bench starts itself. The baselines are raw Asynq, which signs and POSTs and keeps no record,
// and a bare client without a queue; they, the receiver and the gateway's processes are each a process of their own.
//
// Runs are interleaved in pairs, and a figure is the median of its repeats; docs/performance.md says how each is taken.
// A table goes to standard output; with --json its last line is one object. The exit code is 0 whenever the bench ran:
// a missed target is a fact, not an error.
package main
