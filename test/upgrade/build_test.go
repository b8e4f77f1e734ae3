package upgrade

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// baseline is the commit of v0.1.0.
//
//go:embed baseline
var baseline string

// oldPrograms returns a directory with the programs of the baseline. They are built once and kept beside our own.
func oldPrograms(t *testing.T) string {
	t.Helper()
	commit := strings.TrimSpace(baseline)
	root := run(t, exec.Command("git", "-c", "safe.directory=*", "rev-parse", "--show-toplevel"))
	if !known(commit) { // a shallow clone
		_ = exec.Command("git", "-c", "safe.directory=*", "fetch", "--quiet", "--depth=1", "origin", commit).Run()
	}
	if !known(commit) {
		t.Fatalf("the history does not hold %s, of which v0.1.0 is built: this is a shallow clone, or no clone. Run `git fetch "+
			"--unshallow`; in a workflow, check out with fetch-depth: 0", commit)
	}
	built := filepath.Join(root, "bin", "baseline-"+commit[:12])
	if _, err := os.Stat(filepath.Join(built, "complete")); err == nil {
		return built
	}
	source := t.TempDir()
	archive := exec.Command("git", "-c", "safe.directory=*", "archive", "--format=tar", commit)
	archive.Dir = root
	var tar bytes.Buffer
	archive.Stdout = &tar
	if err := archive.Run(); err != nil {
		t.Fatalf("git archive %s: %v", commit, err)
	}
	unpack := exec.Command("tar", "-x", "-C", source)
	unpack.Stdin = &tar
	run(t, unpack)
	build := testkit.Go(t.Context(), "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built+"/", "./cmd/api",
		"./cmd/worker", "./cmd/scanner", "./cmd/ctripctl")
	build.Dir = source
	run(t, build)
	if err := os.WriteFile(filepath.Join(built, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return built
}

// known reports whether the repository holds a commit.
func known(commit string) bool {
	return exec.Command("git", "-c", "safe.directory=*", "cat-file", "-e", commit+"^{commit}").Run() == nil
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
