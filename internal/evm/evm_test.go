package evm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// otherToken is a listed token that nobody has deployed.
const otherToken = "0x00000000000000000000000000000000000000ee"

// newPool makes a pool of the given URLs on the devnet's chain and token.
func newPool(t testing.TB, token string, change func(*evm.Options), urls ...string) *evm.Pool {
	t.Helper()
	o := evm.Options{Name: "test", ChainID: devnet.ChainID, URLs: urls, Depth: 3, Tokens: []string{strings.ToLower(token)},
		Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	p, err := evm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func startDevnet(t testing.TB) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// paid mines one block with a payment in coin and one in token, and returns its number.
func paid(t testing.TB, c *devnet.Chain) (number uint64, coin, token string) {
	t.Helper()
	to := "0x00000000000000000000000000000000000000aa"
	coin, err := c.SendNative(t.Context(), c.DemoPayer(), to, big.NewInt(7))
	if err != nil {
		t.Fatal(err)
	}
	token, err = c.SendToken(t.Context(), c.DemoPayer(), to, big.NewInt(9))
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.Mine()
	if err != nil {
		t.Fatal(err)
	}
	return head.Number, coin, token
}

func TestBlock(t *testing.T) {
	c := startDevnet(t)
	p := newPool(t, c.Token(), nil, c.URL())
	number, coin, token := paid(t, c)
	b, err := p.Block(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	head, err := p.Head(t.Context())
	if err != nil || head.Ref() != b.Ref() || time.Since(head.Time).Abs() > time.Minute {
		t.Fatalf("head %+v, %v", head, err)
	}
	if len(b.Txs) != 1 || b.Txs[0].Hash.Hex() != coin || b.Txs[0].Value.Int64() != 7 ||
		b.Txs[0].From.Hex() != strings.ToLower(c.DemoPayer().Address()) {
		t.Fatalf("transactions %+v", b.Txs)
	}
	if len(b.Logs) != 1 || b.Logs[0].TxHash.Hex() != token || b.Logs[0].Value.Int64() != 9 ||
		b.Logs[0].Contract.Hex() != strings.ToLower(c.Token()) {
		t.Fatalf("logs %+v", b.Logs)
	}
	if ok, err := p.Succeeded(t.Context(), b.Hash, b.Txs[0].Hash); err != nil || !ok {
		t.Fatalf("receipt: %t, %v", ok, err)
	}
	if _, err := p.Block(t.Context(), number+100); !errors.Is(err, evm.ErrMissing) {
		t.Fatalf("a block that is not there: %v", err)
	}
	if d, err := p.Decimals(t.Context(), strings.ToLower(c.Token())); err != nil || d != devnet.TokenDecimals {
		t.Fatalf("decimals %d, %v", d, err)
	}
	used, err := p.Used(t.Context(), []string{"0x00000000000000000000000000000000000000aa",
		"0x00000000000000000000000000000000000000bb"})
	if err != nil || !used["0x00000000000000000000000000000000000000aa"] ||
		used["0x00000000000000000000000000000000000000bb"] {
		t.Fatalf("used %v, %v", used, err)
	}
	if final, err := p.Final(t.Context(), 100); err != nil || final != 98 {
		t.Fatalf("final %d, %v", final, err)
	}
}

// TestAnswersThatCannotBeBelieved: each fault of a first provider is found out, and the second one serves; alone, the
// fault is an error and never an empty block.
func TestAnswersThatCannotBeBelieved(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	edit := func(field, value string) func(json.RawMessage) json.RawMessage {
		return func(result json.RawMessage) json.RawMessage {
			var doc map[string]json.RawMessage
			if json.Unmarshal(result, &doc) != nil || doc == nil {
				return result
			}
			doc[field] = json.RawMessage(value)
			out, _ := json.Marshal(doc)
			return out
		}
	}
	on := func(method string, change func(json.RawMessage) json.RawMessage) func(string, json.RawMessage,
		json.RawMessage) (json.RawMessage, int) {
		return func(m string, _, result json.RawMessage) (json.RawMessage, int) {
			if m == method {
				return change(result), 0
			}
			return result, 0
		}
	}
	constant := func(s string) func(json.RawMessage) json.RawMessage {
		return func(json.RawMessage) json.RawMessage { return json.RawMessage(s) }
	}
	foreign := func(field string) func(json.RawMessage) json.RawMessage {
		hash := regexp.MustCompile(`("` + field + `":"0x)[0-9a-f]{8}`)
		return func(r json.RawMessage) json.RawMessage { return hash.ReplaceAll(r, []byte("${1}00000000")) }
	}
	for name, change := range map[string]func(string, json.RawMessage, json.RawMessage) (json.RawMessage, int){
		"wrong chain":                 on("eth_chainId", constant(`"0x1"`)),
		"null block":                  on("eth_getBlockByNumber", constant(`null`)),
		"another number":              on("eth_getBlockByNumber", edit("number", `"0x1"`)),
		"no hash":                     on("eth_getBlockByNumber", edit("hash", `null`)),
		"garbage":                     on("eth_getBlockByNumber", constant(`"garbage"`)),
		"a time beyond all calendars": on("eth_getBlockByNumber", edit("timestamp", `"0xffffffffffffffff"`)),
		"no transactions":             on("eth_getBlockByNumber", edit("transactions", `null`)),
		"a transaction twice": on("eth_getBlockByNumber", func(r json.RawMessage) json.RawMessage {
			var doc struct{ Transactions []json.RawMessage }
			if json.Unmarshal(r, &doc) != nil {
				return r
			}
			text, _ := json.Marshal(append(doc.Transactions, doc.Transactions...))
			return edit("transactions", string(text))(r)
		}),
		"no logs, receipts of another block": func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			switch m {
			case "eth_getLogs":
				return json.RawMessage(`[]`), 0
			case "eth_getBlockReceipts":
				return foreign("blockHash")(r), 0
			}
			return r, 0
		},
		"throttled": func(string, json.RawMessage, json.RawMessage) (json.RawMessage, int) {
			return nil, http.StatusTooManyRequests
		},
		"broken": func(string, json.RawMessage, json.RawMessage) (json.RawMessage, int) {
			return nil, http.StatusInternalServerError
		},
		"no logs, no receipts": func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			switch m {
			case "eth_getLogs":
				return json.RawMessage(`[]`), 0
			case "eth_getBlockReceipts", "eth_getTransactionReceipt":
				return json.RawMessage(`null`), 0
			}
			return r, 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := newProxy(t, c.URL(), change)
			two := func(o *evm.Options) { o.Tokens = append(o.Tokens, otherToken) }
			if b, err := newPool(t, c.Token(), two, bad.URL).Block(t.Context(), number); err == nil {
				t.Fatalf("believed: %d transactions, %d logs", len(b.Txs), len(b.Logs))
			} else if strings.Contains(err.Error(), bad.URL) {
				t.Fatalf("the error shows the URL: %v", err)
			}
			b, err := newPool(t, c.Token(), two, bad.URL, c.URL()).Block(t.Context(), number)
			if err != nil || len(b.Txs) != 1 || len(b.Logs) != 1 {
				t.Fatalf("the second provider did not serve: %+v, %v", b, err)
			}
		})
	}
}

