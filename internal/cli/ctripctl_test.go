package cli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files of --help")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctripctl": func() { os.Exit(Main()) }})
}

// TestScripts runs the real command against a database of each script's own; those whose names begin with api- see only
// the REST API of a gateway that runs on it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			dsn := testkit.Postgres(t)
			commands := map[string]func(*testscript.TestScript, bool, []string){"capture": capture, "waitfor": waitFor}
			var online *online
			if strings.HasPrefix(filepath.Base(file), "api-") {
				online = newOnline(t, dsn)
				commands["gateway"], commands["receiver"] = online.gatewayCmd, online.receiverCmd
			}
			testscript.Run(t, testscript.Params{
				Files: []string{file}, RequireExplicitExec: true, Cmds: commands,
				Setup: func(env *testscript.Env) error {
					env.Setenv("ENV", "test")
					if online != nil {
						online.setup(env)
						return nil
					}
					env.Setenv("DATABASE_URL", dsn)
					env.Setenv("MASTER_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
					env.Setenv("XPUB",
						"xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP")
					body, err := os.ReadFile("../../webhook/testdata/payment.created.json")
					if err != nil {
						return err
					}
					return os.WriteFile(filepath.Join(env.WorkDir, "body.json"), body, 0o600)
				},
			})
		})
	}
}

// capture NAME PREFIX sets $NAME to the longest word of the last standard output that begins with PREFIX, the first of
// several.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PREFIX")
	}
	isEnd := func(r rune) bool { return strings.ContainsRune(" \t\r\n\",", r) }
	found := ""
	for _, word := range strings.FieldsFunc(ts.ReadFile("stdout"), isEnd) {
		if strings.HasPrefix(word, args[1]) && len(word) > len(found) {
			found = word
		}
	}
	if found == "" {
		ts.Fatalf("nothing printed begins with %s", args[1])
	}
	ts.Setenv(args[0], found)
}

// TestHelp freezes what every command says about itself.
func TestHelp(t *testing.T) {
	seen := make(map[string]bool)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		golden := strings.ReplaceAll(c.CommandPath(), " ", "_") + ".txt"
		seen[golden] = true
		t.Run(c.CommandPath(), func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append(strings.Fields(c.CommandPath())[1:], "--help")
			if code := Run(context.Background(), args, strings.NewReader(""), &out, &errs); code != exitOK || errs.Len() > 0 {
				t.Fatalf("exit %d: %s", code, &errs)
			}
			path := filepath.Join("testdata", "help", golden)
			if *update {
				if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s has changed; if that is meant, run with -update:\n%s", path, &out)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&shell{}).root())
	files, err := os.ReadDir("testdata/help")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[f.Name()] {
			t.Errorf("testdata/help/%s belongs to no command", f.Name())
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d commands were seen", len(seen))
	}
}

// TestEveryCommandCanPrintJSON: the flag is everybody's, and nobody shadows it.
func TestEveryCommandCanPrintJSON(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if f := c.LocalNonPersistentFlags().Lookup("json"); f != nil {
			t.Errorf("%s has a --json of its own", c.CommandPath())
		}
		if c.InheritedFlags().Lookup("json") == nil && c.HasParent() {
			t.Errorf("%s has no --json", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&shell{}).root())
}

// TestSecretsAreNoArguments: nothing that must stay secret can be put where every user of the machine reads it.
func TestSecretsAreNoArguments(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, name := range []string{"secret", "token", "password", "key-value"} {
			if c.Flags().Lookup(name) != nil {
				t.Errorf("%s takes --%s as plain text", c.CommandPath(), name)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&shell{}).root())
}
