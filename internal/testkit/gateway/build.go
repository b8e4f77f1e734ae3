package gateway

import (
	"path/filepath"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// binary is the path of a binary of the gateway's own kind.
func (g *Gateway) binary(name string) string {
	g.t.Helper()
	if g.bin != "" {
		return filepath.Join(g.bin, name)
	}
	return Binary(g.t, name)
}

// Binary returns the path of a binary of the gateway, built as it ships: api, worker, scanner or ctripctl.
func Binary(t testkit.TB, name string) string {
	t.Helper()
	return filepath.Join(testkit.Programs(t, "cmd/api", "cmd/worker", "cmd/scanner", "cmd/ctripctl"), name)
}

// Upgrade makes [Gateway.Ctl] and [Gateway.Start] use the binaries of this tree from now on.
func (g *Gateway) Upgrade() { g.bin = "" }
