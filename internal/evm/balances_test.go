package evm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// multicall3 is where the pools of these tests look for Multicall3.
const multicall3 = "0xca11bde05977b3631167028862be2a173976ca11"

// aggregate3 is the function as Multicall3's published interface has it, with its selector.
const (
	aggregate3         = `[{"name":"aggregate3","type":"function","inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]}]`
	aggregate3Selector = "82ad56cb"
	getEthBalance      = "4d2301cc"
)

// multicallOn stands for Multicall3 in front of a node: it makes the calls of an aggregate3 one by one, at the block
// asked for.
func multicallOn(t *testing.T, node string, calls *int, fail bool) *proxy {
	t.Helper()
	contract, err := abi.JSON(strings.NewReader(aggregate3))
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		Success    bool
		ReturnData []byte
	}
	return newProxy(t, node, func(method string, params, was json.RawMessage) (json.RawMessage, int) {
		var call struct {
			To   string
			Data hexutil.Bytes
		}
		var number json.RawMessage
		if method != "eth_call" || json.Unmarshal(params, &[]any{&call, &number}) != nil || call.To != multicall3 {
			return was, 0
		}
		*calls++
		if got := common.Bytes2Hex(call.Data[:4]); got != aggregate3Selector {
			t.Errorf("selector %s", got)
		}
		args, err := contract.Methods["aggregate3"].Inputs.Unpack(call.Data[4:])
		if err != nil {
			t.Error(err)
			return was, 0
		}
		var outcomes []outcome
		for _, c := range args[0].([]struct {
			Target       common.Address `json:"target"`
			AllowFailure bool           `json:"allowFailure"`
			CallData     []byte         `json:"callData"`
		}) {
			var value string
			var answer json.RawMessage
			ask := func(method, params string) json.RawMessage {
				got, err := forward(node, message{Version: "2.0", ID: json.RawMessage("1"), Method: method,
					Params: json.RawMessage(params)})
				if err != nil {
					t.Error(err)
				}
				return got.Result
			}
			if common.Bytes2Hex(c.CallData[:4]) == getEthBalance {
				answer = ask("eth_getBalance", fmt.Sprintf(`["0x%x",%s]`, c.CallData[16:36], number))
			} else {
				answer = ask("eth_call", fmt.Sprintf(`[{"to":%q,"data":"0x%x"},%s]`, c.Target.Hex(), c.CallData,
					number))
			}
			if answer == nil {
				return json.RawMessage(`{"code":-32000,"message":"header for hash not found"}`), 0
			}
			if err := json.Unmarshal(answer, &value); err != nil {
				t.Error(err)
			}
			digits := strings.TrimPrefix(value, "0x")
			if len(digits)%2 == 1 {
				digits = "0" + digits
			}
			outcomes = append(outcomes, outcome{!fail, common.LeftPadBytes(common.Hex2Bytes(digits), 32)})
		}
		out, err := contract.Methods["aggregate3"].Outputs.Pack(outcomes)
		if err != nil {
			t.Error(err)
		}
		text, _ := json.Marshal(hexutil.Bytes(out))
		return text, 0
	})
}

// TestBalances: the same balances whether asked one by one or through Multicall3, of coin and token, at the block asked
// for and not at the head.
func TestBalances(t *testing.T) {
	c := startDevnet(t)
	first, _, _ := paid(t, c)
	second, _, _ := paid(t, c)
	payee, nobody := chain.Address{19: 0xaa}, chain.Address{19: 0xbb}
	payer, err := chain.ParseAddress(c.DemoPayer().Address())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	through := func(o *evm.Options) { o.Multicall = multicall3 }
	for name, p := range map[string]*evm.Pool{
		"one by one": newPool(t, c.Token(), nil, c.URL()),
		"Multicall3": newPool(t, c.Token(), through, multicallOn(t, c.URL(), &calls, false).URL),
	} {
		for times, number := range []uint64{first, second} {
			h, err := p.Header(t.Context(), number)
			if err != nil {
				t.Fatal(err)
			}
			for asset, unit := range map[string]int64{chain.Native: 7, strings.ToLower(c.Token()): 9} {
				got, err := p.Balances(t.Context(), h.Ref(), asset, []chain.Address{payee, nobody})
				want := big.NewInt(unit * int64(times+1))
				if err != nil || len(got) != 2 || got[0].Cmp(want) != 0 || got[1].Sign() != 0 {
					t.Errorf("%s: %s at block %d: %v, want %s (%v)", name, asset, number, got, want, err)
				}
			}
			nonces, err := p.Nonces(t.Context(), h.Ref(), []chain.Address{payer, nobody})
			if err != nil || len(nonces) != 2 || nonces[0] != uint64(2*(times+1)) || nonces[1] != 0 {
				t.Errorf("%s: nonces at block %d: %v, %v", name, number, nonces, err)
			}
			fork := chain.Ref{Number: number, Hash: chain.Hash{1}}
			if _, err := p.Balances(t.Context(), fork, chain.Native, []chain.Address{payee}); !errors.Is(err,
				evm.ErrInconsistent) {
				t.Errorf("%s: balances on another branch: %v", name, err)
			}
		}
	}
	if calls == 0 {
		t.Error("Multicall3 was never called")
	}
}

