package api

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const apiPage = "../../docs/api.md"

// TestAPIPage: docs/api.md is what openapi.yaml says, and names every operation, parameter, field, code, event and schema.
func TestAPIPage(t *testing.T) {
	want, err := Reference()
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
	s, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	holds := func(what, text string) {
		if names++; !strings.Contains(want, text) {
			t.Errorf("%s: %q is missing", what, text)
		}
	}
	for path, item := range s.doc.Paths.Map() {
		for method, op := range item.Operations() {
			holds(op.OperationID, "\n`"+method+" "+path+"`")
			for _, p := range append(op.Parameters, item.Parameters...) {
				holds(op.OperationID, "| `"+p.Value.Name+"`")
			}
		}
	}
	for name, ref := range s.doc.Components.Schemas {
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
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(want, -1) {
		if a := anchor(m[1]); headings[a] {
			t.Errorf("two headings are linked to as #%s", a)
		} else {
			headings[a] = true
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(want, -1) {
		if !headings[m[1]] {
			t.Errorf("a link leads to #%s, which is not there", m[1])
		}
	}
}

// TestReferenceIsAlwaysTheSame: nothing in it hangs on the order of a map.
func TestReferenceIsAlwaysTheSame(t *testing.T) {
	first, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := Reference(); err != nil || again != first {
			t.Fatalf("it differs, %v", err)
		}
	}
}
