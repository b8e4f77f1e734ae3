package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

const module = "github.com/ctrip-gateway/ctrip"

// build compiles the binaries as `make build` does, once a process. They disappear with it.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ctrip-bin-")
	if err != nil {
		return "", err
	}
	if err := testkit.RemoveAtEnd(dir); err != nil {
		return "", err
	}
	args := []string{"build", "-trimpath", "-o", dir + "/"}
	for _, name := range []string{"api", "worker", "scanner", "ctripctl"} {
		args = append(args, module+"/cmd/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("gateway: go build, which must run inside the module: %w\n%s", err, out)
	}
	return dir, nil
})

// Binary returns the path of a built binary: api, worker, scanner or ctripctl.
func Binary(t testkit.TB, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