// TestEmptyLogsAreDoubted: a node that lags answers with an empty list; the receipts tell, together or one by one.
func TestEmptyLogsAreDoubted(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	for name, receipts := range map[string]func(r json.RawMessage) json.RawMessage{
		"together":         func(r json.RawMessage) json.RawMessage { return r },
		"method not known": func(json.RawMessage) json.RawMessage { return json.RawMessage(`{"code":-32601,"message":"no"}`) },
		"null":             func(json.RawMessage) json.RawMessage { return json.RawMessage(`null`) },
		"empty":            func(json.RawMessage) json.RawMessage { return json.RawMessage(`[]`) },
		"some": func(r json.RawMessage) json.RawMessage {
			var all []json.RawMessage
			if json.Unmarshal(r, &all) != nil {
				return r
			}
			out, _ := json.Marshal(all[:1])
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			lagging := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
				switch m {
				case "eth_getLogs":
					return json.RawMessage(`[]`), 0
				case "eth_getBlockReceipts":
					return receipts(r), 0
				}
				return r, 0
			})
			b, err := newPool(t, c.Token(), nil, lagging.URL).Block(t.Context(), number)
			if err != nil || len(b.Logs) != 1 {
				t.Fatalf("%d logs, %v", len(b.Logs), err)
			}
		})
	}
}

