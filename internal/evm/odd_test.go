package evm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// onAnswers changes the objects in the answers to some methods, all of them without methods.
func onAnswers(change func(object), methods ...string) changeFunc {
	return func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if len(methods) > 0 && !strings.Contains(" "+strings.Join(methods, " ")+" ", " "+m+" ") {
			return r, 0
		}
		return each(r, change), 0
	}
}

func set(key string, value any) func(object) {
	return func(o object) {
		if _, ok := o[key]; ok {
			o[key] = value
		}
	}
}

func without(key string) func(object) { return func(o object) { delete(o, key) } }

// instead answers a method with a constant result, or error, or status.
func instead(method, result string, status int) changeFunc {
	return func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if m == method {
			return json.RawMessage(result), status
		}
		return r, 0
	}
}

func both(changes ...changeFunc) changeFunc {
	return func(m string, params, r json.RawMessage) (json.RawMessage, int) {
		for _, c := range changes {
			var status int
			if r, status = c(m, params, r); status != 0 {
				return nil, status
			}
		}
		return r, 0
	}
}

// otherBloom is a filter with bits that excludes every token but one that nobody has deployed.
func otherBloom() string {
	var bloom types.Bloom
	bloom.Add(common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef").Bytes())
	bloom.Add(common.HexToAddress(otherToken).Bytes())
	return fmt.Sprintf("0x%x", bloom.Bytes())
}

// noLogs makes eth_getLogs answer with an empty list.
var noLogs = instead("eth_getLogs", `[]`, 0)

// TestOddAnswersAreRead: what nodes write in their own way, and what has nothing to do with our transfers, changes
// nothing: one provider that answers so is enough to read the block as it is.
func TestOddAnswersAreRead(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	want, err := newPool(t, c.Token(), nil, c.URL()).Block(t.Context(), number)
	if err != nil || len(want.Txs) != 1 || len(want.Logs) != 1 || want.Logs[0].Doubtful {
		t.Fatalf("%+v, %v", want, err)
	}
	quantities := regexp.MustCompile(`"(number|timestamp|value|logIndex|status|gasUsed)":"0x([0-9a-f]+)"`)
	rewrite := func(with string) changeFunc {
		return func(_ string, _, r json.RawMessage) (json.RawMessage, int) {
			return quantities.ReplaceAll(r, []byte(with)), 0
		}
	}
	const block, logs, receipts = "eth_getBlockByNumber", "eth_getLogs", "eth_getBlockReceipts"
	duplicate := func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if m == logs {
			inner := strings.Trim(string(r), "[]")
			return json.RawMessage("[" + inner + "," + inner + "]"), 0
		}
		return r, 0
	}
	for name, change := range map[string]changeFunc{
		"leading zeros":   rewrite(`"$1":"0x00$2"`),
		"an upper-case X": rewrite(`"$1":"0X$2"`),
		"zero as 0x": func(_ string, _, r json.RawMessage) (json.RawMessage, int) {
			return bytes.ReplaceAll(r, []byte(`"logIndex":"0x0"`), []byte(`"logIndex":"0x"`)), 0
		},
		"numbers":                     onAnswers(func(o object) { asNumber(o, "number", "timestamp", "value", "logIndex") }),
		"a bloom of 0x":               onAnswers(set("logsBloom", "0x"), block),
		"a null bloom":                onAnswers(set("logsBloom", nil), block),
		"no bloom":                    onAnswers(without("logsBloom"), block),
		"a short bloom":               onAnswers(set("logsBloom", "0x00"), block),
		"a bloom that is no text":     onAnswers(set("logsBloom", json.Number("0")), block),
		"a zero bloom":                onAnswers(set("logsBloom", "0x"+strings.Repeat("00", 256)), block),
		"a wrong bloom":               onAnswers(set("logsBloom", otherBloom()), block),
		"a wrong bloom, and no logs":  both(onAnswers(set("logsBloom", otherBloom()), block), noLogs),
		"a zero bloom, and no logs":   both(onAnswers(set("logsBloom", "0x"+strings.Repeat("00", 256)), block), noLogs),
		"no bloom, and no logs":       both(onAnswers(without("logsBloom"), block), noLogs),
		"null logs":                   instead(logs, `null`, 0),
		"logs without removed":        onAnswers(without("removed"), logs),
		"logs with null removed":      onAnswers(set("removed", nil), logs),
		"removed logs":                onAnswers(set("removed", true), logs),
		"logs twice":                  duplicate,
		"logs of another block":       onAnswers(set("blockHash", chain.Hash{1}.Hex()), logs),
		"logs of no block":            onAnswers(set("blockHash", nil), logs),
		"no transaction hash in logs": both(onAnswers(set("transactionHash", nil), logs), onAnswers(set("blockHash", nil), logs)),
		"an odd log of somebody else": func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m != logs {
				return r, 0
			}
			odd := `{"address":"0x1","topics":null,"data":5,"logIndex":"x"},null,{},`
			return json.RawMessage("[" + odd + strings.TrimPrefix(string(r), "[")), 0
		},
		"a filter that is not obeyed": func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m != logs {
				return r, 0
			}
			other := strings.ReplaceAll(strings.Trim(string(r), "[]"), strings.ToLower(c.Token()), otherToken)
			return json.RawMessage("[" + other + "," + strings.TrimPrefix(string(r), "[")), 0
		},
		"blockHash refused":             refuseBlockHash(`{"code":-32602,"message":"invalid params: unknown field blockHash"}`),
		"blockHash not supported":       refuseBlockHash(`{"code":-32000,"message":"filter by blockHash is not supported"}`),
		"eth_getLogs refused":           instead(logs, `{"code":-32601,"message":"the method eth_getLogs does not exist"}`, 0),
		"too many logs":                 instead(logs, `{"code":-32005,"message":"query returned more than 10000 results"}`, 0),
		"a null log in a receipt":       both(noLogs, onAnswers(func(o object) { addLog(o, nil) }, receipts)),
		"an odd log in a receipt":       both(noLogs, onAnswers(func(o object) { addLog(o, object{"address": "", "topics": []any{"0x1"}}) }, receipts)),
		"null logs in another receipt":  both(noLogs, onAnswers(func(o object) { nullEmptyLogs(o) }, receipts)),
		"receipts in another encoding":  both(noLogs, instead(receipts, `{"code":-32700,"message":"parse error"}`, 0)),
		"fields of the future":          onAnswers(func(o object) { o["blobGasUsed"] = []any{json.Number("1")} }),
		"an empty recipient":            onAnswers(func(o object) { emptyTo(o, want.Txs[0].Hash) }, block),
		"no recipient":                  onAnswers(func(o object) { noTo(o, want.Txs[0].Hash) }, block),
		"a transaction without a value": onAnswers(func(o object) { zeroValue(o) }, block),
		"many leading zeros":            rewrite(`"$1":"0x000000000000000000000000000000000000000000$2"`),
		"hashes in upper case": func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m == logs {
				return upperHashes.ReplaceAllFunc(r, upperHash), 0
			}
			return r, 0
		},
		"null fields nobody needs": onAnswers(nulls("difficulty", "totalDifficulty", "extraData", "miner", "nonce", "mixHash",
			"baseFeePerGas", "size", "uncles", "withdrawals", "withdrawalsRoot", "gasPrice", "input", "v", "r", "s", "chainId",
			"type", "transactionIndex", "accessList", "yParity"), block),
		"no such fields": onAnswers(func(o object) {
			for _, k := range []string{"difficulty", "extraData", "miner", "nonce", "mixHash", "size", "uncles", "gasPrice",
				"input", "v", "r", "s", "chainId", "type", "transactionIndex", "accessList", "yParity"} {
				delete(o, k)
			}
		}, block),
		"unknown types":        onAnswers(set("type", "0x7e7e7e"), block, receipts),
		"types as numbers":     onAnswers(set("type", json.Number("2")), block, receipts),
		"types as words":       onAnswers(set("type", "legacy"), block, receipts),
		"log fields null":      onAnswers(nulls("blockNumber", "transactionIndex", "blockTimestamp"), logs),
		"removed as text":      onAnswers(set("removed", "false"), logs),
		"topics of an odd log": both(noLogs, onAnswers(func(o object) { addLog(o, object{"address": c.Token(), "topics": []any{nil}}) }, receipts)),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), change).URL)
			got, err := p.Block(t.Context(), number)
			got.Provider = want.Provider
			if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Fatalf("read %+v, want %+v, %v", got, want, err)
			}
			for _, transfer := range chain.Match(got, func(chain.Address) bool { return true }) {
				if ok, err := p.Happened(t.Context(), got.Hash, transfer); err != nil || !ok {
					t.Errorf("%s in %s: %t, %v", transfer.Value, transfer.Asset, ok, err)
				}
			}
		})
	}
}

