package telemetry_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// TestEveryMetricIsRecorded: a metric that nothing records stays at zero for good, and an alert on it never fires.
// Every method of Metrics is called by the gateway itself, not only by tests.
func TestEveryMetricIsRecorded(t *testing.T) {
	called := make(map[string]bool)
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() &&
			(name == "testdata" || name == "testkit" || name == "telemetry" || strings.HasPrefix(name, ".") && len(name) > 2):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			return metricsCalls(path, called)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	methods := reflect.TypeFor[*telemetry.Metrics]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !called[name] {
			t.Errorf("nothing calls Metrics.%s", name)
		}
	}
}

// metricsCalls adds the methods that a file calls, or passes on to be called, on something named metrics, such as
// s.opts.Metrics.
func metricsCalls(path string, called map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		method, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		receiver := ""
		switch x := method.X.(type) {
		case *ast.Ident:
			receiver = x.Name
		case *ast.SelectorExpr:
			receiver = x.Sel.Name
		}
		if strings.EqualFold(receiver, "metrics") {
			called[method.Sel.Name] = true
		}
		return true
	})
	return nil
}
