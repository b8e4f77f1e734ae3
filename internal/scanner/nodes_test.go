package scanner_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// anvilNode sends and mines on anvil.
type anvilNode struct {
	t    *testing.T
	url  string
	from string
}

func (n anvilNode) call(method, params string) (out string) {
	n.t.Helper()
	raw := evmtest.Result(n.t, n.url, method, params)
	if json.Unmarshal(raw, &out) != nil {
		return string(raw)
	}
	return out
}

func (n anvilNode) send(to, data string, wei int) string {
	n.t.Helper()
	request := fmt.Sprintf(`[{"from":%q,"data":%q,"value":"0x%x","gas":"0x100000"`, n.from, data, wei)
	if to != "" {
		request += fmt.Sprintf(`,"to":%q`, to)
	}
	return n.call("eth_sendTransaction", request+"}]")
}

func (n anvilNode) mine(blocks int) devnet.Head {
	n.t.Helper()
	for range blocks {
		n.call("evm_mine", "[]")
	}
	var b struct{ Number, Hash string }
	if err := json.Unmarshal(evmtest.Result(n.t, n.url, "eth_getBlockByNumber", `["latest",false]`), &b); err != nil {
		n.t.Fatal(err)
	}
	var head devnet.Head
	fmt.Sscanf(b.Number, "0x%x", &head.Number)
	head.Hash = b.Hash
	return head
}

// deploy puts runtime code on the chain.
func (n anvilNode) deploy(code string) string {
	n.t.Helper()
	hash := n.send("", fmt.Sprintf("0x61%04x80600c6000396000f3%s", len(code)/2, code), 0)
	n.mine(1)
	var r struct{ ContractAddress string }
	raw := evmtest.Result(n.t, n.url, "eth_getTransactionReceipt", `["`+hash+`"]`)
	if err := json.Unmarshal(raw, &r); err != nil || r.ContractAddress == "" {
		n.t.Fatalf("%s, %v", raw, err)
	}
	return r.ContractAddress
}

// pay is code that pays wei to an address: a CALL whose outcome is dropped.
func pay(to, value string) string { return "6000600060006000" + value + "73" + to[2:] + "5af150" }

// TestWaysInOnAnvil: coin of a forwarder, a batch, a proxy that delegates (as a Safe does), of SELFDESTRUCT and of a
// call that fails after it has paid, found by real traces in both of anvil's kinds, and by balances.
func TestWaysInOnAnvil(t *testing.T) {
	for _, way := range []struct {
		internal, source string
		refuses          string // a method that the node does not know
	}{{"trace", models.SourceTrace, ""}, {"trace", models.SourceTrace, "debug_traceBlockByHash"},
		{"balance", models.SourceBalance, ""}} {
		t.Run(way.internal+way.refuses, func(t *testing.T) {
			n := anvilNode{t: t, url: testkit.Anvil(t, "--no-mining", "--chain-id", fmt.Sprint(devnet.ChainID))}
			var accounts []string
			if err := json.Unmarshal([]byte(n.call("eth_accounts", "[]")), &accounts); err != nil {
				t.Fatal(err)
			}
			n.from = accounts[0]
			h := newShop(t, storetest.SQLite(t), node(t))
			front := evmtest.NewProxy(t, n.url, func(method string, _, r json.RawMessage) (json.RawMessage, int) {
				if method == way.refuses {
					return json.RawMessage(`{"code":-32601,"message":"the method does not exist"}`), 0
				}
				return r, 0
			})
			h.chain.RPCURLs, h.chain.Internal = []config.URL{config.URL(front.URL)}, way.internal
			h.scan(n.mine(1))
			ps := make([]models.Payment, 6)
			for i := range ps {
				ps[i] = h.ask("native", fmt.Sprint(100+i))
			}
			forwarder := n.deploy(pay(ps[0].Address, "34") + "00")
			batch := n.deploy(pay(ps[1].Address, "6065") + pay(ps[2].Address, "6066") + "00")
			logic := n.deploy(pay(ps[3].Address, "6067") + "00")
			proxy := n.deploy("600060006000600073" + logic[2:] + "5af400")
			failing := n.deploy(pay(ps[5].Address, "6069") + "fe")
			h.scan(n.mine(1))
			n.send(forwarder, "0x", 100)
			n.send(batch, "0x", 101+102)
			n.send(proxy, "0x", 103)
			n.send("", "0x73"+ps[4].Address[2:]+"ff", 104)
			n.send(failing, "0x", 105)
			h.scan(n.mine(1))
			h.scan(n.mine(3))
			for i, p := range ps[:5] {
				h.want(p, models.PaymentConfirmed, fmt.Sprint(100+i))
				all, err := h.store.TransfersOf(t.Context(), []string{p.ID})
				if err != nil || len(all[p.ID]) != 1 || all[p.ID][0].Source != way.source {
					t.Errorf("payment %d: %+v, %v", i, all, err)
				}
			}
			h.want(ps[5], models.PaymentPending, "0")
		})
	}
}