var upperHashes = regexp.MustCompile(`"(blockHash|transactionHash)":"0x[0-9a-f]{64}"`)

func upperHash(field []byte) []byte {
	name, hash, _ := bytes.Cut(field, []byte(`":"0x`))
	return slices.Concat(name, []byte(`":"0x`), bytes.ToUpper(hash))
}

func nulls(keys ...string) func(object) {
	return func(o object) {
		for _, k := range keys {
			set(k, nil)(o)
		}
	}
}

func asNumber(o object, keys ...string) {
	for _, k := range keys {
		if text, ok := o[k].(string); ok && strings.HasPrefix(text, "0x") {
			v, _ := new(big.Int).SetString(text[2:], 16)
			o[k] = json.Number(v.String())
		}
	}
}

func addLog(o object, log any) {
	if logs, ok := o["logs"].([]any); ok {
		o["logs"] = append([]any{log}, logs...)
	}
}

func nullEmptyLogs(o object) {
	if logs, ok := o["logs"].([]any); ok && len(logs) == 0 {
		o["logs"] = nil
	}
}

// emptyTo and noTo make every transaction but one create a contract, in the ways that nodes write it.
func emptyTo(o object, but chain.Hash) {
	if _, ok := o["to"]; ok && o["hash"] != but.Hex() {
		o["to"] = ""
	}
}

