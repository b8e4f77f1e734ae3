package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"gopkg.in/yaml.v3"

	"github.com/ctrip-gateway/ctrip/internal/answer"
)

// alert is one rule of rules.yml.
type alert struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	raw, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(raw)))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range rules.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// metrics are the labels of every metric that docs/metrics.md lists; the test of internal/telemetry holds that page to
// the code.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	row := regexp.MustCompile("(?m)^\\| `(ctrip_\\w+)` \\| (\\w+) \\| ([\\w, ]*) \\|")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		labels := strings.Split(m[3], ", ")
		all[m[1]] = labels
		if m[2] == "histogram" {
			all[m[1]+"_bucket"], all[m[1]+"_sum"], all[m[1]+"_count"] = append(labels, "le"), labels, labels
		}
	}
	if len(all) < 40 {
		t.Fatalf("only %d metrics", len(all))
	}
	return all
}

// checkQuery holds a query of Prometheus to the metrics, labels and classes that there are. Variables of a dashboard
// stand for anything.
func checkQuery(t *testing.T, where, query string, known map[string][]string) {
	t.Helper()
	expr, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return
	}
	classes := make(map[string]bool)
	for _, c := range answer.Classes() {
		classes[string(c)] = true
	}
	found := 0
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok || len(m.LabelFilterss) == 0 {
			return
		}
		found++
		name := m.LabelFilterss[0][0].Value
		labels, ok := known[name]
		if !ok {
			t.Errorf("%s: nobody exports %s", where, name)
			return
		}
		for _, f := range m.LabelFilterss[0][1:] {
			if !slices.Contains(labels, f.Label) && f.Label != "instance" && f.Label != "job" {
				t.Errorf("%s: %s has no label %s", where, name, f.Label)
			}
			if f.Label == "class" && !f.IsRegexp && !classes[f.Value] {
				t.Errorf("%s: no attempt has the class %s", where, f.Value)
			}
		}
	})
	if found == 0 {
		t.Errorf("%s: %s is about no metric", where, query)
	}
}

// TestAlertsNameRealMetrics: an alert on a metric that nobody exports, or on a class that no answer has, never fires;
// one without a section in the runbook helps nobody.
func TestAlertsNameRealMetrics(t *testing.T) {
	runbook, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, s := range strings.Split(string(runbook), "\n### ")[1:] {
		name, text, _ := strings.Cut(s, "\n")
		sections[name], _, _ = strings.Cut(text, "\n## ")
	}
	known, seen := metrics(t), make(map[string]bool)
	for _, a := range alerts(t) {
		if seen[a.Alert] || a.Labels["severity"] == "" || a.Annotations["summary"] == "" || a.Annotations["action"] == "" ||
			a.Annotations["runbook"] != "docs/runbook.md#"+strings.ToLower(a.Alert) {
			t.Errorf("%s: incomplete, or there twice", a.Alert)
		}
		seen[a.Alert] = true
		checkQuery(t, a.Alert, a.Expr, known)
		section := strings.ToLower(sections[a.Alert])
		for _, part := range []string{"**it means**", "**do**", "**over when**"} {
			if !strings.Contains(section, part) {
				t.Errorf("docs/runbook.md: the section of %s has no %s", a.Alert, part)
			}
		}
		delete(sections, a.Alert)
	}
	for name := range sections {
		t.Errorf("docs/runbook.md tells of an alert %s that does not exist", name)
	}
	// What the security page promises to be told of.
	for _, name := range []string{"WebhooksFail", "WebhookSignaturesRejected", "EndpointsRejectSignatures",
		"WebhooksBlocked", "WebhooksLate", "WebhooksDie",
		"SecretOld", "AuditBroken", "ApiKeysGuessed", "ChainHalted", "NoWorker", "NoScanner"} {
		if !seen[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// TestAlertsFire lets Prometheus' own tool play the scenarios of rules_test.yml: the cause of each alert makes it fire,
// and it alone, and it stops when the cause has gone. Every alert has a scenario.
func TestAlertsFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: scripts/setup installs it, or the package prometheus")
	}
	scenarios, err := os.ReadFile("prometheus/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if !strings.Contains(string(scenarios), `alertname="`+a.Alert+`"`) {
			t.Errorf("no scenario lets %s fire", a.Alert)
		}
	}
	run := func(dir string) error {
		cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", "rules_test.yml")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	}
	if err := run("prometheus"); err != nil {
		t.Error(err)
	}
	rules, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	deaf := t.TempDir() // the same scenarios see an alert that has become deaf
	changed := strings.Replace(string(rules), "ctrip_chain_halted == 1", "ctrip_chain_halted == 2", 1)
	_, one, _ := strings.Cut(string(scenarios), "  - name: ChainHalted\n")
	one, _, _ = strings.Cut(one, "  - name: ")
	one = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - name: ChainHalted\n" + one
	for name, text := range map[string]string{"rules.yml": changed, "rules_test.yml": one} {
		if err := os.WriteFile(filepath.Join(deaf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if run(deaf) == nil {
		t.Error("the scenarios do not see an alert that cannot fire")
	}
}
