package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Multicall3 is the address at which the contract of that name stands on nearly every chain, in lower case.
const Multicall3 = "0xca11bde05977b3631167028862be2a173976ca11"

// Chain is one entry of the chains file, with its defaults filled in.
type Chain struct {
	// Name is the slug by which the API knows the chain: ethereum, base.
	Name string
	// ChainID is what eth_chainId must answer.
	ChainID uint64
	// RPCURLs are the providers, http(s) or ws(s), in order of preference. They may hold API keys and print without.
	RPCURLs []URL
	// WSURLs are WebSocket addresses, ws(s), on which providers announce new blocks. They may hold API keys too.
	WSURLs   []URL
	Finality Finality
	// PollInterval is how often the head is asked for; default the block time within 250ms and 5s.
	PollInterval time.Duration
	// StartBlock is the first block to scan; nil means the head at the first start.
	StartBlock *uint64
	// BlockTime is the usual time between blocks; default 12s.
	BlockTime time.Duration
	// ExplorerURL is where people look at transactions, without a trailing slash; may be empty.
	ExplorerURL string
	// Multicall is Multicall3's address in lower case; empty where the file says none.
	Multicall string
	// Internal says how coin that contracts send is found: auto, trace, balance or off.
	Internal string
	// Proofs says which blocks are held against their hashes before their money is final: all, hits or off.
	Proofs string
	// RPCRate is how many calls a second each provider is asked, those of a batch counted; 0 for no limit.
	RPCRate float64
	// Retired chains are scanned on, and nothing new is asked for on them.
	Retired bool
	// Test marks chains whose money is worth nothing: ck_test_ keys see only these.
	Test   bool
	Native Native
	Tokens []Token
}

// Ways in which coin that contracts send is found. With auto, logs about coin and traces tell of it where a provider
// has them, and balances elsewhere.
const (
	InternalAuto    = "auto"
	InternalTrace   = "trace"
	InternalBalance = "balance"
	InternalOff     = "off"
)

// Which blocks are proven: every one as it is read, those that pay somebody, or none. With one provider all is the
// default, with more it is hits.
const (
	ProofsAll  = "all"
	ProofsHits = "hits"
	ProofsOff  = "off"
)

// defaultProofs is [ProofsAll] for a single provider, of which nobody else is a witness.
func defaultProofs(providers int) string {
	if providers == 1 {
		return ProofsAll
	}
	return ProofsHits
}

// publicRate is what most public providers bear, in calls a second.
const publicRate = 25

// defaultRate is no limit for nodes that are all on this machine or in a private network, and publicRate otherwise.
func defaultRate(urls []URL) float64 {
	for _, u := range urls {
		parsed, err := url.Parse(string(u))
		if err != nil {
			return publicRate
		}
		host := parsed.Hostname()
		ip, err := netip.ParseAddr(host)
		local := err == nil && (ip.IsLoopback() || ip.IsPrivate()) || host == "localhost" || !strings.Contains(host, ".")
		if !local {
			return publicRate
		}
	}
	return 0
}

// Finality says when a block counts as final. Depth serves when no provider knows the tag, or there is none.
type Finality struct {
	// Tag is finalized, safe or empty.
	Tag string
	// Depth is a number of blocks including the transfer's own, at least 1.
	Depth uint64
}

// Native is the chain's own coin.
type Native struct {
	Symbol   string
	Decimals uint8
}

// Token is an ERC-20 contract whose transfers count.
type Token struct {
	Symbol string
	// Contract is 0x and 40 hex digits in lower case.
	Contract string
	Decimals uint8
	// Retired tokens are read on, and nothing new is asked for in them.
	Retired bool
}

