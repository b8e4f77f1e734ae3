package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestChaos is the short form: every fault once, Postgres away for seconds instead of a minute. CHAOS_SEED repeats a
// plan.
func TestChaos(t *testing.T) {
	s, err := readSettings(func(name string) string {
		if name == "CHAOS_SEED" {
			return os.Getenv(name)
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Events, s.Min, s.PostgresAway, s.Stall, s.Backlog = 600, 1, 5*time.Second, 4*time.Second, 0
	v := chaos(t, s)
	for _, f := range AllFaults {
		if v.ByFault[f] == nil || v.ByFault[f].Times != 1 {
			t.Errorf("%s was not injected once: %+v", f, v.ByFault[f])
		}
	}
	for f, row := range v.ByFault {
		if most := row.Recovery; f.kills() && len(most) > 0 && most[len(most)-1] > time.Minute {
			t.Errorf("%s: a delivery was tried again only after %s", f, most[len(most)-1])
		}
	}
}

// TestNoChaos: without a fault nothing comes twice.
func TestNoChaos(t *testing.T) {
	v := chaos(t, Settings{Events: 300, Seed: 1, Min: 1})
	if v.Duplicates != 0 || v.Allowed != 0 {
		t.Errorf("%s", v.Line())
	}
}

func chaos(t *testing.T, s Settings) Verdict {
	t.Helper()
	var out strings.Builder
	v := Run(t, NewPlan(s), &out)
	t.Logf("%s%s", &out, v.Line())
	if !v.OK() {
		t.Errorf("the promise was broken; CHAOS_SEED=%s repeats this plan", strconv.FormatUint(s.Seed, 10))
	}
	if want := s.Events * endpointsPerMerchant; v.Events != want {
		t.Errorf("%d events × endpoints, want %d", v.Events, want)
	}
	return v
}
