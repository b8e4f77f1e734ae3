package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

// TestTokenMismatchNamesTheToken: the line that stops a chain says which token does not fit, readable and short.
func TestTokenMismatchNamesTheToken(t *testing.T) {
	chain, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	c := config.Chain{Name: "devnet", ChainID: devnet.ChainID, RPCURLs: []config.URL{config.URL(chain.URL())},
		Finality: config.Finality{Depth: 2}, BlockTime: devnet.DefaultBlockTime,
		Tokens: []config.Token{{Symbol: "DEMO\u202e\n" + strings.Repeat("x", 200), Contract: strings.ToLower(chain.Token()),
			Decimals: 3}}}
	var logged bytes.Buffer
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: &logged})
	if err != nil {
		t.Fatal(err)
	}
	a := &App{metrics: telemetry.NewMetrics(), log: log}
	a.pools, err = wiring.Chains(config.Config{Chains: []config.Chain{c}}, time.Now, log, a.metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer a.pools.Close()
	if a.tokensFit(t.Context(), c) {
		t.Fatal("a token with other decimals fits")
	}
	line := logged.String()
	if !strings.Contains(line, `"msg":"chain.token_mismatch"`) ||
		!strings.Contains(line, `"symbol":"DEMO\\u202e\\n`+"x") ||
		strings.Contains(line, strings.Repeat("x", 100)) || !strings.Contains(line, `"configured":3`) {
		t.Errorf("the log has %s", line)
	}
}
