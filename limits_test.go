package ctrip_test

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxFile     = 400 // lines of a file that is neither generated nor a test
	maxFunction = 60  // lines of a function outside of tests
	maxLong     = 3   // functions of the whole tree that may be longer, each with a reason in its comment
	maxColumn   = 120 // a tab is one column
)

// goFiles lists the Go files of the tree that somebody wrote.
func goFiles(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(trackedFiles(t, "*.go"), func(name string) bool {
		return strings.HasSuffix(name, ".gen.go") || strings.Contains(name, "testdata/")
	})
}

// TestFileLengths: a reader can scan a file, and see a function at once.
func TestFileLengths(t *testing.T) {
	long := 0
	for _, name := range goFiles(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if n := fset.File(file.Pos()).LineCount(); n > maxFile {
			t.Errorf("%s has %d lines, more than %d", name, n, maxFile)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
			if lines <= maxFunction {
				continue
			}
			long++
			if !strings.Contains(f.Doc.Text(), "because") || long > maxLong {
				t.Errorf("%s: %s has %d lines, more than %d: its comment must say because of what, and at most %d of the tree may",
					name, f.Name.Name, lines, maxFunction, maxLong)
			}
		}
	}
}

// statement is how a string with SQL begins.
var statement = regexp.MustCompile(
	"^[`\"]\\s*(?i:select|insert|update|delete|with|create|alter|drop|explain|set|lock)\\b")

// mayBeLong reports for each line of a file whether it may be longer than the others: it lies in a raw string of
// several lines, it holds SQL, a URL, the tag of a field or one string that fills most of it, the output of an example,
// or is a row of a table of test data.
func mayBeLong(name string, source []byte) map[int]bool {
	may := make(map[int]bool)
	fset := token.NewFileSet()
	file := fset.AddFile(name, fset.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	output := false // the comment with what an example prints
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			break
		}
		output = tok == token.COMMENT && (output || strings.HasPrefix(literal, "// Output:"))
		line, lines := fset.Position(pos).Line, strings.Count(literal, "\n")
		switch {
		case output, tok == token.STRING && (lines > 0 || statement.MatchString(literal) || strings.Contains(literal, "://")),
			tok == token.STRING &&
				(strings.HasPrefix(literal, "`") && strings.Contains(literal, `:"`) || utf8.RuneCountInString(literal) > 80),
			tok == token.COMMENT && (strings.HasPrefix(literal, "//go:") || strings.Contains(literal, "://")):
			for i := range lines + 1 {
				may[line+i] = true
			}
		}
	}
	if strings.HasSuffix(name, "_test.go") {
		for i, line := range strings.Split(string(source), "\n") {
			row := strings.TrimSpace(line)
			if strings.HasSuffix(row, ",") && (strings.HasPrefix(row, "{") || strings.HasPrefix(row, `"`)) {
				may[i+1] = true
			}
		}
	}
	return may
}

// TestLineLengths: lines end by column 120, except where [mayBeLong] says that a break would hurt.
func TestLineLengths(t *testing.T) {
	for _, name := range goFiles(t) {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		may := mayBeLong(name, source)
		for i, line := range strings.Split(string(source), "\n") {
			if n := utf8.RuneCountInString(line); n > maxColumn && !may[i+1] {
				t.Errorf("%s:%d: %d columns", name, i+1, n)
			}
		}
	}
}

// TestStoreDecidesNothing: the store reads and writes rows. What is sent to whom, and when, comes in as an argument.
func TestStoreDecidesNothing(t *testing.T) {
	for _, p := range list(t, "./internal/store") {
		for _, imported := range p.Imports {
			if theirs, ours := strings.CutPrefix(imported, module+"/"); ours && theirs != "models" {
				t.Errorf("internal/store imports %s", theirs)
			}
		}
	}
}

// TestDeliveryIsOneTrade: internal/delivery makes attempts and nothing else, so that a reader can hold it in mind.
func TestDeliveryIsOneTrade(t *testing.T) {
	files, exported := 0, 0
	for _, name := range goFiles(t) {
		if filepath.Dir(name) != "internal/delivery" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			exported += exportedBy(decl)
		}
	}
	if files >= 20 || exported >= 60 {
		t.Errorf("internal/delivery has %d files and %d exported names, not under 20 and 60", files, exported)
	}
}

// exportedBy counts the exported functions, methods, types, constants and variables of a declaration.
func exportedBy(decl ast.Decl) int {
	n := 0
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() {
			n++
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					n++
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						n++
					}
				}
			}
		}
	}
	return n
}

// TestExamples: examples are the manual, and every package that offers a verb has some.
func TestExamples(t *testing.T) {
	examples := make(map[string]int)
	total := 0
	declaration := regexp.MustCompile(`(?m)^func Example\w*\(`)
	for _, name := range trackedFiles(t, "*_test.go") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := len(declaration.FindAll(source, -1))
		examples[filepath.Dir(name)] += n
		total += n
	}
	if total < 100 {
		t.Errorf("%d examples, fewer than 100", total)
	}
	for _, dir := range []string{
		"client", "config", "jobs", "models", "webhook", "webhook/redisguard", "webhook/sqlguard", "internal/access", "internal/admin", "internal/api",
		"internal/breaker", "internal/chain", "internal/delivery", "internal/egress", "internal/endpoints", "internal/events", "internal/evm",
		"internal/maintenance", "internal/outbox", "internal/payments", "internal/proof", "internal/receivertest", "internal/redelivery", "internal/scanner",
		"internal/store", "internal/telemetry", "internal/vault", "internal/wallet",
	} {
		if examples[dir] == 0 {
			t.Errorf("%s has no example", dir)
		}
	}
}

// TestOptionsAreFields: options are a named field of what was made from them, so that its methods and fields are its
// own.
func TestOptionsAreFields(t *testing.T) {
	for _, name := range goFiles(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				if id, ok := f.Type.(*ast.Ident); ok && f.Names == nil && strings.HasSuffix(id.Name, "Options") {
					t.Errorf("%s embeds %s", name, id.Name)
				}
			}
			return true
		})
	}
}