func noTo(o object, but chain.Hash) {
	if _, ok := o["to"]; ok && o["hash"] != but.Hex() {
		delete(o, "to")
	}
}

func zeroValue(o object) {
	if o["value"] == "0x0" {
		delete(o, "value")
		o["from"] = ""
	}
}

func refuseBlockHash(answer string) changeFunc {
	return func(m string, params, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_getLogs" && bytes.Contains(params, []byte("blockHash")) {
			return json.RawMessage(answer), 0
		}
		return r, 0
	}
}

// TestBlockHashIsIgnored: a node that does not know blockHash in eth_getLogs answers with logs of another block; they
// are not taken, and the next time the node is asked by number at once.
func TestBlockHashIsIgnored(t *testing.T) {
	c := startDevnet(t)
	first, _, _ := paid(t, c)
	second, _, token := paid(t, c)
	asked := 0
	elsewhere := result(t, c.URL(), "eth_getLogs",
		fmt.Sprintf(`[{"fromBlock":"0x%x","toBlock":"0x%x","address":%q}]`, first, first, c.Token()))
	ignoring := newProxy(t, c.URL(), func(m string, params, r json.RawMessage) (json.RawMessage, int) {
		if m == "eth_getLogs" && bytes.Contains(params, []byte("blockHash")) {
			asked++
			return elsewhere, 0
		}
		return r, 0
	})
	p := newPool(t, c.Token(), nil, ignoring.URL)
	for range 2 {
		b, err := p.Block(t.Context(), second)
		if err != nil || len(b.Logs) != 1 || b.Logs[0].TxHash.Hex() != token {
			t.Fatalf("%+v, %v", b.Logs, err)
		}
	}
	if asked > 1 {
		t.Errorf("asked by hash %d times", asked)
	}
}

