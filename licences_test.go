package ctrip_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite THIRD_PARTY")

// licenceName is what files with terms are called.
var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([._-].*)?$|\.LICENSE\.txt$`)

// linkedModule is a module that a program links, with the directories of the packages that it links of it.
type linkedModule struct {
	path, version, dir string
	packages           map[string]bool
}

// TestLicences holds THIRD_PARTY, which goes with the image and with every release, against what the programs link:
// each module in the version of go.mod, with every text of terms that lies beside the linked packages.
func TestLicences(t *testing.T) {
	want := licences(t)
	if *update {
		if err := os.WriteFile("THIRD_PARTY", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("THIRD_PARTY")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("THIRD_PARTY is not what the programs link; run: go test -run TestLicences . -update")
	}
	for _, needed := range []string{"github.com/ethereum/go-ethereum", "GNU LESSER GENERAL PUBLIC LICENSE",
		"GNU GENERAL PUBLIC LICENSE", "github.com/hibiken/asynq v", "The Go Authors"} {
		if !bytes.Contains(want, []byte(needed)) {
			t.Errorf("THIRD_PARTY does not hold %q", needed)
		}
	}
}

// linkedModules are the modules of the programs that are shipped, as Linux builds of them link.
func linkedModules(t *testing.T) []*linkedModule {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Dir,Module", "./cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*linkedModule)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir    string
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := all[p.Module.Path]
		if m == nil {
			m = &linkedModule{p.Module.Path, p.Module.Version, p.Module.Dir, make(map[string]bool)}
			all[p.Module.Path] = m
		}
		for dir := p.Dir; len(dir) >= len(m.dir); dir = filepath.Dir(dir) {
			m.packages[dir] = true
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *linkedModule) int { return strings.Compare(a.path, b.path) })
}

// terms are the texts of terms of a module, by their path in it: beside the linked packages and above them, and those
// that bundled scripts bring.
func (m *linkedModule) terms(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir(m.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !licenceName.MatchString(entry.Name()) ||
			strings.HasSuffix(entry.Name(), ".go") {
			return err
		}
		if !m.packages[filepath.Dir(path)] && !strings.HasSuffix(path, ".LICENSE.txt") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(m.dir, path)
		texts[name] = strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) == 0 {
		texts = m.inSource(t)
	}
	if len(texts) == 0 {
		t.Errorf("%s %s has no text of terms", m.path, m.version)
	}
	return texts
}

// inSource are the comments at the head of files that name a licence, for a module without a file of terms.
func (m *linkedModule) inSource(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(source), "\npackage ")
		if strings.Contains(head, "icense") && strings.Contains(head, "Copyright") {
			texts[filepath.Base(file)] = strings.TrimSpace(head)
			break // they are alike
		}
	}
	return texts
}

// licences is the file. A text that several modules share stands in it once.
func licences(t *testing.T) []byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	golang, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	users, order := make(map[string][]string), []string{}
	add := func(text, user string) {
		if users[text] == nil {
			order = append(order, text)
		}
		users[text] = append(users[text], user)
	}
	add(strings.TrimSpace(string(golang)), "the Go standard library and runtime: LICENSE")
	var index strings.Builder
	for _, m := range linkedModules(t) {
		fmt.Fprintf(&index, "  %s %s\n", m.path, m.version)
		texts := m.terms(t)
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			add(texts[name], m.path+" "+m.version+": "+filepath.ToSlash(name))
		}
	}
	var b bytes.Buffer
	b.WriteString("The programs of cTrip link the Go standard library and the modules below, each unchanged and in the\n" +
		"version named, whose source anybody gets by `go mod download MODULE@VERSION`. Their terms follow. With the\n" +
		"source of cTrip the programs can be built anew with other versions of them.\n\n" + index.String())
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n\n%s\n\n%s\n", strings.Repeat("=", 100), strings.Join(users[text], "\n"), text)
	}
	return b.Bytes()
}
