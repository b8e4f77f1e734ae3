package ctrip_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A rule names words that the tree does not use, and what it says instead. The words of an identifier are those of its
// camelCase, those of a file name are what stands between its underscores and dots.
type rule struct {
	not     string // words, wherever one is part of a name; with a "=" in front, the whole name as it is written
	instead string
	only    string // a pattern of paths; "" is everywhere
	except  string // a pattern of paths where the word is the field's own
}

// rules is what the tree says in place of words of its own. A word that is also honest English is named as a whole name
// or for a folder only.
var rules = []rule{
	{not: "floor floors storey storeys", instead: "layer"},
	{not: "room rooms", instead: "package"},
	{not: "house houses", instead: "system, harness"},
	{not: "door doors", instead: "entry point"},
	{not: "deed deeds", instead: "operation"},
	{not: "desk", instead: "Admin"},
	{not: "crew crews =Hand =hand", instead: "worker pool, worker"},
	{not: "world worlds", instead: "harness, fixture"},
	{not: "=GiveBack =giveBack", instead: "release"},
	{not: "=ComeBack =comeBack", instead: "snooze"},
	{not: "unread", instead: "loadFailed"},
	{not: "handover", instead: "requeue"},
	{not: "bury", instead: "archive"},
	{not: "=Again", instead: "RetryLater"},
	{not: "carrier carriers", instead: "batch delivery"},
	{not: "gathering gather gathers gathered", instead: "batch subscription, waiting for a batch"},
	{not: "ungather", instead: "sendAlone"},
	{not: "gatherer", instead: "batching queue"},
	{not: "linger", instead: "batch delay"},
	{not: "=Loader =loader =newLoader", instead: "batchLoader"},
	{not: "=Recorder =recorder =newRecorder", instead: "attemptWriter", only: `^(internal/delivery|jobs)/`},
	{not: "postponer", instead: "deferWriter"},
	{not: "tally tallies", instead: "window bucket"},
	{not: "probed", instead: "probe result"},
	{not: "=GivesUp =givesUp", instead: "shouldDisable"},
	{not: "ramp", instead: "slow start"},
	{not: "surge", instead: "token bucket"},
	{not: "switches", instead: "pause flags"},
	{not: "turn", instead: "setPaused"},
	{not: "parked park parks", instead: "suspended, suspend"},
	{not: "barred", instead: "blocked by breaker"},
	{not: "=Lost", instead: "MissingTasks; Orphaned for transfers", except: `^test/chaos/`},
	{not: "stranded", instead: "ExpiredLeases"},
	{not: "epoch epochs", instead: "RedisIncarnation"},
	{not: "sighting sightings", instead: "observed transfer"},
	{not: "=See =see", instead: "record"},
	{not: "=Moved =moved", instead: "StatusChange, changes"},
	{not: "standing", instead: "unretracted"},
	{not: "=Money =money", instead: "transferEvents"},
	{not: "say", instead: "announce; print for a program's output", except: `_test\.go$`},
	{not: "place", instead: "slot, location, key, AAD"},
	{not: "places", instead: "slot, location, key", except: `^internal/web/checkout`}, // decimal ones
	{not: "kept", instead: "saved, save, retained"},
	{not: "keep", instead: "save, retain", except: `_test\.go$`},
	{not: "exchange exchanges", instead: "requestContext"},
	{not: "admit", instead: "authenticate", only: `^internal/`},
	{not: "guards", instead: "middleware", only: `^internal/(api|web|app)/`},
	{not: "fault faults", instead: "FieldError, fieldErrors, problem", except: `^test/|^internal/(testkit|egress|receivertest)/|_test\.go$|^examples/`},
	{not: "=Fault =Faults", instead: "FieldError", except: `^test/`},
	{not: "translation translations", instead: "errorTranslator"},
	{not: "=By", instead: "Actor"},
	{not: "=Tell", instead: "OnAttempt"},
	{not: "party parties", instead: "tenant"},
	{not: "frees", instead: "allows"},
	{not: "unsure", instead: "ErrCommitUnknown"},
	{not: "contested", instead: "IsConflict"},
	{not: "=Away", instead: "IsUnavailable"},
	{not: "=Refused", instead: "IsConstraint"},
	{not: "committer", instead: "groupCommit"},
	{not: "together", instead: "max batch"},
	{not: "=heldBriefly", instead: "shortLockTimeout"},
	{not: "=mostAhead", instead: "maxPrefetch"},
	{not: "purse purses", instead: "signer"},
	{not: "seal", instead: "miner, mine", only: `^internal/devnet/`},
	{not: "plants", instead: "canary secrets"},
	{not: "trap traps", instead: "breakpoint"},
	{not: "mood moods", instead: "receiver behaviour"},
	{not: "strike strikes", instead: "inject, injected fault"},
	{not: "shoot", instead: "kill"},
	{not: "=PauseMerchant =pauseMerchant =ResumeMerchant =resumeMerchant", instead: "SuspendMerchant, PauseDeliveries"},
}

