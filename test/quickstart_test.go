package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// step is a block of commands of a page, and what the page says that it prints.
type step struct {
	line       int // of the block in the page
	background bool
	commands   string
	output     string
}

// steps reads a page. Fences are ```sh, a block of commands; ```sh background, which goes on beside the others; and
// ```text, what the block before it prints. A block that is not followed by one prints nothing.
func steps(t *testing.T, page string) []step {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []step
	fence, block := "", ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence, block = line, ""
			if strings.HasPrefix(fence, "```sh") {
				all = append(all, step{line: i + 1, background: fence == "```sh background"})
			}
		case fence != "" && line == "```":
			last := &all[len(all)-1]
			switch {
			case fence == "```sh", fence == "```sh background":
				last.commands = block
			case fence == "```text" && last.output == "":
				last.output = block
			default:
				t.Fatalf("%s:%d: a fence %q that has no place here", page, i+1, fence)
			}
			fence = ""
		case fence != "":
			block += line + "\n"
		}
	}
	return all
}

// fits says whether output is what the page shows: … stands for anything within a line, and alone on a line for any
// number of lines. Empty lines do not count.
func (s step) fits(output string) bool {
	var pattern strings.Builder
	for _, line := range strings.Split(s.output, "\n") {
		switch line = strings.TrimSpace(line); line {
		case "":
		case "…":
			pattern.WriteString(`(?:.*\n)*?`)
		default:
			pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
		}
	}
	var lines strings.Builder
	for _, line := range strings.Split(output, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines.WriteString(line + "\n")
		}
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(lines.String())
}

// reader does the steps of a page in one bash, as somebody would who types them.
type reader struct {
	t     *testing.T
	dir   string
	env   []string
	stdin *os.File
	out   *os.File
	lines *bufio.Reader
}

// open starts the session; it ends at the first command that fails.
func (r *reader) open() {
	r.t.Helper()
	in, stdin, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.start(in, stdout, "bash", "--norc")
	// Theirs alone now, so that its end is the end of its output.
	if err := errors.Join(in.Close(), stdout.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.stdin, r.out, r.lines = stdin, out, bufio.NewReader(out)
	if _, err := r.stdin.WriteString("set -euo pipefail\n"); err != nil {
		r.t.Fatal(err)
	}
}

// start runs a command, which is stopped with all that it started when the test ends.
func (r *reader) start(in, out *os.File, argv ...string) {
	r.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = r.dir, r.env, in, out, out
	child, err := testkit.StartChild(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		group := -child.PID()
		_ = syscall.Kill(group, syscall.SIGTERM) // the group may have ended
		for end := time.Now().Add(20 * time.Second); syscall.Kill(group, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				_ = syscall.Kill(group, syscall.SIGKILL)
				r.t.Errorf("%v did not end within 20s", argv)
				return
			}
		}
	})
}

// background starts a block and waits until it has printed what the page shows.
func (r *reader) background(s step) {
	r.t.Helper()
	out, stdout, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.start(nil, stdout, "bash", "--norc", "-c", "set -euo pipefail\n"+s.commands)
	if err := errors.Join(stdout.Close(), out.SetReadDeadline(time.Now().Add(90*time.Second))); err != nil {
		r.t.Fatal(err)
	}
	printed := ""
	for lines := bufio.NewReader(out); !s.fits(printed); {
		line, err := lines.ReadString('\n')
		if printed += line; err != nil {
			r.t.Fatalf("line %d printed, %v:\n%s\nbut the page shows\n%s", s.line, err, printed, s.output)
		}
	}
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, out) // what it prints later, until it ends
		out.Close()
	}()
}

// do runs a block in the session and returns what it printed.
func (r *reader) do(s step) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "block.sh")
	if err := os.WriteFile(file, []byte(s.commands), 0o600); err != nil {
		r.t.Fatal(err)
	}
	end := fmt.Sprintf("-- end of line %d --", s.line)
	if _, err := fmt.Fprintf(r.stdin, ". '%s' </dev/null 2>&1\nprintf '\\n%%s\\n' '%s'\n", file, end); err != nil {
		r.t.Fatal(err)
	}
	if err := r.out.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	var printed strings.Builder
	for {
		line, err := r.lines.ReadString('\n')
		if strings.TrimSpace(line) == end {
			return printed.String()
		}
		printed.WriteString(line)
		if err != nil {
			r.t.Fatalf("the commands of line %d failed, %v:\n%s\nthey printed:\n%s", s.line, err, s.commands, &printed)
		}
	}
}

// TestQuickstartPage does what docs/quickstart.md says, every command in its order, against a quickstart on free ports.
func TestQuickstartPage(t *testing.T) {
	bin := t.TempDir()
	program := filepath.Join(testkit.Programs(t, "cmd/quickstart"), "quickstart")
	// In place of go: the page starts the quickstart with it and nothing else, and the ports that it takes may be in use
	// here.
	standIn := `#!/bin/sh
[ "$1 $2 $3" = "run -v ./cmd/quickstart" ] || { echo "go $*: not foreseen" >&2; exit 2; }
shift 3
exec '` + program + `' --api-addr 127.0.0.1:0 --ops-addr 127.0.0.1:0 --rpc-addr 127.0.0.1:0 "$@"
`
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: t.TempDir(), env: append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))}
	r.open()
	started, all := time.Now(), steps(t, "../docs/quickstart.md")
	for _, s := range all {
		if s.background {
			r.background(s)
		} else if printed := r.do(s); !s.fits(printed) {
			t.Errorf("docs/quickstart.md:%d:\n%s\nprinted\n%s\nbut the page shows\n%s", s.line, s.commands, printed, s.output)
		}
	}
	if len(all) < 20 {
		t.Errorf("only %d blocks were found", len(all))
	}
	t.Logf("%d blocks in %s", len(all), time.Since(started).Round(time.Millisecond))
}

// TestStepFits: what a page may leave out, and what it may not.
func TestStepFits(t *testing.T) {
	for _, c := range []struct {
		page, printed string
		fits          bool
	}{
		{"", "", true},
		{"", "\n\n", true},
		{"", "curl: (7) refused\n", false},
		{"whsec_…=\n", "whsec_AbC=\n", true},
		{"whsec_…=\n", "whsec_AbC\n", false},
		{"{…\"a\":1…}\n", "{\"a\":1}", true},
		{"{…\"a\":1…}\n", "{\"b\":0,\"a\":1,\"c\":2}\n", true},
		{"{…\"a\":1…}\n", "{\"a\":2}\n", false},
		{"a…c\n", "a\nc\n", false},
		{"a\n…\nc\n", "a\nb\n\nb\nc\n", true},
		{"a\n…\nc\n", "a\nc\n", true},
		{"a\n…\nc\n", "a\nc\nd\n", false},
		{"a.c\n", "abc\n", false},
	} {
		if got := (step{output: c.page}).fits(c.printed); got != c.fits {
			t.Errorf("page %q, printed %q: fits %v", c.page, c.printed, got)
		}
	}
}
