package drills

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestScale: every time of the rules is divided, and nothing else is touched.
func TestScale(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	scaled, err := Scale(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	before, after := strings.Split(string(raw), "\n"), strings.Split(scaled, "\n")
	if len(before) != len(after) {
		t.Fatalf("%d lines became %d", len(before), len(after))
	}
	timed := regexp.MustCompile(`for: \d+[mhd]$|\[\d+[mhd]\]`)
	times := regexp.MustCompile(`for: \d+[smhd]$|\[\d+[smhd]\]`)
	for i := range before {
		if got, want := times.ReplaceAllString(after[i], "T"), times.ReplaceAllString(before[i], "T"); got != want {
			t.Errorf("line %d: %q became %q", i+1, before[i], after[i])
		}
		if timed.MatchString(before[i]) == (before[i] == after[i]) {
			t.Errorf("line %d: %q became %q", i+1, before[i], after[i])
		}
	}
	got, err := Scale("expr: increase(x[1h]) > 3600 and rate(y[5m]) > 5m\n        for: 2m\n")
	if want := "expr: increase(x[60s]) > 3600 and rate(y[5s]) > 5m\n        for: 2s\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Scale("expr: rate(y[90s]) > 1"); err == nil {
		t.Error("a second and a half is taken")
	}
}
