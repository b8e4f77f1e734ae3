package test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// node is a node that mines when it is asked to.
type node struct {
	t       *testing.T
	name    string // as docs/chains.md has it
	url     string
	chainID int
	source  string // that tells of coin which contracts send
	from    string // an account that the node signs for
	token   string
	// withdraw has the consensus layer pay; nil where the node has none.
	withdraw func(to string, gwei uint64)
	// lose takes the last block and its transaction away, for a longer branch; a mark was set before that block.
	mark   func()
	lose   func(tx string)
	proofs string // setting of the chain; ganache's receipts of a block with several transactions have another root
}

func (n *node) call(method, params string) (out string) {
	n.t.Helper()
	raw := evmtest.Result(n.t, n.url, method, params)
	if json.Unmarshal(raw, &out) != nil {
		return string(raw)
	}
	return out
}

func (n *node) mine(blocks int) {
	n.t.Helper()
	for range blocks {
		n.call("evm_mine", "[]")
	}
}

func (n *node) send(to, data string, wei int64) string {
	n.t.Helper()
	request := fmt.Sprintf(`[{"from":%q,"data":%q,"value":"0x%x","gas":"0x200000"`, n.from, data, wei)
	if to != "" {
		request += fmt.Sprintf(`,"to":%q`, to)
	}
	return n.call("eth_sendTransaction", request+"}]")
}

func (n *node) deploy(data string) string {
	n.t.Helper()
	hash := n.send("", data, 0)
	n.mine(1)
	var r struct{ ContractAddress string }
	raw := evmtest.Result(n.t, n.url, "eth_getTransactionReceipt", `["`+hash+`"]`)
	if err := json.Unmarshal(raw, &r); err != nil || r.ContractAddress == "" {
		n.t.Fatalf("%s, %v", raw, err)
	}
	return r.ContractAddress
}

// deployToken puts the demo token on the chain, all of it in the sender's hand.
func (n *node) deployToken() string {
	n.t.Helper()
	text, err := os.ReadFile("../internal/devnet/contracts/DemoToken.json")
	if err != nil {
		n.t.Fatal(err)
	}
	var contract struct{ Bytecode string }
	if err := json.Unmarshal(text, &contract); err != nil {
		n.t.Fatal(err)
	}
	return n.deploy(fmt.Sprintf("%s%064x%064x%064x%064s", contract.Bytecode, 0x40, uint64(1e18), 1, n.from[2:]))
}

// tokenCall is the data of transfer(to, units).
func tokenCall(to string, units int64) string {
	return fmt.Sprintf("0xa9059cbb%064s%064x", strings.ToLower(to[2:]), units)
}

func (n *node) prepare() *node {
	n.t.Helper()
	var accounts []string
	if err := json.Unmarshal([]byte(n.call("eth_accounts", "[]")), &accounts); err != nil || len(accounts) == 0 {
		n.t.Fatal(accounts, err)
	}
	n.from = accounts[0]
	if n.token == "" {
		n.token = n.deployToken()
	}
	if n.mark == nil { // the node goes back by a snapshot
		snapshot := ""
		n.mark = func() { snapshot = n.call("evm_snapshot", "[]") }
		n.lose = func(string) {
			n.call("evm_revert", `["`+snapshot+`"]`)
			n.mine(3)
		}
	}
	return n
}

// goEthereum is the devnet, which is go-ethereum's own chain.
func goEthereum(t *testing.T) *node {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	n := &node{t: t, name: "go-ethereum 1.17", url: c.URL(), chainID: devnet.ChainID, source: "balance", token: c.Token()}
	n.withdraw = func(to string, gwei uint64) {
		if _, err := c.Withdraw(to, gwei); err != nil {
			t.Fatal(err)
		}
	}
	n.mark = func() {}
	n.lose = func(tx string) {
		if _, err := c.ReorgOut(tx); err != nil {
			t.Fatal(err)
		}
	}
	proxy := evmtest.NewProxy(t, c.URL(), func(method string, _, r json.RawMessage) (json.RawMessage, int) {
		if method == "evm_mine" { // which go-ethereum itself does not have
			if _, err := c.Mine(); err != nil {
				t.Error(err)
			}
			return json.RawMessage(`"0x0"`), 0
		}
		return r, 0
	})
	n.url = proxy.URL
	return n.prepare()
}

func anvil(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, name: "anvil 1.7.1", chainID: 31337, source: "trace"}
	n.url = testkit.Anvil(t, "--no-mining", "--chain-id", fmt.Sprint(n.chainID))
	n.mark = func() {}
	n.lose = func(string) {
		n.call("anvil_reorg", "[1,[]]")
		n.mine(1)
	}
	return n.prepare()
}

func hardhat(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, name: "hardhat 3.18.0", chainID: 31337, source: "balance", url: testkit.Hardhat(t)}
	n.call("evm_setAutomine", "[false]")
	return n.prepare()
}

func ganache(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, name: "ganache 7.9.2", chainID: 1337, source: "balance", proofs: "off"}
	n.url = testkit.Ganache(t, "--chain.chainId", fmt.Sprint(n.chainID))
	n.call("miner_stop", "[]")
	return n.prepare()
}

// nodeShop is a gateway on a node.
type nodeShop struct {
	*gateway.Gateway
	*node
	api  *client.Client
	made int
}

