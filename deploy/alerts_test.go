package deploy_test

import (
	"io"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"gopkg.in/yaml.v3"

	"github.com/ctrip-gateway/ctrip/internal/answer"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// TestAlertsNameRealMetrics: an alert that does not parse, on a metric that nobody exports, or on a class that no
// answer has, never fires.
func TestAlertsNameRealMetrics(t *testing.T) {
	raw, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(raw)))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, file := range []string{"metrics.go", "chains.go"} {
		text, err := os.ReadFile("../internal/telemetry/" + file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	w := httptest.NewRecorder()
	telemetry.NewMetrics().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	exported, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	classes := make(map[string]bool)
	for _, c := range answer.Classes() {
		classes[string(c)] = true
	}
	seen := make(map[string]bool)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || r.Expr == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" ||
				r.Annotations["action"] == "" {
				t.Errorf("%s: incomplete, or there twice", r.Alert)
			}
			seen[r.Alert] = true
			expr, err := metricsql.Parse(r.Expr)
			condition, ok := expr.(*metricsql.BinaryOpExpr)
			if err != nil || !ok || !slices.Contains([]string{">", "<", "==", "!=", ">=", "<="}, condition.Op) {
				t.Errorf("%s: %s is no condition: %v", r.Alert, r.Expr, err)
				continue
			}
			if d, err := time.ParseDuration(r.For); r.For != "" && (err != nil || d <= 0) {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			found := 0
			metricsql.VisitAll(expr, func(e metricsql.Expr) {
				switch e := e.(type) {
				case *metricsql.FuncExpr:
					if e.Name == "absent" {
						return
					}
					if window, ok := e.Args[0].(*metricsql.RollupExpr); !ok || window.Window == nil ||
						e.Name != "rate" && e.Name != "increase" {
						t.Errorf("%s: %s is no rate or increase over a time", r.Alert, e.AppendString(nil))
					}
				case *metricsql.AggrFuncExpr:
					if e.Name != "sum" && e.Name != "max" {
						t.Errorf("%s: %s?", r.Alert, e.Name)
					}
				case *metricsql.MetricExpr:
					found++
					name := e.LabelFilterss[0][0].Value
					if !strings.Contains(string(source), `"`+name+`"`) && !strings.Contains(string(exported), name) {
						t.Errorf("%s: nobody exports %s", r.Alert, name)
					}
					for _, f := range e.LabelFilterss[0][1:] {
						declared := regexp.MustCompile(`"` + name + `",\s+"[^"]*",\s+("\w+",\s+)*"` + f.Label + `"[,)]`)
						switch {
						case f.Label == "class" && !f.IsRegexp && !classes[f.Value]:
							t.Errorf("%s: no attempt has the class %s", r.Alert, f.Value)
						case !declared.Match(source):
							t.Errorf("%s: %s has no label %s", r.Alert, name, f.Label)
						}
					}
				}
			})
			if found == 0 {
				t.Errorf("%s is about no metric", r.Alert)
			}
		}
	}
	// What the security page promises to be told of.
	for _, name := range []string{"WebhooksFail", "WebhookSignaturesRejected", "EndpointsRejectSignatures",
		"WebhooksBlocked", "WebhooksLate", "WebhooksDie",
		"SecretOld", "AuditBroken", "ApiKeysGuessed", "ChainHalted", "NoWorker", "NoScanner"} {
		if !seen[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %d alerts", len(seen))
	}
}
