package webhook_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 8 {
		t.Fatalf("found only %d source files", len(files))
	}
	return files
}

// TestOnlyStandardLibrary: a merchant imports this package, so it brings nothing along.
func TestOnlyStandardLibrary(t *testing.T) {
	const own = "github.com/ctrip-gateway/ctrip/webhook"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}",
		".")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := strings.Fields(string(out)); !slices.Equal(got, []string{own}) {
		t.Errorf("this package and what it imports outside the standard library: %v", got)
	}
}

// Two functions sign, and every use of HMAC beyond comparing is in them.
func TestTwoFunctionsSign(t *testing.T) {
	var signers []string
	for _, f := range sources(t) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "New" {
					if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "hmac" {
						signers = append(signers, fn.Name.Name)
					}
				}
				return true
			})
		}
	}
	slices.Sort(signers)
	if !slices.Equal(signers, []string{"Sign", "SignBody"}) {
		t.Fatalf("functions that sign: %v", signers)
	}
}

func TestFilesAreShort(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n > 400 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}
