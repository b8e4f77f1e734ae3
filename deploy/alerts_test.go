package deploy_test

import (
	"io"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// TestAlertsNameRealMetrics: an alert on a metric that nobody exports never fires.
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
	source, err := os.ReadFile("../internal/telemetry/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	telemetry.NewMetrics().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	exported, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	metric := regexp.MustCompile(`ctrip_[a-z_]+`)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || r.Expr == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("%s: incomplete, or there twice", r.Alert)
			}
			seen[r.Alert] = true
			names := metric.FindAllString(r.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s is about no metric", r.Alert)
			}
			for _, name := range names {
				if !strings.Contains(string(source), `"`+name+`"`) && !strings.Contains(string(exported), name) {
					t.Errorf("%s: nobody exports %s", r.Alert, name)
				}
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %d alerts", len(seen))
	}
}