// TestManyBalances: more accounts than one request takes keep their order.
func TestManyBalances(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	accounts := make([]chain.Address, 1101)
	for i := range accounts {
		accounts[i] = chain.Address{1, byte(i >> 8), byte(i)}
	}
	for _, i := range []int{0, 500, 1100} {
		accounts[i] = chain.Address{19: 0xaa}
	}
	calls := 0
	through := newPool(t, c.Token(), func(o *evm.Options) { o.Multicall = multicall3 },
		multicallOn(t, c.URL(), &calls, false).URL)
	for name, p := range map[string]*evm.Pool{"one by one": newPool(t, c.Token(), nil, c.URL()), "Multicall3": through} {
		h, err := p.Header(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Balances(t.Context(), h.Ref(), chain.Native, accounts)
		if err != nil || len(got) != len(accounts) {
			t.Fatalf("%s: %d balances, %v", name, len(got), err)
		}
		for i, b := range got {
			if want := map[bool]int64{true: 7}[accounts[i][19] == 0xaa]; b.Int64() != want {
				t.Errorf("%s: account %d has %s, want %d", name, i, b, want)
			}
		}
	}
	if calls != 3 {
		t.Errorf("Multicall3 was called %d times", calls)
	}
}

// TestBalancesThatCannotBeBelieved: what is not a balance is an error, never zero.
func TestBalancesThatCannotBeBelieved(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	h, err := newPool(t, c.Token(), nil, c.URL()).Header(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	through := func(o *evm.Options) { o.Multicall = multicall3 }
	answer := func(method, with string) string {
		return newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m == method {
				return json.RawMessage(with), 0
			}
			return r, 0
		}).URL
	}
	dropping := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_getBalance" {
			return nil, leaveOut
		}
		return r, 0
	})
	calls := 0
	for name, ask := range map[string]struct {
		pool  *evm.Pool
		asset string
	}{
		"null balance":         {newPool(t, c.Token(), nil, answer("eth_getBalance", `null`)), chain.Native},
		"left out":             {newPool(t, c.Token(), nil, dropping.URL), chain.Native},
		"no contract":          {newPool(t, c.Token(), nil, c.URL()), otherToken},
		"no asset":             {newPool(t, c.Token(), nil, c.URL()), "USDC"},
		"no Multicall3":        {newPool(t, c.Token(), through, c.URL()), chain.Native},
		"garbage":              {newPool(t, c.Token(), through, answer("eth_call", `"0x1234"`)), chain.Native},
		"fewer results":        {newPool(t, c.Token(), through, answer("eth_call", `"0x`+strings.Repeat("0", 62)+"20"+strings.Repeat("0", 64)+`"`)), chain.Native},
		"a call that failed":   {newPool(t, c.Token(), through, multicallOn(t, c.URL(), &calls, true).URL), chain.Native},
		"state that is pruned": {newPool(t, c.Token(), nil, answer("eth_getBalance", `{"code":-32000,"message":"missing trie node"}`)), chain.Native},
	} {
		if got, err := ask.pool.Balances(t.Context(), h.Ref(), ask.asset, []chain.Address{{19: 0xaa}}); err == nil {
			t.Errorf("%s: believed %v", name, got)
		}
	}
	nonceless := newPool(t, c.Token(), nil, answer("eth_getTransactionCount", `null`))
	if got, err := nonceless.Nonces(t.Context(), h.Ref(), []chain.Address{{1}}); err == nil {
		t.Errorf("null nonce: believed %v", got)
	}
	if got, err := nonceless.Used(t.Context(), []string{otherToken}); err == nil {
		t.Errorf("null nonce: believed %v", got)
	}
	odd := newPool(t, c.Token(), nil, answer("eth_call", `"0x`+strings.Repeat("f", 64)+`"`))
	if d, err := odd.Decimals(t.Context(), strings.ToLower(c.Token())); err == nil {
		t.Errorf("%d decimals", d)
	}
	if d, err := newPool(t, c.Token(), nil, c.URL()).Decimals(t.Context(), otherToken); err == nil {
		t.Errorf("nothing has %d decimals", d)
	}
	if used, err := newPool(t, c.Token(), nil, c.URL()).Used(t.Context(), addresses(130)); err != nil || len(used) != 130 {
		t.Errorf("%d addresses looked at, %v", len(used), err)
	}
}

