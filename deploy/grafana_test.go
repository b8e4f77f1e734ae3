package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDashboardsShowRealMetrics: every panel asks for metrics and labels that exist, and every metric is on some
// dashboard.
func TestDashboardsShowRealMetrics(t *testing.T) {
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("dashboards %v, %v", files, err)
	}
	known, shown := metrics(t), ""
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID, Title string
			Panels     []struct {
				Title, Description string
				Targets            []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(raw, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if board.UID != strings.TrimSuffix(filepath.Base(file), ".json") || board.Title == "" {
			t.Errorf("%s: uid %q, title %q", file, board.UID, board.Title)
		}
		for _, p := range board.Panels {
			if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
				t.Errorf("%s: an incomplete panel %q", file, p.Title)
			}
			for _, target := range p.Targets {
				checkQuery(t, file+": "+p.Title, target.Expr, known)
				shown += target.Expr + "\n"
			}
		}
	}
	for name := range known {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if !strings.Contains(shown, base) && name != "ctrip_chain_head_block" && name != "ctrip_chain_head_age_seconds" {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}