// The file as written: pointers tell a missing value from a zero.
type (
	chainsFile struct {
		Chains []chainEntry `yaml:"chains"`
	}
	chainEntry struct {
		Name         string        `yaml:"name"`
		ChainID      uint64        `yaml:"chain_id"`
		RPCURLs      []string      `yaml:"rpc_urls"`
		WSURLs       []string      `yaml:"ws_urls"`
		Finality     finalityEntry `yaml:"finality"`
		PollInterval string        `yaml:"poll_interval"`
		StartBlock   *uint64       `yaml:"start_block"`
		BlockTime    string        `yaml:"block_time"`
		ExplorerURL  string        `yaml:"explorer_url"`
		Multicall    string        `yaml:"multicall"`
		Internal     string        `yaml:"internal_transfers"`
		Proofs       string        `yaml:"proofs"`
		RPCRate      *float64      `yaml:"rpc_rate"`
		Test         bool          `yaml:"test"`
		Retired      bool          `yaml:"retired"`
		Native       *nativeEntry  `yaml:"native"`
		Tokens       []tokenEntry  `yaml:"tokens"`
	}
	finalityEntry struct {
		Tag   string  `yaml:"tag"`
		Depth *uint64 `yaml:"depth"`
	}
	nativeEntry struct {
		Symbol   string `yaml:"symbol"`
		Decimals *uint8 `yaml:"decimals"`
	}
	tokenEntry struct {
		Symbol   string `yaml:"symbol"`
		Contract string `yaml:"contract"`
		Decimals *uint8 `yaml:"decimals"`
		Retired  bool   `yaml:"retired"`
	}
)

// ParseChains reads a chains file: a list of chains, or a mapping whose only key chains holds that list. Unknown keys
// are mistakes. The error is a [*FieldErrors] that names each by its key, chains[0].tokens[1].decimals, and its line.
func ParseChains(content []byte) ([]Chain, error) {
	var errs FieldErrors
	if kind := privateKeyIn(string(content)); kind != "" {
		errs.add("chains", "the file holds %s; remove it, and treat that key as exposed", kind)
		return nil, &errs
	}
	root, entries := decodeChains(content, &errs)
	if err := errs.orNil(); err != nil {
		return nil, err
	}
	at := func(field string) string {
		if line := lineOf(root, field); line > 0 {
			return fmt.Sprintf(" (line %d)", line)
		}
		return ""
	}
	chains := make([]Chain, 0, len(entries))
	for i, entry := range entries {
		chains = append(chains, entry.chain(fmt.Sprintf("chains[%d]", i), at, &errs))
	}
	validateChains(chains, &errs, at)
	if err := errs.orNil(); err != nil {
		return nil, err
	}
	return chains, nil
}

func decodeChains(content []byte, errs *FieldErrors) (*yaml.Node, []chainEntry) {
	var document yaml.Node
	probe := yaml.NewDecoder(bytes.NewReader(content))
	if err := probe.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			errs.add("chains", "the file is empty; want a list of chains")
		} else {
			errs.add("chains", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		return nil, nil
	}
	if err := probe.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		errs.add("chains", "the file holds more than one document")
		return nil, nil
	}
	if node := crowded(&document); node != nil {
		errs.add("chains", "has more than %d keys, or %d entries, in one place (line %d)", mostKeys, mostEntries, node.Line)
		return nil, nil
	}
	strict := yaml.NewDecoder(bytes.NewReader(content))
	strict.KnownFields(true)
	var (
		entries []chainEntry
		err     error
		list    *yaml.Node
	)
	switch top := document.Content[0]; top.Kind {
	case yaml.SequenceNode:
		list, err = top, strict.Decode(&entries)
	case yaml.MappingNode:
		var file chainsFile
		list, err = child(top, "chains"), strict.Decode(&file)
		entries = file.Chains
	default:
		errs.add("chains", "the file is no list of chains (line %d)", top.Line)
		return nil, nil
	}
	var typeError *yaml.TypeError
	if errors.As(err, &typeError) {
		for _, text := range typeError.Errors {
			errs.add("chains", "%s", plainYAMLError(text))
		}
	} else if err != nil {
		errs.add("chains", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return list, entries
}

// Limits of the file: the library looks at every two keys of a mapping, and we at every entry for the line of a fault.
const (
	mostKeys    = 100
	mostEntries = 1000
)

// crowded finds a mapping or a list that holds more than the file can need.
func crowded(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.MappingNode && len(node.Content) > 2*mostKeys ||
		node.Kind == yaml.SequenceNode && len(node.Content) > mostEntries {
		return node
	}
	for _, inner := range node.Content {
		if found := crowded(inner); found != nil {
			return found
		}
	}
	return nil
}

var (
	yamlUnknown = regexp.MustCompile(`^line (\d+): field (\S+) not found in type`)
	yamlType    = regexp.MustCompile("(?s)^line (\\d+): cannot unmarshal (!!\\S+)( `.*`)? into (\\S+)$")
)

// plainYAMLError turns the library's words into ours and leaves out the value.
func plainYAMLError(text string) string {
	if m := yamlUnknown.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("unknown key %s (line %s)", m[2], m[1])
	}
	if m := yamlType.FindStringSubmatch(text); m != nil {
		wanted := "a " + strings.TrimPrefix(m[4], "config.")
		switch {
		case strings.HasPrefix(m[4], "uint"):
			wanted = "a whole number that is not negative"
		case m[4] == "bool":
			wanted = "true or false"
		case strings.HasPrefix(m[4], "[]"):
			wanted = "a list"
		case strings.HasPrefix(m[4], "config."):
			wanted = "a mapping"
		case m[4] == "string":
			wanted = "text"
		}
		return fmt.Sprintf("has the wrong kind of value, want %s (line %s)", wanted, m[1])
	}
	return text
}