func addresses(n int) (as []string) {
	for i := range n {
		as = append(as, chain.Address{2, byte(i)}.Hex())
	}
	return as
}

// TestAnAddressThatOnlyHoldsATokenIsUsed, whether balances are read through Multicall3 or one by one.
func TestAnAddressThatOnlyHoldsATokenIsUsed(t *testing.T) {
	c := startDevnet(t)
	to, fresh := chain.Address{19: 0xac}.Hex(), chain.Address{19: 0xad}.Hex()
	if _, err := c.SendToken(t.Context(), c.DemoPayer(), to, big.NewInt(9)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mine(); err != nil {
		t.Fatal(err)
	}
	calls := 0
	through := func(o *evm.Options) { o.Multicall = multicall3 }
	for name, p := range map[string]*evm.Pool{
		"one by one": newPool(t, c.Token(), nil, c.URL()), "no Multicall3": newPool(t, c.Token(), through, c.URL()),
		"Multicall3": newPool(t, c.Token(), through, multicallOn(t, c.URL(), &calls, false).URL),
		"a token that is not there": newPool(t, c.Token(), func(o *evm.Options) {
			o.Tokens = append(o.Tokens, otherToken)
		}, c.URL()),
	} {
		used, err := p.Used(t.Context(), []string{to, fresh})
		if err != nil || !used[to] || used[fresh] {
			t.Errorf("%s: %v, %v", name, used, err)
		}
	}
}

// TestAnAddressThatOnceHadATokenIsUsed: a token may leave an address by a signature, without a transaction of its own.
// Logs tell of it, or where a node does not search them all, the token's count of signatures. Zero of a token, which
// anybody can send, says nothing.
func TestAnAddressThatOnceHadATokenIsUsed(t *testing.T) {
	c := startDevnet(t)
	had, fresh := chain.Address{19: 0xac}.Hex(), chain.Address{19: 0xad}.Hex()
	for to, units := range map[string]int64{had: 9, fresh: 0} {
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), to, big.NewInt(units)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Mine(); err != nil {
		t.Fatal(err)
	}
	word := func(last string) json.RawMessage {
		return json.RawMessage(`"0x` + strings.Repeat("0", 64-len(last)) + last + `"`)
	}
	left := func(m string, params, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_call" && strings.Contains(string(params), "70a08231") {
			return word("0"), 0
		}
		return r, 0
	}
	searches := 0
	refused := func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_getLogs" {
			searches++
			return json.RawMessage(`{"code":-32005,"message":"block range is too large"}`), 0
		}
		return r, 0
	}
	signed := func(m string, params, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_call" && strings.Contains(string(params), "7ecebe00") {
			if strings.Contains(string(params), had[2:]) {
				return word("1"), 0
			}
			return word("0"), 0
		}
		return r, 0
	}
	for name, change := range map[string]changeFunc{"logs": left, "signatures": both(left, refused, signed)} {
		p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), change).URL)
		for range 2 {
			used, err := p.Used(t.Context(), []string{fresh, had})
			if err != nil || !used[had] || used[fresh] {
				t.Errorf("%s: %v, %v", name, used, err)
			}
		}
	}
	if searches != 1 {
		t.Errorf("a node that refuses was asked to search %d times", searches)
	}
	neither := newPool(t, c.Token(), nil, newProxy(t, c.URL(), both(left, refused)).URL)
	if used, err := neither.Used(t.Context(), []string{fresh, had}); err != nil || used[fresh] {
		t.Errorf("a node that tells nothing of the past stops payments: %v, %v", used, err)
	}
}
