package api

import (
	"os"
	"strings"
	"testing"
)

const apiPage = "../../docs/api.md"

// TestAPIPage: docs/api.md is what openapi.yaml says, and names every operation, parameter, field, code, event and
// schema.
func TestAPIPage(t *testing.T) {
	s := loadSpec(t)
	page, err := newReference(s)
	if err != nil {
		t.Fatal(err)
	}
	want, err := page.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(apiPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what openapi.yaml says: run go generate ./internal/api", apiPage)
	}
	names := 0
	holds := func(what, text string) {
		if names++; !strings.Contains(want, text) {
			t.Errorf("%s: %q is missing", what, text)
		}
	}
	for path, item := range s.Document().Paths.Map() {
		for method, op := range item.Operations() {
			holds(op.OperationID, "\n`"+method+" "+path+"`")
			for _, p := range append(op.Parameters, item.Parameters...) {
				holds(op.OperationID, "| `"+p.Value.Name+"`")
			}
		}
	}
	for name, ref := range s.Document().Components.Schemas {
		holds("schemas", "\n### "+name+"\n")
		for field := range ref.Value.Properties {
			holds(name, "| `"+field+"`")
		}
		for _, value := range ref.Value.Enum {
			holds(name, "`"+value.(string)+"`")
		}
	}
	for _, k := range kinds {
		holds("problems", "| `"+string(k.code)+"` |")
	}
	if names < 300 {
		t.Errorf("only %d names", names)
	}
}
