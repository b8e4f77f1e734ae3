package reference

import (
	"os"
	"regexp"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
)

// page is the reference of the API's own file.
func page(t *testing.T) *Page {
	t.Helper()
	file, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := openapi.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(spec, []Problem{{"not_found", 404, "There is no such thing"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLinksLeadToHeadings: every heading has an anchor of its own, and every link within the page leads to one.
func TestLinksLeadToHeadings(t *testing.T) {
	text, err := page(t).Markdown()
	if err != nil {
		t.Fatal(err)
	}
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		if a := anchor(m[1]); headings[a] {
			t.Errorf("two headings are linked to as #%s", a)
		} else {
			headings[a] = true
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !headings[m[1]] {
			t.Errorf("a link leads to #%s, which is not there", m[1])
		}
	}
}

// TestAlwaysTheSame: nothing in it depends on the order of a map.
func TestAlwaysTheSame(t *testing.T) {
	first, err := page(t).Markdown()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if next, err := page(t).Markdown(); err != nil || next != first {
			t.Fatalf("it differs, %v", err)
		}
	}
}
