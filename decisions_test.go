package ctrip_test

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// trackedFiles lists what git knows or would add, without what was deleted.
func trackedFiles(t *testing.T, patterns ...string) []string {
	t.Helper()
	args := append([]string{"ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--"}, patterns...)
	out, err := exec.CommandContext(t.Context(), "git", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range strings.Fields(string(out)) {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files
}

// TestDecisionsAreNumbered: the entries of docs/decisions.md count from 1 without a gap, and every "decision 12" that a
// file cites is among them.
func TestDecisionsAreNumbered(t *testing.T) {
	page, err := os.ReadFile("docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^### (\d+)\. `).FindAllStringSubmatch(string(page), -1)
	for i, m := range entries {
		if m[1] != strconv.Itoa(i+1) {
			t.Errorf("entry %d of docs/decisions.md has the number %s", i+1, m[1])
		}
	}
	cited := regexp.MustCompile(`(?i)\bdecisions? (\d+)\b`)
	for _, name := range trackedFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range cited.FindAllStringSubmatch(string(text), -1) {
			if n, err := strconv.Atoi(m[1]); err != nil || n < 1 || n > len(entries) {
				t.Errorf("%s cites %q, and docs/decisions.md has the entries 1 to %d", name, m[0], len(entries))
			}
		}
	}
}