// TestLogsWithOneIndex: two logs of different transactions that have one index are two transfers.
func TestLogsWithOneIndex(t *testing.T) {
	c := startDevnet(t)
	var txs []string
	for units := range int64(3) {
		tx, err := c.SendToken(t.Context(), c.DemoPayer(), shopAddress, big.NewInt(units+1))
		if err != nil {
			t.Fatal(err)
		}
		txs = append(txs, tx)
	}
	head, err := c.Mine()
	if err != nil {
		t.Fatal(err)
	}
	one := newProxy(t, c.URL(), onAnswers(set("logIndex", "0x0"), "eth_getLogs"))
	b, err := newPool(t, c.Token(), nil, one.URL).Block(t.Context(), head.Number)
	if err != nil {
		t.Fatal(err)
	}
	found := chain.Match(b, func(chain.Address) bool { return true })
	if len(found) != 3 {
		t.Fatalf("%d transfers", len(found))
	}
	for i, transfer := range found {
		if transfer.TxHash.Hex() != txs[i] || transfer.Value.Int64() != int64(i+1) || transfer.Ordinal != 0 ||
			transfer.NeedsReceipt {
			t.Errorf("transfer %d is %+v", i, transfer)
		}
	}
}

// TestContradictingLogs: of two logs with one index in one transaction, only the one that the receipt holds counts.
func TestContradictingLogs(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	forged := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		if m != "eth_getLogs" {
			return r, 0
		}
		second := each(r, set("data", hashText(1000)))
		return json.RawMessage(strings.TrimSuffix(string(r), "]") + "," + strings.TrimPrefix(string(second), "[")), 0
	})
	p := newPool(t, c.Token(), nil, forged.URL)
	b, err := p.Block(t.Context(), number)
	if err != nil || len(b.Logs) != 2 {
		t.Fatalf("%+v, %v", b.Logs, err)
	}
	for _, transfer := range chain.Match(b, func(chain.Address) bool { return true })[1:] {
		ok, err := p.Happened(t.Context(), b.Hash, transfer)
		if !transfer.NeedsReceipt || ok != (transfer.Value.Int64() == 9) || (err == nil) != ok {
			t.Errorf("%+v: %t, %v", transfer, ok, err)
		}
	}
}

// TestForeignTransactions: some chains write logs of a transaction that the block does not list. Its receipt tells
// whether the log counts, and nobody asks for it unless it pays somebody.
func TestForeignTransactions(t *testing.T) {
	c := startDevnet(t)
	number, _, token := paid(t, c)
	hide := func(keep int) changeFunc { // the block does not list the token's transaction
		return onAnswers(func(o object) {
			txs, _ := o["transactions"].([]any)
			listed := []any{}
			for _, tx := range txs {
				if tx, ok := tx.(object); ok && tx["hash"] != token && len(listed) < keep {
					listed = append(listed, tx)
				}
			}
			if o["transactions"] != nil {
				o["transactions"], o["transactionsRoot"] = listed, chain.Hash{1}.Hex() // the root does not have it either
			}
		}, "eth_getBlockByNumber")
	}
	for name, change := range map[string]changeFunc{
		"beside another": hide(1),
		"alone":          hide(0),
		"alone, with a bloom that excludes it, and no gas": both(hide(0), onAnswers(set("logsBloom", "0x"+strings.Repeat("00", 256))), onAnswers(set("gasUsed", "0x0"))),
		"told by the receipts only":                        both(hide(1), noLogs),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), change).URL)
			b, err := p.Block(t.Context(), number)
			if err != nil || len(b.Logs) != 1 || !b.Logs[0].Doubtful {
				t.Fatalf("%+v, %v", b.Logs, err)
			}
			found := chain.Match(chain.Block{Header: b.Header, Logs: b.Logs}, func(chain.Address) bool { return true })
			if ok, err := p.Happened(t.Context(), b.Hash, found[0]); err != nil || !ok || !found[0].NeedsReceipt {
				t.Errorf("%+v: %t, %v", found[0], ok, err)
			}
		})
	}
	unknown := both(hide(1), instead("eth_getTransactionReceipt", `null`, 0))
	p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), unknown).URL)
	b, err := p.Block(t.Context(), number)
	if err != nil || len(b.Logs) != 1 {
		t.Fatalf("a foreign transaction without a receipt stops the block: %v", err)
	}
	found := chain.Match(b, func(chain.Address) bool { return true })
	if ok, err := p.Happened(t.Context(), b.Hash, found[len(found)-1]); ok || err == nil {
		t.Errorf("it counts without a receipt: %t, %v", ok, err)
	}
}

