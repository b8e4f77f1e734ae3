package main

import "github.com/ctrip-gateway/ctrip/internal/testkit"

func latency(r *report, args []string) func(testkit.TB)   { return nil }
func neighbour(r *report, args []string) func(testkit.TB) { return nil }
func through(r *report, args []string) func(testkit.TB)   { return nil }
