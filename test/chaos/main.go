package main

import (
	"fmt"
	"os"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

func main() { os.Exit(run()) }

func run() int {
	s, err := readSettings(testkit.Setting)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	var v Verdict
	code := testkit.Main(func(t testkit.TB) {
		v = Run(t, NewPlan(s), os.Stdout)
		if !v.OK() {
			t.Errorf("the promise was broken: CHAOS_SEED=%d repeats this plan", s.Seed)
		}
	})
	fmt.Println(v.Line()) // after everything else that is said
	return code
}
