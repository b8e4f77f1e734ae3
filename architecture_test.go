package ctrip_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ctrip-gateway/ctrip"

// pkg is what `go list -json` says of one package.
type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

// name is the path of the package inside the module.
func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go",
		append([]string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var ps []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// table reads the Markdown table under a heading of ARCHITECTURE.md: one slice of cells a row, without code quotes.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("ARCHITECTURE.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, "`", "")))
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatalf("the table of %q is empty", heading)
	}
	return rows[1:]
}

// layers in the order in which they may stand in the table of ARCHITECTURE.md.
var layers = []string{"words", "reasoning", "records", "operations", "entry points", "wiring", "programs"}

// TestLayers holds the imports against the tables of packages: a package imports only what stands above it.
func TestLayers(t *testing.T) {
	row := make(map[string]int) // package → its row, over both tables
	layer := 0
	for _, cells := range table(t, "Layers") {
		at := slices.Index(layers, cells[0])
		if at < layer {
			t.Errorf("%s is listed as %q behind %q", cells[1], cells[0], layers[layer])
		}
		layer = at
		row[cells[1]] = len(row) + 1
	}
	for _, cells := range table(t, "Beside the layers") {
		row[cells[0]] = len(row) + 1
	}
	seen := make(map[string]bool)
	for _, p := range list(t, "./...") {
		name := p.name()
		if name == "" {
			continue
		}
		mine, ok := row[name]
		if !ok {
			t.Errorf("%s is not in the tables of ARCHITECTURE.md", name)
			continue
		}
		seen[name] = true
		for _, imported := range p.Imports {
			theirs, ours := strings.CutPrefix(imported, module+"/")
			if ours && row[theirs] >= mine {
				t.Errorf("%s imports %s, which does not stand above it in ARCHITECTURE.md", name, theirs)
			}
		}
		if _, err := os.Stat(filepath.Join(p.Dir, "doc.go")); err != nil && len(p.GoFiles) > 0 {
			t.Errorf("%s has no doc.go", name)
		}
	}
	for name := range row {
		if !seen[name] {
			t.Errorf("ARCHITECTURE.md lists %s, which does not exist", name)
		}
	}
}

// TestChainOfImports: no chain of our own imports is longer than ten packages.
func TestChainOfImports(t *testing.T) {
	imports := make(map[string][]string)
	for _, p := range list(t, "./...") {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"/") {
				imports[p.ImportPath] = append(imports[p.ImportPath], imported)
			}
		}
	}
	longest := make(map[string][]string)
	var chain func(string) []string
	chain = func(name string) []string {
		if known, ok := longest[name]; ok {
			return known
		}
		var below []string
		for _, imported := range imports[name] {
			if c := chain(imported); len(c) > len(below) {
				below = c
			}
		}
		longest[name] = append([]string{strings.TrimPrefix(name, module+"/")}, below...)
		return longest[name]
	}
	for name := range imports {
		if c := chain(name); len(c) > 10 {
			t.Errorf("a chain of %d packages: %s", len(c), strings.Join(c, " → "))
		}
	}
}

// TestLibraryOwners holds the imports against the owner table: one library, one package that knows it. Tests may use
// what they like.
func TestLibraryOwners(t *testing.T) {
	owners := table(t, "Library owners")
	for _, p := range list(t, "./...") {
		for _, imported := range p.Imports {
			for _, row := range owners {
				library, packages := row[0], strings.Split(row[1], ", ")
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(packages, p.name()) {
					t.Errorf("%s imports %s, which belongs to %s", p.name(), imported, row[1])
				}
			}
		}
	}
}

// TestEnvironmentIsReadOnce: os.Getenv and its kin are config's, and devnet's and testkit's for nothing but tests.
func TestEnvironmentIsReadOnce(t *testing.T) {
	for _, p := range list(t, "./...") {
		if name := p.name(); name == "config" || strings.HasPrefix(name, "internal/testkit") {
			continue
		}
		for _, name := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []string{"os.Getenv(", "os.LookupEnv(", "os.Environ("} {
				if bytes.Contains(src, []byte(call)) {
					t.Errorf("%s/%s calls %s)", p.name(), name, call)
				}
			}
		}
	}
}

// TestProductionBinaries: nothing of the toy world is linked into what a merchant's money depends on.
func TestProductionBinaries(t *testing.T) {
	toys := []string{
		module + "/internal/devnet", module + "/internal/testkit", module + "/internal/store/sqlite", "github.com/glebarez/",
		"modernc.org/sqlite", "github.com/alicebob/miniredis", "github.com/ethereum/go-ethereum/ethclient/simulated",
		"github.com/ethereum/go-ethereum/node", "github.com/ethereum/go-ethereum/core/vm", "testing",
	}
	for _, binary := range []string{"./cmd/api", "./cmd/worker", "./cmd/scanner", "./cmd/ctripctl"} {
		for _, p := range list(t, "-deps", binary) {
			for _, toy := range toys {
				if p.ImportPath == toy || strings.HasPrefix(p.ImportPath, strings.TrimSuffix(toy, "/")+"/") {
					t.Errorf("%s links %s", binary, p.ImportPath)
				}
			}
		}
	}
}

var reference = regexp.MustCompile("`([a-z][a-z0-9_/]*\\.go):((?:[A-Za-z]+\\.)?[A-Za-z]+)`")

// TestNamedFunctionsExist looks up every `file:Func` that ARCHITECTURE.md names.
func TestNamedFunctionsExist(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	found := reference.FindAllStringSubmatch(string(doc), -1)
	if len(found) < 10 {
		t.Fatalf("ARCHITECTURE.md names %d functions", len(found))
	}
	for _, ref := range found {
		file, err := parser.ParseFile(token.NewFileSet(), ref[1], nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", ref[0], err)
			continue
		}
		if !slices.Contains(functions(file), ref[2]) {
			t.Errorf("%s: no such function", ref[0])
		}
	}
}

// functions names a file's functions: "New", "Store.InTx".
func functions(file *ast.File) []string {
	var names []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			recv := f.Recv.List[0].Type
			if star, ok := recv.(*ast.StarExpr); ok {
				recv = star.X
			}
			if id, ok := recv.(*ast.Ident); ok {
				name = id.Name + "." + name
			}
		}
		names = append(names, name)
	}
	return names
}
