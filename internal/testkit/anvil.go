package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// anvilPackage is the node as npm has it.
const anvilPackage = "@foundry-rs/anvil@1.7.1"

// installedAnvil is the program, which npm installs once a process into a directory that goes with it.
var installedAnvil = sync.OnceValues(func() (program string, err error) {
	dir, err := os.MkdirTemp("", "ctrip-anvil-")
	if err != nil {
		return "", err
	}
	if err := RemoveAtEnd(dir); err != nil {
		return "", err
	}
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", dir, anvilPackage)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install %s: %w\n%s", anvilPackage, err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "node_modules/@foundry-rs/anvil-linux-*/bin/anvil"))
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(found, func(path string) bool { return exec.Command(path, "--version").Run() == nil })
	if i < 0 {
		return "", fmt.Errorf("none of %v runs here", found)
	}
	return found[i], nil
})

// Anvil runs a real anvil with these arguments until the test ends, and returns its URL. It needs npm and its registry,
// and fails without them.
func Anvil(t TB, args ...string) (url string) {
	t.Helper()
	program, err := installedAnvil()
	if err != nil {
		t.Fatal(err)
	}
	addr := FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(program, append([]string{"--host", "127.0.0.1", "--port", port}, args...)...)
	serveNode(t, cmd, "Listening on")
	return "http://" + addr
}
