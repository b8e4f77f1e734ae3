package quickstart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

// writeEnv writes the env file in one step, by rename, so that whoever waits for it finds it whole.
func (w *system) writeEnv() error {
	if w.o.EnvFile == "" {
		return nil
	}
	var b strings.Builder
	for _, kv := range [][2]string{
		{"API_URL", w.apiURL}, {"API_KEY", w.apiKey}, {"CTRIP_API_URL", w.apiURL}, {"CTRIP_API_KEY", w.apiKey},
		{"OPS_URL", w.opsURL}, {"OPERATOR_TOKEN", w.token},
		{"RPC_URL", w.chain.URL()}, {"CHAIN", chainName}, {"TOKEN_SYMBOL", devnet.TokenSymbol},
		{"TOKEN_ADDRESS", w.chain.Token()},
		{"PAYER_PRIVATE_KEY", w.chain.Payer().Hex()}, {"PAYER_ADDRESS", w.chain.Payer().Address()},
		{"REDIS_URL", w.redis.URL()}, {"SHOP_URL", w.shop.URL()},
	} {
		fmt.Fprintf(&b, "%s='%s'\n", kv[0], kv[1])
	}
	tmp, err := os.CreateTemp(filepath.Dir(w.o.EnvFile), ".ctrip-env-") // 0600: it holds keys
	if err != nil {
		return fmt.Errorf("write env file: %w", err)
	}
	_, err = tmp.WriteString(b.String())
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), w.o.EnvFile)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write env file: %w", err)
	}
	return nil
}

// links prints where to look next.
func (w *system) links() {
	fmt.Fprintf(w.o.Out, `
  shop            %s
  checkout        buy something there, or open a checkout_url
  portal          %s/portal            sign in with %s
  API reference   %s/docs
  queues          %s/queues            any user name, password %s
  metrics         %s/metrics
  chain (RPC)     %s

Ctrl-C stops it.
`, w.shop.URL(), w.apiURL, w.apiKey, w.apiURL, w.opsURL, w.token, w.opsURL, w.chain.URL())
}

// lower is an address in the spelling of chains.yaml.
func lower(address string) string { return strings.ToLower(address) }