// TestNullTransactions: null stands for none where the header says that there are none.
func TestNullTransactions(t *testing.T) {
	c := startDevnet(t)
	head, err := c.Mine()
	if err != nil {
		t.Fatal(err)
	}
	null := newProxy(t, c.URL(), onAnswers(set("transactions", nil), "eth_getBlockByNumber"))
	if b, err := newPool(t, c.Token(), nil, null.URL).Block(t.Context(), head.Number); err != nil || len(b.Txs)+
		len(b.Logs) != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	unsaid := newProxy(t, c.URL(), onAnswers(func(o object) {
		set("transactions", nil)(o)
		delete(o, "transactionsRoot")
		delete(o, "gasUsed")
	}, "eth_getBlockByNumber"))
	if b, err := newPool(t, c.Token(), nil, unsaid.URL).Block(t.Context(), head.Number); err == nil {
		t.Errorf("believed %+v", b)
	}
}

// TestASystemTransactionHasNoSender: value without a sender moves all the same.
func TestASystemTransactionHasNoSender(t *testing.T) {
	c := startDevnet(t)
	number, coin, _ := paid(t, c)
	for name, change := range map[string]func(object){"missing": without("from"), "null": set("from", nil),
		"empty": set("from", "")} {
		p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), onAnswers(change, "eth_getBlockByNumber")).URL)
		b, err := p.Block(t.Context(), number)
		if err != nil || len(b.Txs) != 1 || b.Txs[0].Hash.Hex() != coin || b.Txs[0].From != (chain.Address{}) {
			t.Errorf("%s: %+v, %v", name, b.Txs, err)
		}
	}
}

