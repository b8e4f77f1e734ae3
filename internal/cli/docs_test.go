package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDocsNameRealCommands: whatever a page tells somebody to run is a command of ctripctl, with flags that it has.
func TestDocsNameRealCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	pages = append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../CHANGELOG.md",
		"../../deploy/prometheus/rules.yml")
	code := regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	call := regexp.MustCompile(`\bctripctl((?:\s+\S+)*)`)
	named := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range code.FindAllString(string(text), -1) {
			span = strings.ReplaceAll(strings.Trim(span, "`"), "\\\n", " ")
			lines := strings.Split(span, "\n")
			if !strings.HasPrefix(span, "sh\n") && !strings.HasPrefix(span, "\n") {
				lines = []string{strings.Join(lines, " ")} // a span of a sentence may go over a line's end
			}
			for _, line := range lines {
				if m := call.FindStringSubmatch(line); m != nil {
					named++
					checkCall(t, page, strings.Fields(m[1]))
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d commands are named", named)
	}
}

// checkCall follows the words of a call down the tree of commands and looks at its flags. Where the words end at a
// group, a page speaks of all of its commands.
func checkCall(t *testing.T, page string, words []string) {
	t.Helper()
	c := (&shell{}).root()
	c.InitDefaultHelpFlag()
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		next := child(c, words[0])
		if next == nil {
			if c.HasSubCommands() && regexp.MustCompile(`^[a-z][a-z-]+$`).MatchString(words[0]) {
				t.Errorf("%s: %q is no command of %s", page, words[0], c.CommandPath())
			}
			break
		}
		c, words = next, words[1:]
	}
	checkArgs(t, page, c, words)
	for _, word := range words {
		name, isFlag := strings.CutPrefix(strings.TrimRight(word, ",;:."), "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "help" && c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: %s has no flag --%s", page, c.CommandPath(), name)
		}
		if strings.ContainsAny(word, "|;&") {
			break // another program
		}
	}
}

// checkArgs holds the words behind a command against how many it takes. A call without any only names the command, and
// what a shell makes of a line nobody here knows.
func checkArgs(t *testing.T, page string, c *cobra.Command, words []string) {
	t.Helper()
	var args []string
	for i := 0; i < len(words); i++ {
		word := strings.Trim(words[i], "'\"")
		if strings.ContainsAny(word, "|;&><$()[]#") || strings.HasPrefix(word, "…") {
			return
		}
		name, isFlag := strings.CutPrefix(word, "--")
		if !isFlag {
			args = append(args, word)
			continue
		}
		name, _, given := strings.Cut(name, "=")
		if f := c.Flags().Lookup(name); f != nil && !given && f.Value.Type() != "bool" {
			i++ // its value, which is one word wherever we tell it
		}
	}
	if len(args) == 0 || !c.Runnable() || c.Args == nil {
		return
	}
	if err := c.ValidateArgs(args); err != nil {
		t.Errorf("%s: ctripctl %s %s: %v", page, c.CommandPath(), strings.Join(words, " "), err)
	}
}

func child(c *cobra.Command, name string) *cobra.Command {
	for _, sub := range c.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}
