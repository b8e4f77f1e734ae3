package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// variable is one setting, as its field's tags describe it.
type variable struct {
	Name, Kind, Default, Desc, Example, Group, Required string
	Secret                                              bool
	index                                               []int
}

// variables lists every setting in the order of the struct.
func variables() []variable { return variablesOf(reflect.TypeFor[Config](), "General", nil) }

func variablesOf(t reflect.Type, group string, index []int) []variable {
	var list []variable
	for i := range t.NumField() {
		field := t.Field(i)
		path := append(append([]int(nil), index...), i)
		if inner := field.Tag.Get("group"); inner != "" {
			list = append(list, variablesOf(field.Type, inner, path)...)
			continue
		}
		name := field.Tag.Get("env")
		if name == "" || name == "-" {
			continue
		}
		list = append(list, variable{
			Name: name, Kind: kindOf(field.Type), Default: field.Tag.Get("envDefault"), Desc: field.Tag.Get("desc"),
			Example: field.Tag.Get("example"), Group: group, Required: field.Tag.Get("required"),
			Secret: field.Tag.Get("secret") == "true", index: path,
		})
	}
	return list
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration"
	case reflect.TypeFor[URL](), reflect.TypeFor[Redis]():
		return "a URL"
	case reflect.TypeFor[MasterKeys]():
		return "a list of keys"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	}
	return "text"
}

// Reference is docs/configuration.md: every setting, from the tags of [Config].
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	group := ""
	for _, v := range variables() {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n\n| variable | value | default | meaning |\n|---|---|---|---|\n", group)
		}
		kind := strings.TrimPrefix(v.Kind, "a ")
		if v.Secret {
			kind += ", secret"
		}
		fallback := ""
		switch {
		case v.Default != "":
			fallback = "`" + v.Default + "`"
		case v.Required == "always":
			fallback = "required"
		case v.Required == "services":
			fallback = "required, but not by every `ctripctl` command"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, kind, fallback, strings.ReplaceAll(v.Desc, "|", `\|`))
	}
	b.WriteString(chainsReference)
	return b.String()
}

const referenceHead = `# Configuration

<!-- Generated from the struct in config/config.go by: go test ./config -run TestReference -update -->

Every setting is an environment variable. A process reads them once, when it starts, and refuses to start with a list of
everything that is wrong.

- An empty value counts as not set.
- Each variable has a form ending in ` + "`_FILE`" + ` that names a file to read the value from, for secret managers:
  ` + "`OPERATOR_TOKEN_FILE=/run/secrets/operator_token`" + `. Line ends at the end of the file are dropped. Setting both forms is an error.
- With ` + "`ENV`" + ` unset or ` + "`development`" + `, a ` + "`.env`" + ` file in the working directory is read too; the environment wins over it.
- Durations are written ` + "`500ms`, `10s`, `12h`, `180d` or `1d12h`" + `; a day has 24 hours.
- Settings marked secret are never printed, logged or put into an error.

No process starts while any variable of its environment has ` + "`PRIVATE_KEY` or `MNEMONIC`" + ` in its name, or while a value holds an
extended private key or a mnemonic phrase: the gateway works with public keys only. With ` + "`ENV=production`" + ` it also refuses
secrets that are missing, short, left as in an example, or used in two places, and plain http for ` + "`PUBLIC_URL` and\n`WEBHOOK_URL`" + `.
`

// chainsReference describes the keys of the chains file.
const chainsReference = `
## The chains file

` + "`CHAINS_FILE`" + ` is a YAML list with one entry a chain; ` + "`chains.example.yaml`" + ` is a file to start from. Unknown keys are errors.

| key | default | meaning |
|---|---|---|
| ` + "`name`" + ` | required | The slug by which the API knows the chain: a-z, 0-9 and -. |
| ` + "`chain_id`" + ` | required | What ` + "`eth_chainId`" + ` must answer on every connection. |
| ` + "`rpc_urls`" + ` | required | Providers in order of preference, http(s) or ws(s). With two or more, a confirmation needs a second one to agree on the block and on the transfers in it. |
| ` + "`ws_urls`" + ` | those of ` + "`rpc_urls`" + ` that are ws(s) | WebSocket addresses of the providers. A new block is asked for when one announces it (` + "`newHeads`" + `); every ` + "`poll_interval`" + ` it is asked for all the same. |
| ` + "`finality`" + ` | required | ` + "`{tag: finalized, depth: 64}`" + `. The tag is ` + "`finalized` or `safe`" + `, or left out; the depth counts when every provider rejects the tag as unsupported, or there is none. |
| ` + "`block_time`" + ` | ` + "`12s`" + ` | Usual time between blocks. |
| ` + "`poll_interval`" + ` | block time, within 250ms and 5s | How often the head is asked for. |
| ` + "`start_block`" + ` | the head at the first start | First block to scan. |
| ` + "`explorer_url`" + ` | | Block explorer for links. |
| ` + "`internal_transfers`" + ` | ` + "`auto`" + ` | How coin that contracts send is found: ` + "`auto`" + ` (logs of the chain about its coin, else traces, else balances), ` + "`trace`" + ` (no balances), ` + "`balance`" + ` (no traces) or ` + "`off`" + ` (only transactions to the address, and withdrawals). See [chains.md](chains.md). |
| ` + "`proofs`" + ` | ` + "`all`" + ` with one provider, ` + "`hits`" + ` with more | Which blocks are held against their hashes: ` + "`all`" + ` as they are read (with all their receipts), ` + "`hits`" + ` those that pay somebody, before they are final, or none: ` + "`off`" + `. See [chains.md](chains.md). |
| ` + "`rpc_rate`" + ` | ` + "`25`" + `, ` + "`0`" + ` for nodes of this machine or a private network | Calls a second that each provider is asked at most, those in a batch counted; ` + "`0`" + ` for no limit. |
| ` + "`multicall`" + ` | the usual address | Address of Multicall3, with which many balances of a token are read in one call, or ` + "`none`" + `. |
| ` + "`test`" + ` | ` + "`false`" + ` | The chain's money is worth nothing; ` + "`ck_test_`" + ` keys see only such chains. |
| ` + "`native`" + ` | ` + "`{symbol: ETH, decimals: 18}`" + ` | The chain's own coin. |
| ` + "`tokens`" + ` | none | ERC-20 tokens that count, each with ` + "`symbol`, `contract` and `decimals`" + `. |
| ` + "`retired`" + ` | ` + "`false`" + ` | Of a chain or of a token: it is scanned on, and nobody is asked for payments on it any more. One with open payments cannot be taken out of the file. |
`

// EnvExample is .env.example: what the compose file runs with, and every other setting as a comment with its default.
// Its secrets begin with changeme, and production refuses them.
func EnvExample() string {
	var b strings.Builder
	b.WriteString(`# scripts/dotenv writes a .env with fresh secrets, the compose file's POSTGRES_PASSWORD among them; this file lists every setting.
# Generated from the struct in config/config.go by: go test ./config -run TestReference -update
# The host names are the services of docker-compose.yml; for processes started by hand put 127.0.0.1 in their place.
# Production refuses every value that says changeme. Make secrets with: openssl rand -base64 32
`)
	group := ""
	for _, v := range variables() {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n### %s\n", group)
		}
		fmt.Fprintf(&b, "\n# %s\n", v.Desc)
		if v.Example != "" {
			fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Example)
		} else {
			fmt.Fprintf(&b, "#%s=%s\n", v.Name, v.Default)
		}
	}
	return b.String()
}