// TestEmptyAnswersNeedAWitness: that a block holds no transfer is believed when something else says so too.
func TestEmptyAnswersNeedAWitness(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	wrongBloom := onAnswers(set("logsBloom", otherBloom()), "eth_getBlockByNumber")
	noReceipts := both(instead("eth_getBlockReceipts", `{"code":-32601,"message":"no"}`, 0),
		instead("eth_getTransactionReceipt", `{"code":-32601,"message":"no"}`, 0))
	hiding := both(wrongBloom, noLogs)

	t.Run("a second provider has it", func(t *testing.T) {
		p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), hiding).URL, c.URL())
		if b, err := p.Block(t.Context(), number); err != nil || len(b.Logs) != 1 {
			t.Fatalf("%+v, %v", b.Logs, err)
		}
	})
	t.Run("the receipts deny what a second provider has", func(t *testing.T) {
		lying := both(hiding, onAnswers(set("logs", []any{}), "eth_getBlockReceipts"))
		b, err := newPool(t, c.Token(), nil, newProxy(t, c.URL(), lying).URL, c.URL()).Block(t.Context(), number)
		if err == nil && len(b.Logs) != 1 {
			t.Fatalf("believed that there are %d logs", len(b.Logs))
		}
	})
	t.Run("a second provider confirms it", func(t *testing.T) {
		empty, err := c.Mine()
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		count := func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m == "eth_getBlockReceipts" {
				asked++
			}
			return r, 0
		}
		p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), both(wrongBloom, count)).URL, c.URL())
		if b, err := p.Block(t.Context(), empty.Number); err != nil || len(b.Logs) != 0 || asked != 0 {
			t.Fatalf("%+v, asked for receipts %d times, %v", b.Logs, asked, err)
		}
	})
	t.Run("nobody confirms it", func(t *testing.T) {
		p := newPool(t, otherToken, nil, newProxy(t, c.URL(), noReceipts).URL)
		for range 2 {
			if _, err := p.Block(t.Context(), number); err == nil || !strings.Contains(err.Error(), evm.ErrUnwitnessed.Error()) {
				t.Fatalf("got %v", err)
			}
		}
		if b, err := p.Block(t.Context(), number); err != nil || len(b.Logs) != 0 {
			t.Fatalf("read for the third time: %+v, %v", b.Logs, err)
		}
	})
	t.Run("nobody confirms several blocks of a range", func(t *testing.T) {
		for range 4 {
			if _, err := c.Mine(); err != nil {
				t.Fatal(err)
			}
		}
		p := newPool(t, otherToken, nil, newProxy(t, c.URL(), noReceipts).URL)
		for range 2 {
			if _, err := p.Blocks(t.Context(), number, number+4); !errors.Is(err, evm.ErrUnwitnessed) {
				t.Fatalf("got %v", err)
			}
		}
		for range 2 {
			if bs, err := p.Blocks(t.Context(), number, number+4); err != nil || len(bs) != 5 {
				t.Fatalf("read for the third time: %v", err)
			}
		}
	})
	t.Run("the log comes the second time", func(t *testing.T) {
		reads := 0
		late := func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			if m != "eth_getLogs" {
				return r, 0
			}
			if reads++; reads == 1 {
				return json.RawMessage(`[]`), 0
			}
			return r, 0
		}
		p := newPool(t, c.Token(), nil, newProxy(t, c.URL(), both(wrongBloom, noReceipts, late)).URL)
		if _, err := p.Block(t.Context(), number); err == nil {
			t.Fatal("the empty list was believed")
		}
		if b, err := p.Block(t.Context(), number); err != nil || len(b.Logs) != 1 {
			t.Fatalf("%+v, %v", b.Logs, err)
		}
	})
}

// TestATransactionThatIsLeftOutIsMissed: a node that gives a true header, and not all of its transactions, is found out
// by the root. When there is no other node for a while, it is told and the chain goes on.
func TestATransactionThatIsLeftOutIsMissed(t *testing.T) {
	c := startDevnet(t)
	number, coin, _ := paid(t, c)
	hides := newProxy(t, c.URL(), onAnswers(func(o object) {
		txs, ok := o["transactions"].([]any)
		if !ok {
			return
		}
		rest := []any{}
		for _, tx := range txs {
			if tx.(object)["hash"] != coin {
				rest = append(rest, tx)
			}
		}
		o["transactions"] = rest
	}, "eth_getBlockByNumber"))
	alone := newPool(t, c.Token(), nil, hides.URL)
	for range 2 {
		if b, err := alone.Block(t.Context(), number); !errors.Is(err, evm.ErrInconsistent) {
			t.Errorf("believed %+v, %v", b.Txs, err)
		}
	}
	if _, err := alone.Block(t.Context(), number); err != nil {
		t.Errorf("the chain stands still: %v", err)
	}
	if b, err := newPool(t, c.Token(), nil, hides.URL, c.URL()).Block(t.Context(), number); err != nil || len(b.Txs) != 1 {
		t.Errorf("with an honest node: %+v, %v", b.Txs, err)
	}
}