// TestBloomFilters: a filter that excludes our tokens spares the question, one that is falsely positive does not make
// an error, and one that is zero, as some chains have it, is not believed.
func TestBloomFilters(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	asked := 0
	count := func(change func(json.RawMessage) json.RawMessage) *proxy {
		asked = 0
		return newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			switch m {
			case "eth_getLogs":
				asked++
			case "eth_getBlockByNumber":
				return change(r), 0
			}
			return r, 0
		})
	}
	same := func(r json.RawMessage) json.RawMessage { return r }
	if b, err := newPool(t, otherToken, nil, count(same).URL).Block(t.Context(), number); err != nil || len(b.Logs) != 0 ||
		asked != 1 {
		t.Errorf("excluded: asked %d times, %d logs, %v", asked, len(b.Logs), err)
	}
	bits := func(hex string) func(json.RawMessage) json.RawMessage {
		return func(r json.RawMessage) json.RawMessage {
			var doc map[string]json.RawMessage
			if json.Unmarshal(r, &doc) != nil {
				return r
			}
			doc["logsBloom"] = json.RawMessage(`"0x` + strings.Repeat(hex, 256) + `"`)
			out, _ := json.Marshal(doc)
			return out
		}
	}
	if b, err := newPool(t, otherToken, nil, count(bits("ff")).URL).Block(t.Context(), number); err != nil ||
		len(b.Logs) != 0 || asked != 1 {
		t.Errorf("falsely positive: asked %d times, %d logs, %v", asked, len(b.Logs), err)
	}
	if b, err := newPool(t, c.Token(), nil, count(bits("00")).URL).Block(t.Context(), number); err != nil ||
		len(b.Logs) != 1 || asked != 1 {
		t.Errorf("zero: asked %d times, %d logs, %v", asked, len(b.Logs), err)
	}
}

func TestUnknownTransactionTypesDecode(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	l2 := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		return bytes.ReplaceAll(r, []byte(`"type":"0x2"`), []byte(`"type":"0x7e","mint":"0x5","sourceHash":"0x1"`)), 0
	})
	if b, err := newPool(t, c.Token(), nil, l2.URL).Block(t.Context(), number); err != nil || len(b.Txs) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
}

func TestFinalByTag(t *testing.T) {
	c := startDevnet(t)
	tag := func(o *evm.Options) { o.Tag = "finalized" }
	answer := func(result string) *proxy {
		return newProxy(t, c.URL(), func(m string, params, r json.RawMessage) (json.RawMessage, int) {
			if m == "eth_getBlockByNumber" && bytes.Contains(params, []byte("finalized")) {
				return json.RawMessage(result), 0
			}
			return r, 0
		})
	}
	unsupported := answer(`{"code":-32602,"message":"invalid argument 0: unsupported tag"}`)
	if n, err := newPool(t, c.Token(), tag, unsupported.URL).Final(t.Context(), 100); err != nil || n != 98 {
		t.Errorf("unsupported: %d, %v", n, err)
	}
	// Some providers put the same refusal into an HTTP error; a full stop of the service is none.
	inHTTP := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked, err := io.ReadAll(r.Body)
			if err == nil && bytes.Contains(asked, []byte("finalized")) {
				w.WriteHeader(status)
				io.WriteString(w, body)
				return
			}
			io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"0x539"}`)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	const refusal = `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"unknown tag"}}`
	if n, err := newPool(t, c.Token(), tag, inHTTP(http.StatusBadRequest, refusal)).Final(t.Context(), 100); err != nil ||
		n != 98 {
		t.Errorf("refused by HTTP: %d, %v", n, err)
	}
	for status, body := range map[int]string{http.StatusServiceUnavailable: refusal, http.StatusTooManyRequests: refusal,
		http.StatusBadRequest: "not supported"} {
		if n, err := newPool(t, c.Token(), tag, inHTTP(status, body)).Final(t.Context(), 100); err == nil {
			t.Errorf("HTTP %d fell back to depth: %d", status, n)
		}
	}
	sick := answer(`{"code":-32000,"message":"internal error"}`)
	if n, err := newPool(t, c.Token(), tag, sick.URL).Final(t.Context(), 100); err == nil {
		t.Errorf("a sick node's tag fell back to depth: %d", n)
	}
	if n, err := newPool(t, c.Token(), tag, unsupported.URL, sick.URL).Final(t.Context(), 100); err == nil {
		t.Errorf("one node rejects the tag, the other is sick, and depth served: %d", n)
	}
	young := answer(`{"code":-39001,"message":"finalized block not found"}`)
	if n, err := newPool(t, c.Token(), tag, young.URL).Final(t.Context(), 100); err != nil || n != 0 {
		t.Errorf("a young chain: %d, %v", n, err)
	}
}

func TestAgree(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	p := newPool(t, c.Token(), nil, c.URL())
	h, err := p.Header(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Agree(t.Context(), h.Ref()); err != nil {
		t.Errorf("one provider: %v", err)
	}
	if err := newPool(t, c.Token(), nil, c.URL(), c.URL()+"/").Agree(t.Context(), h.Ref()); err != nil {
		t.Errorf("two that agree: %v", err)
	}
	other := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		return bytes.ReplaceAll(r, []byte(h.Hash.Hex()), []byte(chain.Hash{1}.Hex())), 0
	})
	if err := newPool(t, c.Token(), nil, c.URL(), other.URL).Agree(t.Context(), h.Ref()); !errors.Is(err,
		evm.ErrDisagree) {
		t.Errorf("two that differ: %v", err)
	}
}
