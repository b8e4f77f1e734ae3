package ctrip_test

import (
	"os/exec"
	"strings"
	"testing"
)

// tooHeavy lists what the first run must not compile, by the start of its import path. Each of these came in unasked,
// as part of something that the toy world used, and cost seconds of everybody's first minute.
var tooHeavy = map[string]string{
	"github.com/cockroachdb/":                           "pebble, a disk database, came with geth's node",
	"github.com/syndtr/goleveldb":                       "a disk database, came with geth's node",
	"github.com/ethereum/go-ethereum/node":              "the shell of a full node",
	"github.com/ethereum/go-ethereum/p2p/discover":      "peers",
	"github.com/ethereum/go-ethereum/eth/downloader":    "sync between nodes",
	"github.com/ethereum/go-ethereum/core/txpool/":      "pools for a public network; internal/devnet has a small one",
	"github.com/ethereum/go-ethereum/ethclient":         "a second client beside internal/evm",
	"github.com/ethereum/go-ethereum/accounts/keystore": "keys on disk",
	"github.com/pion/":                                  "NAT traversal for peers",
	"github.com/huin/goupnp":                            "NAT traversal for peers",
	"github.com/grafana/":                               "profiling of geth's node",
	"github.com/urfave/cli":                             "the command line of geth",
	"github.com/getsentry/":                             "error reporting of pebble",
	"github.com/gogo/protobuf":                          "came with pebble",
	"google.golang.org/grpc":                            "came with the exporter of traces, which only the programs need",
	"go.opentelemetry.io/otel/exporters/":               "only the programs export traces",
}

// TestFirstRunStaysLight: `go run ./cmd/quickstart` compiles everything that it links, on a visitor's machine, while
// the visitor waits.
func TestFirstRunStaysLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/quickstart").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for prefix, why := range tooHeavy {
			if strings.HasPrefix(path, prefix) {
				t.Errorf("the first run compiles %s: %s", path, why)
			}
		}
	}
}