func (s *nodeShop) ask(asset string, amount int64) client.Payment {
	s.t.Helper()
	text := fmt.Sprint(amount)
	s.made++
	p, err := s.api.CreatePayment(s.t.Context(), client.PaymentCreate{Chain: s.Chain, Asset: asset, Amount: &text},
		client.IdempotencyKey(fmt.Sprintf("%s-%d", s.Chain, s.made)))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// becomes waits until a payment has a status, and holds its amount, its source and its block against what was paid.
func (s *nodeShop) becomes(p client.Payment, status, source, way string) {
	s.t.Helper()
	var is, received, sources string
	patience := time.Now().Add(time.Minute)
	for ; is != status && time.Now().Before(patience); time.Sleep(20 * time.Millisecond) {
		err := s.DB.QueryRow(`SELECT p.status, p.amount_received::text, coalesce(string_agg(t.source, ' '), '')
			FROM payments p LEFT JOIN transfers t ON t.payment_id = p.id AND t.status <> 'orphaned' AND t.amount > 0
			WHERE p.id = $1 GROUP BY p.id`, p.ID).Scan(&is, &received, &sources)
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if is != status || sources != source || status != "pending" && received != p.Amount {
		s.t.Errorf("%s: %s, %s of %s received, source %q; want %s from %q", way, is, received, p.Amount, sources, status,
			source)
	}
}

// TestNodes: on each of the nodes that merchants have at hand every way in is detected with its own block, confirmed
// with the blocks after it, and taken back by a reorganisation. The table of docs/chains.md says the same.
func TestNodes(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *node{
		"go-ethereum": goEthereum, "anvil": anvil, "hardhat": hardhat, "ganache": ganache,
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			row := fmt.Sprintf("| %s | with its block | with its block, `%s` | %s |", n.name, n.source,
				map[bool]string{true: "with its block", false: "has none"}[n.withdraw != nil])
			if text, err := os.ReadFile("../docs/chains.md"); err != nil || !strings.Contains(string(text), row) {
				t.Errorf("docs/chains.md lacks the row\n%s\n%v", row, err)
			}
			g := gateway.New(t, gateway.Options{DatabaseURL: testkit.Postgres(t), Chain: gateway.Chain{Name: name, RPC: n.url,
				ChainID: n.chainID, Token: strings.ToLower(n.token), Depth: 3, PollInterval: "100ms", Proofs: n.proofs}})
			g.Start("api")
			g.Start("scanner")
			g.WaitReady("api")
			g.WaitScanned()
			s := &nodeShop{Gateway: g, node: n, api: g.API(g.NewMerchant())}
			s.waysIn()
			s.reorganised()
		})
	}
}

func (s *nodeShop) waysIn() {
	s.t.Helper()
	forwarder := s.deploy(testkit.Creation(testkit.Pays))
	safe := s.deploy(testkit.Creation(testkit.PaysThrough(forwarder)))
	failing := s.deploy(testkit.Creation(testkit.PaysAndFails))
	direct := "chain"
	if s.source == "trace" {
		direct = "trace" // which tells of all coin of a block
	}
	type paid struct {
		client.Payment
		way, source string
	}
	pay := func(way, source, asset string, amount int64) paid { return paid{s.ask(asset, amount), way, source} }
	all := []paid{
		pay("transfer", direct, "native", 1001), pay("token", "chain", "DEMO", 1002),
		pay("forwarder", s.source, "native", 1003),
		pay("batch", s.source, "native", 1004), pay("batch, second", s.source, "native", 1005),
		pay("safe", s.source, "native", 1006), pay("destroyed", s.source, "native", 1007),
	}
	refused := s.ask("native", 1008)
	if s.withdraw != nil {
		all = append(all, pay("withdrawal", "withdrawal", "native", 9_000_000_000))
		s.withdraw(all[len(all)-1].Address, 9)
	}
	to := func(i int) testkit.Payout {
		amount, _ := new(big.Int).SetString(all[i].Amount, 10)
		return testkit.Payout{To: all[i].Address, Wei: amount.Int64()}
	}
	s.send(all[0].Address, "0x", 1001)
	s.send(s.token, tokenCall(all[1].Address, 1002), 0)
	s.send(forwarder, testkit.PayList(to(2)), 1003)
	s.send(forwarder, testkit.PayList(to(3), to(4)), 1004+1005)
	s.send(safe, testkit.PayList(to(5)), 1006)
	s.send("", testkit.Leaves(all[6].Address), 1007)
	s.send(failing, testkit.PayList(testkit.Payout{To: refused.Address, Wei: 1008}), 1008)
	s.mine(1)
	began := time.Now()
	for _, p := range all {
		s.becomes(p.Payment, "detected", p.source, p.way)
	}
	s.t.Logf("%s: detected within %s of the block", s.name, time.Since(began).Round(time.Millisecond))
	s.mine(3)
	for _, p := range all {
		s.becomes(p.Payment, "confirmed", p.source, p.way)
	}
	s.becomes(refused, "pending", "", "failing")
}

func (s *nodeShop) reorganised() {
	s.t.Helper()
	token, coin := s.ask("DEMO", 2001), s.ask("native", 2002)
	s.mine(1)
	s.mark()
	tx := s.send(s.token, tokenCall(token.Address, 2001), 0)
	s.mine(1)
	s.becomes(token, "detected", "chain", "before a reorganisation")
	s.lose(tx)
	s.becomes(token, "pending", "", "after a reorganisation")
	s.send(s.token, tokenCall(token.Address, 2001), 0)
	s.send(coin.Address, "0x", 2002)
	s.mine(4)
	s.becomes(token, "confirmed", "chain", "paid again")
	source := "chain"
	if s.source == "trace" {
		source = "trace"
	}
	s.becomes(coin, "confirmed", source, "paid after a reorganisation")
}