// honest are names in which such a word is meant as everybody means it.
var honest = map[string]string{
	"PauseMerchant":  "the operation of a public route, which keeps its name",
	"ResumeMerchant": "the operation of a public route, which keeps its name",
}

// prose are the words that no comment and no page says, because they can only be meant as a metaphor here.
var prose = regexp.MustCompile(`(?i)\b(floors?|storeys?|rooms?|houses?|doors?|deeds?|desks?|crews?|purses?|` +
	`sightings?|gatherers?|ungather\w*|postponers?|tally|tallies|moods?|strikes?|carriers?|barred|handovers?|committers?)\b`)

// english are phrases in which prose means nothing special.
var english = regexp.MustCompile(`(?i)\b(room (for|left)|no room|math\.floor)\b`)

var camel = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)

// offence says what is wrong with a name in a file, or "".
func offence(file, name string) string {
	if honest[name] != "" {
		return ""
	}
	var words []string
	for _, w := range camel.FindAllString(name, -1) {
		words = append(words, strings.ToLower(w))
	}
	for _, r := range rules {
		if r.only != "" && !regexp.MustCompile(r.only).MatchString(file) ||
			r.except != "" && regexp.MustCompile(r.except).MatchString(file) {
			continue
		}
		for _, not := range strings.Fields(r.not) {
			exact, whole := strings.CutPrefix(not, "=")
			if whole && name == exact || !whole && slices.Contains(words, not) {
				return fmt.Sprintf("%s: not %q but %s", name, exact, r.instead)
			}
		}
	}
	return ""
}

// names lists what a Go file declares, as position and name.
func names(fset *token.FileSet, file *ast.File) []*ast.Ident {
	var found []*ast.Ident
	add := func(ids ...*ast.Ident) { found = append(found, ids...) }
	define := func(tok token.Token, exprs ...ast.Expr) {
		for _, e := range exprs {
			if id, ok := e.(*ast.Ident); ok && tok == token.DEFINE {
				add(id)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			add(n.Names...)
		case *ast.AssignStmt:
			define(n.Tok, n.Lhs...)
		case *ast.RangeStmt:
			define(n.Tok, n.Key, n.Value)
		case *ast.ImportSpec:
			if n.Name != nil {
				add(n.Name)
			}
		}
		return true
	})
	return found
}

// TestWordsOfTheField holds identifiers, file names, comments and pages against the words that the tree does not use.
func TestWordsOfTheField(t *testing.T) {
	text := regexp.MustCompile(`\.(md|ya?ml|sql|sh|py|php|html|css|m?js|tmpl)$|(^|/)(Makefile|Dockerfile)$|^scripts/`)
	for _, file := range trackedFiles(t) {
		if strings.HasSuffix(file, ".gen.go") || strings.Contains(file, "testdata/") || file == "words_test.go" ||
			file == "THIRD_PARTY" {
			continue
		}
		base, _, _ := strings.Cut(path.Base(file), ".")
		for part := range strings.SplitSeq(base, "_") {
			if bad := offence(file, part); bad != "" {
				t.Errorf("%s:1: file name: %s", file, bad)
			}
		}
		switch {
		case strings.HasSuffix(file, ".go"):
			wordsOfGo(t, file)
		case text.MatchString(file):
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			wordsOfProse(t, file, 1, string(source))
		}
	}
}

func wordsOfGo(t *testing.T, file string) {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range names(fset, parsed) {
		if bad := offence(file, id.Name); bad != "" {
			t.Errorf("%s:%d: %s", file, fset.Position(id.Pos()).Line, bad)
		}
	}
	for _, group := range parsed.Comments {
		for _, c := range group.List {
			wordsOfProse(t, file, fset.Position(c.Pos()).Line, c.Text)
		}
	}
}

func wordsOfProse(t *testing.T, file string, first int, text string) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		for _, word := range prose.FindAllString(english.ReplaceAllString(line, ""), -1) {
			t.Errorf("%s:%d: prose: %q in: %s", file, first+i, word, strings.TrimSpace(line))
		}
	}
}
