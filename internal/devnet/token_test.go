package devnet_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite contracts/DemoToken.json from contracts/DemoToken.sol")

// TestDemoTokenMatchesSource compiles the token again with the compiler that its source names and compares. It needs
// node, npm and the npm registry, and fails without them: the bytecode is only worth trusting if somebody checks it.
func TestDemoTokenMatchesSource(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing; on Debian: apt-get install nodejs npm (make test installs both): %v", tool, err)
		}
	}
	source, err := os.ReadFile("contracts/DemoToken.sol")
	if err != nil {
		t.Fatal(err)
	}
	pragma := regexp.MustCompile(`pragma solidity (\d+\.\d+\.\d+);`).FindSubmatch(source)
	if pragma == nil {
		t.Fatal("contracts/DemoToken.sol names no exact compiler version")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts",
		"--loglevel=error", "solc@"+string(pragma[1]))
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install solc@%s: %v\n%s", pragma[1], err, out)
	}
	script, err := filepath.Abs("contracts/compile.js")
	if err != nil {
		t.Fatal(err)
	}
	compile := exec.CommandContext(ctx, "node", script)
	compile.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	var complaints bytes.Buffer
	compile.Stderr = &complaints
	compiled, err := compile.Output()
	if err != nil {
		t.Fatalf("compile: %v\n%s", err, complaints.Bytes())
	}
	if *update {
		if err := os.WriteFile("contracts/DemoToken.json", compiled, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("contracts/DemoToken.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, compiled) {
		t.Error("contracts/DemoToken.json is not what contracts/DemoToken.sol compiles to; " +
			"run this test with -update and look at the difference")
	}
}
