package testkit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The nodes for JavaScript developers, and the Node.js that Hardhat needs, as npm has them.
const (
	nodePackage    = "node@22.23.3"
	hardhatPackage = "hardhat@3.18.0"
	ganachePackage = "ganache@7.9.2"
)

// installedNodes is the directory into which npm installs them, once a process; it goes with it. Node.js is first, and
// npm runs on it then: under an older one it leaves out Hardhat's engine, which is optional, without a word.
var installedNodes = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "ctrip-nodes-"); err != nil {
		return "", err
	}
	if err := RemoveAtEnd(dir); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"package.json": `{"type":"module","private":true}`, "hardhat.config.js": "export default {};\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, packages := range [][]string{{nodePackage}, {nodePackage, hardhatPackage, ganachePackage}} {
		install := exec.Command("npm", append([]string{"install", "--no-audit", "--no-fund", "--no-save", "--prefer-offline",
			"--prefix", dir}, packages...)...)
		install.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "node_modules", "node", "bin")+":"+os.Getenv("PATH"))
		if out, err := install.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm install %v: %w\n%s", packages, err, out)
		}
	}
	return dir, nil
})

// Hardhat runs a real Hardhat node until the test ends, and returns its URL. Like [Ganache] it needs npm and its
// registry, and fails without them. It mines when it is asked to, after evm_setAutomine.
func Hardhat(t TB, args ...string) (url string) {
	t.Helper()
	return javaScriptNode(t, "JSON-RPC server at", func(port string) []string {
		return append([]string{"node_modules/hardhat/dist/src/cli.js", "node", "--hostname", "127.0.0.1", "--port", port},
			args...)
	})
}

// Ganache runs a real ganache until the test ends, and returns its URL.
func Ganache(t TB, args ...string) (url string) {
	t.Helper()
	return javaScriptNode(t, "RPC Listening on", func(port string) []string {
		return append([]string{"node_modules/ganache/dist/node/cli.js", "--server.host", "127.0.0.1", "--server.port", port},
			args...)
	})
}

func javaScriptNode(t TB, says string, args func(port string) []string) (url string) {
	t.Helper()
	dir, err := installedNodes()
	if err != nil {
		t.Fatal(err)
	}
	addr := FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(filepath.Join(dir, "node_modules", "node", "bin", "node"), args(port)...)
	cmd.Dir = dir
	serveNode(t, cmd, says)
	return "http://" + addr
}

// serveNode runs a node until the test ends, and returns when it says that it listens.
func serveNode(t TB, cmd *exec.Cmd, says string) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, os.Stderr
	child, err := StartChild(cmd)
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := child.Kill(); err != nil {
			t.Error(err)
		}
		read.Close()
	})
	listening := make(chan bool, 1)
	go func() {
		said := bufio.NewReader(read)
		for {
			line, err := said.ReadString('\n')
			if strings.Contains(line, says) {
				listening <- true
			}
			if err != nil || strings.Contains(line, says) {
				break
			}
		}
		_, _ = io.Copy(io.Discard, said) // a node that nobody reads would stand still
	}()
	select {
	case <-listening:
	case <-child.Done():
		t.Fatalf("%s ended with %d", cmd.Path, child.ExitCode())
	case <-time.After(time.Minute):
		t.Fatalf("%s does not listen", cmd.Path)
	}
}
