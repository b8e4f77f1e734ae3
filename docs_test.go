package ctrip_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/config"
)

// TestDocsNameRealTests: a page that says which test holds a promise names one that exists.
func TestDocsNameRealTests(t *testing.T) {
	tracked, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	declared := make(map[string]bool)
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w+)\(`)
	for _, file := range strings.Fields(string(tracked)) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declaration.FindAllStringSubmatch(string(source), -1) {
			declared[m[1]] = true
		}
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	named := 0
	mention := regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w+)`")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
			named++
			if !declared[m[1]] {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named", named)
	}
}

// TestDocsQuoteFiles: a fence that names a file holds lines of that file as they are.
func TestDocsQuoteFiles(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := make(map[string]bool)
	fence := regexp.MustCompile("(?ms)^```\\w+ (\\S+/\\S+)\n(.*?)^```$")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			source, err := os.ReadFile(m[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
			} else if !strings.Contains(string(source), m[2]) {
				t.Errorf("%s quotes %s, which says it otherwise:\n%s", page, m[1], m[2])
			}
			quoted[m[1]] = true
		}
	}
	examples, err := exec.Command("git", "ls-files", "examples/*/main.go", "examples/*.mjs", "examples/*.py",
		"examples/*.php").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range strings.Fields(string(examples)) {
		if !quoted[file] {
			t.Errorf("no page quotes %s", file)
		}
	}
}

// TestDocsLinks: every relative link of the pages leads to a file, and to a heading where it names one.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]+))?\)`)
	for _, page := range append(pages, top...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], ":") {
				continue
			}
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if m[2] != "" && !slices.Contains(anchors(t, target), m[2]) {
				t.Errorf("%s links to %s, which has no heading %s", page, m[1], m[2])
			}
		}
	}
}

// anchors are the names by which headings of a Markdown page are linked to.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N}\s_-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// TestGoingLiveNamesRealThings: settings, metrics, alerts and routes of the checklist exist.
func TestGoingLiveNamesRealThings(t *testing.T) {
	text, err := os.ReadFile("docs/going-live.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	routes, err := os.ReadFile("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, page, named := config.Reference(), string(text), 0
	for _, kind := range []struct {
		what    string
		pattern string
		exists  func(string) bool
	}{
		{"setting", "`([A-Z]+(?:_[A-Z]+)+|ENV)\\b[^`]*`", func(s string) bool { return strings.Contains(settings, "| `"+s+"` |") || s == "_FILE" }},
		{"metric", "`(ctrip_[a-z_]+)`", func(s string) bool { return strings.Contains(string(alerts), s) }},
		{"alert", "`([A-Z][a-z]+[A-Z][A-Za-z]+)`", func(s string) bool {
			return strings.Contains(string(alerts), "alert: "+s+"\n") || strings.HasPrefix(s, "Test")
		}},
		{"route", "`((?:GET|POST|PATCH|DELETE) /api/v1[^`? ]*)", func(s string) bool { return strings.Contains(string(routes), "\n`"+s+"`") }},
	} {
		for _, m := range regexp.MustCompile(kind.pattern).FindAllStringSubmatch(page, -1) {
			named++
			if !kind.exists(m[1]) {
				t.Errorf("docs/going-live.md names the %s %s, which does not exist", kind.what, m[1])
			}
		}
	}
	if named < 40 {
		t.Errorf("only %d things are named", named)
	}
}
