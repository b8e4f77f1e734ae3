package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

var (
	slug     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	symbol   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,15}$`)
	contract = regexp.MustCompile(`^0x[0-9a-f]{40}$`)
	step     = regexp.MustCompile(`([a-z_]+)|\[(\d+)\]`)
)

const (
	// largestChainID is the largest integer that every JSON reader keeps exactly.
	largestChainID = 1<<53 - 1
	largestDepth   = 100_000
	// largestDecimals keeps one whole token within 256 bits, with room for amounts.
	largestDecimals = 36
)

// coinEmitters are where the logs of chains about their own coin come from, which are no tokens: those of EIP-7708, of
// Polygon and of zkSync.
var coinEmitters = map[string]bool{
	"0xfffffffffffffffffffffffffffffffffffffffe": true,
	"0x0000000000000000000000000000000000001010": true,
	"0x000000000000000000000000000000000000800a": true,
}

// validateChains checks converted chains, whether they came from a file or from Options.Chains. at gives the line of a
// place, ready to be appended to a message.
func validateChains(chains []Chain, errs *FieldErrors, at func(string) string) {
	if len(chains) == 0 {
		errs.add("chains", "lists no chain")
	}
	names, ids := map[string]int{}, map[uint64]int{}
	for i, c := range chains {
		field := fmt.Sprintf("chains[%d]", i)
		bad := func(key, format string, args ...any) {
			name := field + "." + key
			if !errs.Has(name) {
				errs.add(name, "%s%s", fmt.Sprintf(format, args...), at(name))
			}
		}
		if !slug.MatchString(c.Name) {
			bad("name", "is not a slug of at most 32 of a-z, 0-9 and -")
		} else if first, twice := names[c.Name]; twice {
			bad("name", "is the name of chains[%d] too", first)
		} else {
			names[c.Name] = i
		}
		if c.ChainID == 0 || c.ChainID > largestChainID {
			bad("chain_id", "must be 1 to %d", uint64(largestChainID))
		} else if first, twice := ids[c.ChainID]; twice {
			bad("chain_id", "is the id of chains[%d] too", first)
		} else {
			ids[c.ChainID] = i
		}
		c.checkProviders(bad)
		switch c.Finality.Tag {
		case "", "finalized", "safe":
		default:
			bad("finality.tag", "must be finalized or safe, or left out")
		}
		if c.Finality.Depth == 0 || c.Finality.Depth > largestDepth {
			bad("finality.depth", "must be 1 to %d", largestDepth)
		}
		if c.BlockTime < 10*time.Millisecond || c.BlockTime > time.Hour {
			bad("block_time", "must be 10ms to 1h")
		}
		if c.PollInterval < 10*time.Millisecond || c.PollInterval > 10*time.Minute {
			bad("poll_interval", "must be 10ms to 10m")
		}
		if c.StartBlock != nil && *c.StartBlock > largestChainID {
			bad("start_block", "is no block number")
		}
		if c.ExplorerURL != "" && !plainURL(c.ExplorerURL, "http", "https") {
			bad("explorer_url", "is not an http or https URL without user, query and fragment")
		}
		if c.Multicall != "" && !isContract(c.Multicall) {
			bad("multicall", "must be a contract's address, or none")
		}
		c.checkAssets(bad)
	}
}

func (c Chain) checkProviders(bad func(key, format string, args ...any)) {
	if len(c.RPCURLs) == 0 {
		bad("rpc_urls", "needs at least one URL")
	}
	switch c.Internal {
	case "", InternalAuto, InternalTrace, InternalBalance, InternalOff:
	default:
		bad("internal_transfers", "must be auto, trace, balance or off")
	}
	switch c.Proofs {
	case "", ProofsAll, ProofsHits, ProofsOff:
	default:
		bad("proofs", "must be all, hits or off")
	}
	if !(c.RPCRate >= 0 && c.RPCRate <= 1e6) {
		bad("rpc_rate", "must be 0 (no limit) to 1000000 calls a second")
	}
	seen := map[URL]bool{}
	for j, u := range c.RPCURLs {
		key := fmt.Sprintf("rpc_urls[%d]", j)
		switch {
		case !parsesAs(string(u), "http", "https", "ws", "wss"):
			bad(key, "is not an http, https, ws or wss URL")
		case seen[u]:
			bad(key, "is listed twice")
		}
		seen[u] = true
	}
	for j, u := range c.WSURLs {
		key := fmt.Sprintf("ws_urls[%d]", j)
		switch {
		case !parsesAs(string(u), "ws", "wss"):
			bad(key, "is not a ws or wss URL")
		case seen[u]:
			bad(key, "is listed twice")
		}
		seen[u] = true
	}
}

func (c Chain) checkAssets(bad func(key, format string, args ...any)) {
	if !symbol.MatchString(c.Native.Symbol) || strings.EqualFold(c.Native.Symbol, "native") {
		bad("native.symbol", "must be 1 to 16 letters, digits or . + _ -")
	}
	if c.Native.Decimals > largestDecimals {
		bad("native.decimals", "must be 0 to %d", largestDecimals)
	}
	symbols, contracts := map[string]bool{strings.ToLower(c.Native.Symbol): true, "native": true}, map[string]bool{}
	for j, t := range c.Tokens {
		key := fmt.Sprintf("tokens[%d].", j)
		lower := strings.ToLower(t.Symbol)
		switch {
		case !symbol.MatchString(t.Symbol):
			bad(key+"symbol", "must be 1 to 16 letters, digits or . + _ -")
		case symbols[lower] && !t.Retired:
			bad(key+"symbol", "is taken on this chain")
		}
		switch {
		case !isContract(t.Contract):
			bad(key+"contract", "must be a contract's address, 0x and 40 hex digits")
		case contracts[t.Contract]:
			bad(key+"contract", "is listed twice")
		}
		if t.Decimals > largestDecimals {
			bad(key+"decimals", "must be 0 to %d", largestDecimals)
		}
		symbols[lower] = symbols[lower] || !t.Retired // one that took its place may have its symbol
		contracts[t.Contract] = true
	}
}

func isContract(address string) bool {
	return contract.MatchString(address) && strings.Trim(address[2:], "0") != "" && !coinEmitters[address]
}

// lineOf finds the line of a place such as chains[0].tokens[1].decimals under the list of chains; where the last steps
// are missing from the file it is the line of what would hold them.
func lineOf(list *yaml.Node, field string) int {
	node, line := list, 0
	for _, m := range step.FindAllStringSubmatch(strings.TrimPrefix(field, "chains"), -1) {
		if node == nil {
			return line
		}
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		if m[1] != "" {
			node = child(node, m[1])
		} else {
			i, err := strconv.Atoi(m[2])
			if err != nil || node.Kind != yaml.SequenceNode || i >= len(node.Content) {
				return line
			}
			node = node.Content[i]
		}
		if node != nil {
			line = node.Line
		}
	}
	return line
}

// child is the value of a key in a mapping, or nil.
func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}
