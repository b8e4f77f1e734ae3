package proof_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/proof"
)

// liar is a node that answers like another one, but for what change makes of the result of a method.
func liar(t *testing.T, url string, change func(method string, result map[string]any)) *evm.Pool {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := http.Post(url, "application/json", bytes.NewReader(ask))
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		var call struct{ Method string }
		var answer map[string]any
		if err := errors.Join(json.Unmarshal(ask, &call), json.NewDecoder(res.Body).Decode(&answer)); err != nil {
			t.Error(err)
			return
		}
		if result, ok := answer["result"].(map[string]any); ok {
			change(call.Method, result)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	pool, err := evm.New(evm.Options{Name: "devnet", ChainID: devnet.ChainID, URLs: []string{s.URL}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// TestTransfersByALiar: what a node says is held against what else it says and against the event; no answer that is
// changed in one place makes a proof.
func TestTransfersByALiar(t *testing.T) {
	c, _ := node(t, devnet.ChainID)
	token, coin := paid(t, c, true), paid(t, c, false)
	nothing := "0x" + strings.Repeat("ab", 32)
	person := "0x" + strings.Repeat("cd", 20)
	set := func(method, key string, value any) func(string, map[string]any) {
		return func(asked string, result map[string]any) {
			if asked == method {
				result[key] = value
			}
		}
	}
	inLog := func(key string, value any) func(string, map[string]any) {
		return func(asked string, result map[string]any) {
			if asked == "eth_getTransactionReceipt" {
				for _, l := range result["logs"].([]any) {
					l.(map[string]any)[key] = value
				}
			}
		}
	}
	const receipt, transaction, block = "eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByNumber"
	for name, c2 := range map[string]struct {
		change func(string, map[string]any)
		reason string // of the refutation; "" for an answer that contradicts itself, which is an error
	}{
		"it failed":                       {set(receipt, "status", "0x0"), "the transaction failed"},
		"no status":                       {set(receipt, "status", nil), ""},
		"a strange status":                {set(receipt, "status", "0x2"), ""},
		"another block holds it":          {set(receipt, "blockHash", nothing), ""},
		"the transaction's block differs": {set(transaction, "blockHash", nothing), ""},
		"another number":                  {set(receipt, "blockNumber", "0x1"), "the node has it in block 1"},
		"another transaction's receipt":   {set(receipt, "transactionHash", nothing), ""},
		"another transaction":             {set(transaction, "hash", nothing), ""},
		"nobody sent it":                  {set(transaction, "from", nil), ""},
		"the block was replaced":          {set(block, "hash", nothing), "by now"},
		"another block":                   {set(block, "number", "0x1"), ""},
		"another time":                    {set(block, "timestamp", "0x1"), "block_timestamp"},
		"no logs":                         {set(receipt, "logs", []any{}), "no transfer with log_index"},
		"a log of another contract":       {inLog("address", person), "is of contract"},
		"a log that was removed":          {inLog("removed", true), ""},
		"a log of another transaction":    {inLog("transactionHash", nothing), ""},
		"a log without its place":         {inLog("logIndex", nil), ""},
		"a log of another amount":         {inLog("data", "0x"+strings.Repeat("0", 63)+"1"), "moved 1"},
	} {
		found, err := proof.Transfers(t.Context(), liar(t, c.URL(), c2.change), token)
		switch {
		case c2.reason == "" && err == nil:
			t.Errorf("%s: %+v", name, found)
		case c2.reason != "" &&
			(err != nil || len(found) == 0 || found[0].Finding != proof.Refuted ||
				!strings.Contains(found[0].Reason, c2.reason)):
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	for name, change := range map[string]func(string, map[string]any){
		"another amount":   set(transaction, "value", "0x1"),
		"another receiver": set(transaction, "to", person),
		"another sender":   set(transaction, "from", person),
		"it failed":        set(receipt, "status", "0x0"),
	} {
		found, err := proof.Transfers(t.Context(), liar(t, c.URL(), change), coin)
		if err != nil || len(found) == 0 || found[0].Finding == proof.Proven {
			t.Errorf("coin, %s: %+v, %v", name, found, err)
		}
	}
	if found, err := proof.Transfers(t.Context(), liar(t, c.URL(), func(string, map[string]any) {}), token); err != nil ||
		len(found) != 1 || found[0].Finding != proof.Proven {
		t.Errorf("one that does not lie: %+v, %v", found, err)
	}
}

// TestTransfersWithoutANode: a node that does not answer proves and refutes nothing, and the error does not show its
// URL, which often holds a key.
func TestTransfersWithoutANode(t *testing.T) {
	c, _ := node(t, devnet.ChainID)
	pool, err := evm.New(evm.Options{
		Name: "devnet", ChainID: devnet.ChainID, URLs: []string{"http://127.0.0.1:1/v2/a-key-of-mine"}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	found, err := proof.Transfers(t.Context(), pool, paid(t, c, true))
	if err == nil || len(found) != 0 || strings.Contains(err.Error(), "a-key-of-mine") {
		t.Errorf("%+v, %v", found, err)
	}
}
