package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ProgramsEnv names the environment variable that holds a directory with every program of the module, already built.
// `make test-real` fills it once for all test binaries.
const ProgramsEnv = "TEST_PROGRAMS"

// BuildFlags are the flags of go build that the programs ship with. They are built with CGO_ENABLED=0.
const BuildFlags = `-trimpath -ldflags="-s -w"`

// programs remembers what this process has asked for, by the names of the packages.
var programs struct {
	sync.Mutex
	dirs map[string]string
}

// Programs returns a directory that holds the programs of these packages, "cmd/api" for example, each under the last
// part of its package's name. They are built as they ship, without the race detector, once for all test binaries:
// TEST_PROGRAMS holds them, or else bin/test, which this process brings up to date under a lock.
func Programs(t TB, packages ...string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	key := strings.Join(packages, " ")
	if dir, ok := programs.dirs[key]; ok {
		return dir
	}
	dir, err := findPrograms(t.Context(), os.Getenv(ProgramsEnv), packages)
	if err != nil {
		t.Fatal(err)
	}
	if programs.dirs == nil {
		programs.dirs = make(map[string]string)
	}
	programs.dirs[key] = dir
	return dir
}

// findPrograms looks for the programs in dir, and builds them where dir is "".
func findPrograms(ctx context.Context, dir string, packages []string) (string, error) {
	if dir == "" {
		return buildPrograms(ctx, packages)
	}
	for _, pkg := range packages {
		if _, err := os.Stat(filepath.Join(dir, path.Base(pkg))); err != nil {
			return "", fmt.Errorf("testkit: %s holds no program of %s, `make programs` builds it: %w", ProgramsEnv, pkg, err)
		}
	}
	return dir, nil
}

// buildPrograms builds into bin/test and returns a directory of links, which stay as they are when somebody else builds
// a changed tree while this process runs.
func buildPrograms(ctx context.Context, packages []string) (_ string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	shared := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(shared, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which gives the lock up
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("testkit: lock %s: %w", lock.Name(), err)
	}
	args := []string{"-ldflags=-s -w", "-o", shared + "/"}
	for _, pkg := range packages {
		args = append(args, "./"+pkg)
	}
	cmd := Go(ctx, "build", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("testkit: go build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	dir, err := os.MkdirTemp(shared, "run-")
	if err != nil {
		return "", err
	}
	if err := RemoveAtEnd(dir); err != nil {
		return "", err
	}
	for _, pkg := range packages {
		name := path.Base(pkg)
		if err := os.Link(filepath.Join(shared, name), filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Go is a command of the go tool that compiles: build, run, test or vet. It compiles with the flags of `make build` and
// `make check`, so that one set of compiled packages serves them all.
func Go(ctx context.Context, verb string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{verb, "-trimpath"}, args)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

// moduleRoot is the directory of go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("testkit: no go.mod in the working directory or above it")
		}
		dir = up
	}
}