// UnmarshalYAML also takes a bare number, which is a depth without a tag.
func (f *finalityEntry) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!int" {
		return node.Decode(&f.Depth)
	}
	if node.Kind != yaml.MappingNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("finality wants {tag: finalized, depth: 64} (line %d)",
			node.Line)}}
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value != "tag" && key.Value != "depth" {
			return &yaml.TypeError{Errors: []string{fmt.Sprintf("unknown key %s (line %d)", key.Value, key.Line)}}
		}
	}
	type plain finalityEntry
	return node.Decode((*plain)(f))
}

// chain fills in the defaults of an entry and converts what is text in the file.
func (e chainEntry) chain(field string, at func(string) string, errs *FieldErrors) Chain {
	c := Chain{
		Name: e.Name, ChainID: e.ChainID, StartBlock: e.StartBlock, Test: e.Test, Retired: e.Retired,
		ExplorerURL: strings.TrimRight(e.ExplorerURL, "/"), Multicall: strings.ToLower(e.Multicall),
		Finality: Finality{Tag: e.Finality.Tag}, Native: Native{Symbol: "ETH", Decimals: 18}, BlockTime: 12 * time.Second,
	}
	duration := func(key, text string, into *time.Duration) {
		if text == "" {
			return
		}
		d, err := ParseDuration(text)
		if err != nil {
			errs.add(field+"."+key, "is not a duration such as 500ms or 2s%s", at(field+"."+key))
			return
		}
		*into = d
	}
	duration("block_time", e.BlockTime, &c.BlockTime)
	c.PollInterval = min(max(c.BlockTime, 250*time.Millisecond), 5*time.Second)
	duration("poll_interval", e.PollInterval, &c.PollInterval)
	c.RPCURLs, c.WSURLs = urls(e.RPCURLs), urls(e.WSURLs)
	c.Internal = cmp.Or(e.Internal, InternalAuto)
	c.Proofs = cmp.Or(e.Proofs, defaultProofs(len(c.RPCURLs)))
	c.RPCRate = defaultRate(c.RPCURLs)
	if e.RPCRate != nil {
		c.RPCRate = *e.RPCRate
	}
	if e.Finality.Depth != nil {
		c.Finality.Depth = *e.Finality.Depth
	}
	switch c.Multicall {
	case "", "true":
		c.Multicall = Multicall3
	case "none", "false":
		c.Multicall = ""
	}
	if e.Native != nil {
		if e.Native.Symbol != "" {
			c.Native.Symbol = e.Native.Symbol
		}
		if e.Native.Decimals != nil {
			c.Native.Decimals = *e.Native.Decimals
		}
	}
	for j, t := range e.Tokens {
		token := Token{Symbol: t.Symbol, Contract: strings.ToLower(t.Contract), Retired: t.Retired}
		if t.Decimals == nil {
			name := fmt.Sprintf("%s.tokens[%d].decimals", field, j)
			errs.add(name, "is required%s", at(name))
		} else {
			token.Decimals = *t.Decimals
		}
		c.Tokens = append(c.Tokens, token)
	}
	return c
}

func urls(texts []string) (all []URL) {
	for _, t := range texts {
		all = append(all, URL(strings.TrimSpace(t)))
	}
	return all
}
