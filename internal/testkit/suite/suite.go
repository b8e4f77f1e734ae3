package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Run is one of the runs that test packages are divided into.
type Run string

const (
	// Plain is the part of `make test` that runs without the race detector.
	Plain Run = "plain"
	// Race is the part of `make test` that runs with it.
	Race Run = "race"
	// Real is `make test-real`: the programs as processes, other languages, browsers. The race detector is off, because
	// the programs are those that ship.
	Real Run = "real"
)

// Runs are all of them.
var Runs = []Run{Plain, Race, Real}

// realTrees are the directories of Real.
var realTrees = []string{"bench", "test"}

// Package is a package that has tests.
type Package struct {
	Path string // the import path
	Run  Run
	Why  string // for Race: the place in the code that decided it
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir                              string
	Module                                       struct{ Path string }
	GoFiles, CgoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports           []string
}

func (p listed) files() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles)
}

func (p listed) hasTests() bool { return len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 }

// Packages are the packages with tests of the module in dir, in the order of their paths.
func Packages(ctx context.Context, dir string) ([]Package, error) {
	all, err := list(ctx, dir)
	if err != nil {
		return nil, err
	}
	why := make(map[string]string)
	for _, p := range all {
		if why[p.ImportPath], err = concurrency(p); err != nil {
			return nil, err
		}
	}
	var packages []Package
	for _, p := range all {
		if !p.hasTests() {
			continue
		}
		switch reason := raceReason(p, all, why); {
		case inRealTrees(p):
			packages = append(packages, Package{p.ImportPath, Real, ""})
		case reason != "":
			packages = append(packages, Package{p.ImportPath, Race, reason})
		default:
			packages = append(packages, Package{p.ImportPath, Plain, ""})
		}
	}
	return packages, nil
}

func inRealTrees(p listed) bool {
	name := strings.TrimPrefix(p.ImportPath, p.Module.Path+"/")
	top, _, _ := strings.Cut(name, "/")
	return slices.Contains(realTrees, top)
}

// raceReason says why p is tested with the race detector, "" if it is not. The code of packages that have no tests of
// their own, helpers of tests for example, counts for the packages that import them.
func raceReason(p listed, all []listed, why map[string]string) string {
	if why[p.ImportPath] != "" {
		return why[p.ImportPath]
	}
	imports := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	for _, other := range all {
		if !other.hasTests() && why[other.ImportPath] != "" && slices.Contains(imports, other.ImportPath) {
			return why[other.ImportPath]
		}
	}
	return ""
}

// concurrency finds the first go statement of a package or its tests, or import of sync, sync/atomic or x/sync:
// "file:line".
func concurrency(p listed) (string, error) {
	files := token.NewFileSet()
	for _, name := range p.files() {
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		if pos := firstConcurrency(file); pos.IsValid() {
			at := files.Position(pos)
			return fmt.Sprintf("%s/%s:%d", p.ImportPath, filepath.Base(at.Filename), at.Line), nil
		}
	}
	return "", nil
}

func firstConcurrency(file *ast.File) token.Pos {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err == nil && (path == "sync" || path == "sync/atomic" || strings.HasPrefix(path, "golang.org/x/sync/")) {
			return spec.Pos()
		}
	}
	found := token.NoPos
	ast.Inspect(file, func(n ast.Node) bool {
		if statement, ok := n.(*ast.GoStmt); ok && !found.IsValid() {
			found = statement.Pos()
		}
		return !found.IsValid()
	})
	return found
}

// list asks the go tool for every package of the module in dir.
func list(ctx context.Context, dir string) ([]listed, error) {
	fields := "-json=ImportPath,Dir,Module,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports"
	cmd := exec.CommandContext(ctx, "go", "list", fields, "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("suite: go list: %w", err)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("suite: go list: %w", err)
		}
		all = append(all, p)
	}
}
