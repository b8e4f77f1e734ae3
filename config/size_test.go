package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestChainsFilesCostWhatTheirSizeCosts doubles each kind of fault of a chains.yaml.
func TestChainsFilesCostWhatTheirSizeCosts(t *testing.T) {
	const chain = "- name: a%d\n  chain_id: %d\n  rpc_urls: [http://a.test]\n  finality: {depth: 1}\n  block_time: 2s\n"
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "%d", fmt.Sprint(i+1)))
		}
		return b.String()
	}
	one := strings.ReplaceAll(chain, "%d", "1")
	for name, file := range map[string]func(n int) string{
		"chains":             func(n int) string { return numbered(n/8, chain) },
		"one name":           func(n int) string { return strings.Repeat(one, n/8) },
		"unknown keys":       func(n int) string { return one + numbered(n, "  x%d: 1\n") },
		"a key repeated":     func(n int) string { return one + strings.Repeat("  test: true\n", n) },
		"tokens":             func(n int) string { return one + "  tokens:\n" + numbered(n, "    - {symbol: T%d}\n") },
		"one token":          func(n int) string { return one + "  tokens:\n" + strings.Repeat("    - {symbol: T}\n", n) },
		"providers":          func(n int) string { return one + "  rpc_urls: [" + numbered(n, "http://a%d.test,") + "]\n" },
		"lists":              func(n int) string { return "- [" + strings.Repeat("1,", n) + "]\n" },
		"nested lists":       func(n int) string { return strings.Repeat("[", n/4) + strings.Repeat("]", n/4) },
		"nested maps":        func(n int) string { return strings.Repeat("{a: ", n/4) + strings.Repeat("}", n/4) },
		"aliases":            func(n int) string { return "- &a {name: a}\n" + strings.Repeat("- *a\n", n) },
		"comments":           func(n int) string { return strings.Repeat("# x\n", n) + one },
		"documents":          func(n int) string { return strings.Repeat("---\n", n) + one },
		"a long text":        func(n int) string { return "- name: " + strings.Repeat("x", n) + "\n" },
		"a long number":      func(n int) string { return "- chain_id: " + strings.Repeat("9", n) + "\n" },
		"a long URL":         func(n int) string { return one + "  explorer_url: http://a/" + strings.Repeat("%41", n) + "\n" },
		"a name of many URL": func(n int) string { return "- rpc_urls: [" + strings.Repeat("'://',", n) + "]\n" },
	} {
		testkit.CostsItsSize(t, name, 2000, func(n int) {
			if _, err := ParseChains([]byte(file(n))); err == nil && name != "chains" && name != "comments" &&
				name != "a long URL" {
				t.Logf("%s: no fault", name)
			}
		})
	}
}
