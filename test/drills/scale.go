package drills

import (
	"fmt"
	"regexp"
	"strconv"
)

// factor is by how much a drill is shorter than life.
const factor = 60

var (
	// waits and ranges are the times of a rules file: how long an alert waits, and the ranges of its queries.
	waits  = regexp.MustCompile(`(?m)^(\s+for: )(\d+)([smhd])$`)
	ranges = regexp.MustCompile(`(\[)(\d+)([smhd])\]`)
)

// Scale divides the times of Prometheus rules by 60: what stands behind "for:" and in the ranges of queries. It changes
// nothing else, thresholds least of all. A time that does not come out as whole seconds is an error.
func Scale(rules string) (string, error) {
	var bad error
	divide := func(count, unit string) string {
		n, err := strconv.Atoi(count)
		seconds := n * map[string]int{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
		if err != nil || seconds%factor != 0 || seconds == 0 {
			bad = fmt.Errorf("drills: %s%s does not become whole seconds", count, unit)
		}
		return strconv.Itoa(seconds/factor) + "s"
	}
	scaled := waits.ReplaceAllStringFunc(rules, func(s string) string {
		m := waits.FindStringSubmatch(s)
		return m[1] + divide(m[2], m[3])
	})
	scaled = ranges.ReplaceAllStringFunc(scaled, func(s string) string {
		m := ranges.FindStringSubmatch(s)
		return m[1] + divide(m[2], m[3]) + "]"
	})
	return scaled, bad
}
