package telemetry

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const referenceHead = `# Metrics

Every process serves these at ` + "`/metrics`" + ` of its ops listener, with those of the Go runtime and the process. Each process tells of what it
does itself: webhooks and lanes come from workers, chains from scanners, requests from APIs. Durations are in seconds. Labels have few values: an
API route is its pattern, a provider its host. This page is written by ` + "`make update-golden`" + ` from the code.

| metric | type | labels | what it is |
|---|---|---|---|
`

// TestReference: docs/metrics.md lists every metric, with its type and its labels.
func TestReference(t *testing.T) {
	const page = "../../docs/metrics.md"
	want := referenceHead + strings.Join(rows(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("docs/metrics.md is not what the code says (%v): run make update-golden", err)
	}
}

// rows are the lines of the table. A metric that useAll does not move has no type, and fails.
func rows(t *testing.T) []string {
	t.Helper()
	m := NewMetrics()
	useAll(m)
	m.ChainAge("base", 0, 0)
	m.ChainFinalLag("base", 0)
	m.BalancePass("base", 1, 0, true)
	types := make(map[string]string)
	for _, f := range regexp.MustCompile(`(?m)^# TYPE (ctrip_\w+) (\w+)$`).FindAllStringSubmatch(scrape(t, m), -1) {
		types[f[1]] = f[2]
	}
	described := make(chan *prometheus.Desc)
	go func() { m.registry.Describe(described); close(described) }()
	desc := regexp.MustCompile(`fqName: "(\w+)", help: "(.*?)", (?:unit: ".*?", )?constLabels: \{(.*)\}, variableLabels: \{([^}]*)\}`)
	var rows []string
	for d := range described {
		f := desc.FindStringSubmatch(d.String())
		if f == nil {
			t.Fatalf("%s is described in another form", d)
		}
		name, help, labels := f[1], f[2], strings.ReplaceAll(f[4], ",", ", ")
		if f[3] != "" {
			labels = strings.Join(regexp.MustCompile(`\w+="`).FindAllString(f[3], -1), ", ")
			labels = strings.ReplaceAll(labels, `="`, "")
		}
		if !strings.HasPrefix(name, "ctrip_") {
			continue
		}
		if types[name] == "" {
			t.Errorf("no test moves %s", name)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name, types[name], labels, help))
	}
	slices.Sort(rows)
	return rows
}
