package suite

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// TestTree holds the division of our own tree against what a search of its text finds.
func TestTree(t *testing.T) {
	packages, err := Packages(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	in := make(map[string]Run)
	for _, p := range packages {
		if in[p.Path] != "" {
			t.Errorf("%s is in two runs, %s and %s", p.Path, in[p.Path], p.Run)
		}
		if !slices.Contains(Runs, p.Run) || (p.Why != "") != (p.Run == Race) {
			t.Errorf("%+v", p)
		}
		in[p.Path] = p.Run
	}
	const module = "github.com/ctrip-gateway/ctrip"
	concurrent := regexp.MustCompile(`(?m)^\s*(go func\(|go [\w.]+\(|"sync(/atomic)?"$)`)
	tests := 0
	for _, file := range tracked(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		name := strings.TrimSuffix(module+"/"+strings.TrimPrefix(dir, "."), "/")
		if strings.HasSuffix(file, "_test.go") {
			tests++
			if in[name] == "" {
				t.Errorf("%s is in no run", name)
			}
		}
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if in[name] == Plain && concurrent.Match(source) {
			t.Errorf("%s is concurrent, but tested without the race detector", file)
		}
		// What needs the programs of the gateway does not hold up `make test` with building them.
		needs := bytes.Contains(source, []byte("testkit.Programs(")) || bytes.Contains(source, []byte(`/testkit/gateway"`))
		if needs && in[name] != Real && !strings.HasPrefix(file, "internal/testkit/") {
			t.Errorf("%s needs the programs of the gateway, but is not in %s", file, Real)
		}
	}
	if tests < 100 {
		t.Errorf("only %d test files were found", tests)
	}
}

// TestOneConfiguration: nobody but testkit.Go compiles with the go tool, which would compile everything once more.
func TestOneConfiguration(t *testing.T) {
	compiles := regexp.MustCompile(`"go",\s*"(build|run|test|vet|install|tool|generate)"`)
	for _, file := range tracked(t) {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if at := compiles.Find(source); at != nil {
			t.Errorf("%s starts %s: testkit.Go and testkit.Programs do that", file, at)
		}
	}
}

func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go",
		":!deploy/helm/test") // a module of its own
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, file := range strings.Fields(string(out)) {
		if _, err := os.Stat(filepath.Join(root, file)); err == nil { // git still lists what was removed
			files = append(files, file)
		}
	}
	return files
}

// TestRule divides a module that has one package of each kind.
func TestRule(t *testing.T) {
	dir := t.TempDir()
	for file, source := range map[string]string{
		"go.mod":                "module example.com/m\n\ngo 1.26\n",
		"pure/pure.go":          "package pure\n\n// go f() in a comment\nvar S = \"go f()\"\n",
		"pure/pure_test.go":     "package pure\n",
		"starts/starts.go":      "package starts\n\nfunc F() { go F() }\n",
		"starts/starts_test.go": "package starts\n",
		"locks/locks.go":        "package locks\n",
		"locks/locks_test.go":   "package locks_test\n\nimport _ \"sync/atomic\"\n",
		"helper/helper.go":      "package helper\n\nimport _ \"sync\"\n",
		"helped/helped.go":      "package helped\n",
		"helped/helped_test.go": "package helped\n\nimport _ \"example.com/m/helper\"\n",
		"uses/uses.go":          "package uses\n\nimport _ \"example.com/m/starts\"\n",
		"uses/uses_test.go":     "package uses\n",
		"test/deep/deep.go":     "package deep\n\nimport _ \"sync\"\n",
		"test/deep/d_test.go":   "package deep\n",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Packages(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{
		{"example.com/m/helped", Race, "example.com/m/helper/helper.go:3"},
		{"example.com/m/locks", Race, "example.com/m/locks/locks_test.go:3"},
		{"example.com/m/pure", Plain, ""},
		{"example.com/m/starts", Race, "example.com/m/starts/starts.go:3"},
		{"example.com/m/test/deep", Real, ""},
		{"example.com/m/uses", Plain, ""}, // what starts does is tested with it there
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}
