package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// profileFor is how long a CPU profile is taken.
const profileFor = 3 * time.Second

// profiles takes CPU profiles of the gateway's processes while they work, for `go tool pprof`. The zero value takes
// none.
type profiles struct{ dir string }

// take starts a profile of each of these processes. What it returns waits until they are written, as
// <dir>/<process>.pprof; a run that is over sooner makes it wait.
func (p profiles) take(t testkit.TB, h *gateway.Gateway, names ...string) (wait func()) {
	if p.dir == "" {
		return func() {}
	}
	must(t, os.MkdirAll(p.dir, 0o755))
	done := make(chan error, len(names))
	for _, name := range names {
		url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", h.OpsURL(name), int(profileFor.Seconds()))
		go func() { done <- fetch(t, url, filepath.Join(p.dir, name+".pprof")) }()
	}
	return func() {
		for range names {
			must(t, <-done)
		}
	}
}

func fetch(t testkit.TB, url, path string) error {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+gateway.OperatorToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return os.WriteFile(path, b, 0o644)
}
