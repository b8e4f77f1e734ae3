package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseChains(t *testing.T) {
	const file = `
chains:
  - name: base
    chain_id: 8453
    rpc_urls: ["https://a.test/key", "wss://b.test"]
    ws_urls: ["wss://a.test/key"]
    finality: {tag: safe, depth: 30}
    block_time: 2s
    poll_interval: 500ms
    start_block: 0
    explorer_url: https://scan.test/
    tokens:
      - {symbol: USDC, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913, decimals: 6}
  - name: bare
    chain_id: 7
    rpc_urls: [http://127.0.0.1:1]
    finality: 12
    multicall: none
    test: true
    native: {symbol: BNB}
`
	chains, err := ParseChains([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	base, bare := chains[0], chains[1]
	if base.StartBlock == nil || *base.StartBlock != 0 || base.Finality != (Finality{"safe", 30}) ||
		base.PollInterval != 500*time.Millisecond ||
		base.ExplorerURL != "https://scan.test" || base.Multicall != Multicall3 || base.Native != (Native{"ETH", 18}) ||
		len(base.WSURLs) != 1 || base.WSURLs[0] != "wss://a.test/key" ||
		base.Tokens[0] != (Token{Symbol: "USDC", Contract: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", Decimals: 6}) {
		t.Errorf("base: %+v", base)
	}
	if bare.StartBlock != nil || bare.Finality != (Finality{"", 12}) || bare.BlockTime != 12*time.Second ||
		bare.PollInterval != 5*time.Second ||
		bare.Multicall != "" || !bare.Test || bare.Native != (Native{"BNB", 18}) {
		t.Errorf("bare: %+v", bare)
	}
}

// TestRetired: a token that is retired may leave its symbol to another one, whichever stands first.
func TestRetired(t *testing.T) {
	const head = `
- name: base
  chain_id: 8453
  rpc_urls: ["https://a.test"]
  finality: 12
  retired: true
  tokens:
`
	old := `    - {symbol: USDC, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913, decimals: 6, retired: true}` + "\n"
	young := `    - {symbol: USDC, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02914, decimals: 6}` + "\n"
	for _, tokens := range []string{old + young, young + old} {
		chains, err := ParseChains([]byte(head + tokens))
		if err != nil || !chains[0].Retired || chains[0].Tokens[0].Retired == chains[0].Tokens[1].Retired {
			t.Errorf("%+v, %v", chains, err)
		}
	}
	if _, err := ParseChains([]byte(head + young + strings.Replace(young, "914", "915", 1))); err == nil {
		t.Error("two tokens have one symbol")
	}
}

func TestParseChainsFaults(t *testing.T) {
	const ok = "- name: a\n  chain_id: 1\n  rpc_urls: [http://a.test]\n  finality: {depth: 1}\n"
	cases := []struct{ name, file, want string }{
		{"empty", "", "chains: the file is empty"},
		{"scalar", "hello", "chains: the file is no list of chains (line 1)"},
		{"no chain", "[]", "chains: lists no chain"},
		{"two documents", ok + "---\n" + ok, "more than one document"},
		{"unknown key", ok + "  finalty: 3\n", "chains: unknown key finalty (line 5)"},
		{"unknown nested key", "- name: a\n  finality:\n    dept: 3\n", "unknown key dept (line 3)"},
		{"wrong kind", ok + "  test: perhaps\n", "want true or false (line 5)"},
		{"negative", "- name: a\n  chain_id: -1\n", "want a whole number that is not negative (line 2)"},
		{"tag alone", "- name: a\n  finality: finalized\n", "finality wants {tag: finalized, depth: 64} (line 2)"},
		{"bare", "- name: A b\n", "chains[0].name: is not a slug"},
		{"bare", "- name: A b\n", "chains[0].chain_id: must be 1 to"},
		{"bare", "- name: A b\n", "chains[0].rpc_urls: needs at least one URL (line 1)"},
		{"bare", "- name: A b\n", "chains[0].finality.depth: must be 1 to"},
		{"tag", strings.Replace(ok, "depth: 1", "depth: 1, tag: latest", 1), "chains[0].finality.tag: must be finalized or safe, or left out (line 4)"},
		{"twice", ok + ok, "chains[1].name: is the name of chains[0] too (line 5)"},
		{"twice", ok + ok, "chains[1].chain_id: is the id of chains[0] too (line 6)"},
		{"url", strings.Replace(ok, "http:", "ftp:", 1), "chains[0].rpc_urls[0]: is not an http, https, ws or wss URL (line 3)"},
		{"url twice", strings.Replace(ok, "[http://a.test]", "[http://a.test, http://a.test]", 1), "chains[0].rpc_urls[1]: is listed twice"},
		{"socket", ok + "  ws_urls: [http://b.test]\n", "chains[0].ws_urls[0]: is not a ws or wss URL (line 5)"},
		{"socket twice", ok + "  ws_urls: [ws://b.test, ws://b.test]\n", "chains[0].ws_urls[1]: is listed twice (line 5)"},
		{"duration", ok + "  block_time: 2\n", "chains[0].block_time: is not a duration such as 500ms or 2s (line 5)"},
		{"poll", ok + "  poll_interval: 1ms\n", "chains[0].poll_interval: must be 10ms to 10m (line 5)"},
		{"multicall", ok + "  multicall: 0x12\n", "chains[0].multicall: must be a contract's address, or none (line 5)"},
		{"decimals", ok + "  tokens:\n    - {symbol: A, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913}\n", "chains[0].tokens[0].decimals: is required (line 6)"},
		{"decimals", ok + "  tokens:\n    - {symbol: A, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913, decimals: 99}\n", "chains[0].tokens[0].decimals: must be 0 to 36 (line 6)"},
		{"contract", ok + "  tokens:\n    - {symbol: A, contract: 0x0000000000000000000000000000000000000000, decimals: 1}\n", "chains[0].tokens[0].contract: must be a contract's address"},
		{"symbol", ok + "  tokens:\n    - {symbol: eth, contract: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913, decimals: 1}\n", "chains[0].tokens[0].symbol: is taken on this chain (line 6)"},
		{"native", ok + "  native: {symbol: native}\n", "chains[0].native.symbol: must be"},
		{"mnemonic", "# " + strings.Repeat("abandon ", 12) + "\n" + ok, "chains: the file holds a mnemonic phrase"},
	}
	for _, tc := range cases {
		_, err := ParseChains([]byte(tc.file))
		var errs *FieldErrors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v\nwant %s", tc.name, err, tc.want)
		}
	}
	if _, err := ParseChains([]byte(ok)); err != nil {
		t.Errorf("the base of every case: %v", err)
	}
}

func FuzzChains(f *testing.F) {
	for _, path := range []string{"../chains.example.yaml", "../deploy/chains.dev.yaml"} {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("- &a {name: x, finality: 1}\n- *a\n"))
	f.Add([]byte("chains: {}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		chains, err := ParseChains(content)
		if err != nil {
			var errs *FieldErrors
			if !errors.As(err, &errs) || len(errs.All) == 0 || chains != nil {
				t.Fatalf("%v with %d chains", err, len(chains))
			}
			return
		}
		var again FieldErrors
		validateChains(chains, &again, func(string) string { return "" })
		if len(chains) == 0 || len(again.All) > 0 {
			t.Fatalf("accepted: %d chains, %v", len(chains), again.All)
		}
	})
}

func TestShippedChainFiles(t *testing.T) {
	for path, want := range map[string]string{"../chains.example.yaml": "ethereum base bsc polygon arbitrum",
		"../deploy/chains.dev.yaml": "anvil"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		chains, err := ParseChains(content)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range chains {
			got = append(got, c.Name)
			if wantTest := c.Name == "anvil"; c.Test != wantTest {
				t.Errorf("%s: test is %v", c.Name, c.Test)
			}
			for _, token := range c.Tokens {
				if decimals := map[bool]uint8{true: 18, false: 6}[c.Name == "bsc"]; token.Decimals != decimals {
					t.Errorf("%s %s has %d decimals", c.Name, token.Symbol, token.Decimals)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
