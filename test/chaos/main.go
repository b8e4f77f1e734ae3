package main

import (
	"fmt"
	"os"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/test/chaos/money"
)

func main() { os.Exit(run()) }

func run() int {
	if testkit.Setting("CHAOS_PART") == "scanner" {
		return runMoney()
	}
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

// runMoney runs the part that is about money that arrives.
func runMoney() int {
	s, err := money.ReadSettings(testkit.Setting)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	var v money.Verdict
	code := testkit.Main(func(t testkit.TB) {
		if v = money.Run(t, money.NewPlan(s), os.Stdout); !v.OK() {
			t.Errorf("the promise was broken: CHAOS_PART=scanner CHAOS_SEED=%d repeats this plan", s.Seed)
		}
	})
	fmt.Println(v.Line())
	return code
}
