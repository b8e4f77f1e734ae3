package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// blockHash is the hash of a block of the node that operatedNode is.
func blockHash(n uint64) string { return fmt.Sprintf("0x%064x", n+1) }

// operatedPool asks the first node of a chain.
func operatedPool(c config.Chain) (*evm.Pool, error) {
	return evm.New(evm.Options{Name: c.Name, ChainID: c.ChainID, URLs: []string{c.RPCURLs[0].Reveal()}, Depth: 1,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
}

// operatedNode is a node of three empty blocks.
func operatedNode(t testing.TB, chainID uint64) (url string) {
	const emptyRoot = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
	type call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params []any           `json:"params"`
	}
	reply := func(q call) map[string]any {
		answer := map[string]any{"jsonrpc": "2.0", "id": q.ID}
		switch q.Method {
		case "eth_chainId":
			answer["result"] = fmt.Sprintf("0x%x", chainID)
		case "eth_getBalance", "eth_getTransactionCount":
			answer["result"] = "0x0"
		case "eth_call":
			answer["result"] = "0x" + strings.Repeat("0", 64)
		case "eth_getLogs", "eth_getBlockReceipts":
			answer["result"] = []any{}
		case "eth_getBlockByNumber":
			n, err := strconv.ParseUint(strings.TrimPrefix(fmt.Sprint(q.Params[0]), "0x"), 16, 64)
			if err != nil {
				n = 2 // the latest
			}
			if answer["result"] = nil; n <= 2 {
				answer["result"] = map[string]any{
					"number": fmt.Sprintf("0x%x", n), "hash": blockHash(n), "parentHash": fmt.Sprintf("0x%064x", n),
					"timestamp": fmt.Sprintf("0x%x", testNow().Unix()), "transactions": []any{}, "gasUsed": "0x0",
					"transactionsRoot": emptyRoot,
				}
			}
		default:
			answer["error"] = map[string]any{"code": -32601, "message": "unknown method"}
		}
		return answer
	}
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw json.RawMessage
		var one call
		var several []call
		w.Header().Set("Content-Type", "application/json")
		switch err := json.NewDecoder(r.Body).Decode(&raw); {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case json.Unmarshal(raw, &several) == nil:
			answers := make([]map[string]any, len(several))
			for i, q := range several {
				answers[i] = reply(q)
			}
			_ = json.NewEncoder(w).Encode(answers)
		case json.Unmarshal(raw, &one) == nil:
			_ = json.NewEncoder(w).Encode(reply(one))
		}
	}))
	t.Cleanup(node.Close)
	return node.URL
}

// insertDoubt writes an open doubt about the payment of a merchant and returns its id.
func insertDoubt(t testing.TB, s *store.Store, merchant, payment string) string {
	t.Helper()
	id := models.NewID(models.PrefixDoubt, time.Now())
	amount, err := models.ParseAmount("5")
	if err != nil {
		t.Fatal(err)
	}
	err = s.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.InsertDoubt(t.Context(), models.Doubt{
			ID: id, Kind: models.DoubtInvented, Status: models.DoubtOpen, Chain: "ethereum", ChainID: 1, PaymentID: payment,
			MerchantID: merchant, TxHash: blockHash(uint64(time.Now().UnixNano())), Asset: models.AssetNative,
			Recipient: "0x00000000000000000000000000000000000000aa", Amount: amount, Source: models.SourceChain,
			BlockNumber: 1, BlockHash: blockHash(1), BlockTime: testNow(), CreatedAt: testNow(), UpdatedAt: testNow(),
			Answers: []models.ProviderAnswer{{Provider: "node", Known: true, Holds: true, Text: "it holds it"}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// halt has a chain wait for an operator.
func halt(t testing.TB, s *store.Store, chainID uint64) {
	t.Helper()
	err := s.InTx(t.Context(), func(tx *store.Tx) error {
		c, err := tx.Cursor(t.Context(), chainID)
		if err != nil {
			return err
		}
		at := testNow()
		c.HaltedAt, c.HaltReason = &at, "block 1 was final"
		return tx.SaveCursor(t.Context(), c)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOperatorReadsChains: what the operator's routes show of chains, doubts and payments that were set aside.
func TestOperatorReadsChains(t *testing.T) {
	s := storetest.SQLite(t)
	c := newCounter(t, s)
	merchant, key := c.merchant(t, "a", false)
	w := c.ask(key, http.MethodPost, "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"5"}`)
	payment := decoded[struct{ ID string }](t, w, http.StatusCreated).ID
	doubt := insertDoubt(t, s, merchant, payment)
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Quarantine(t.Context(), payment, "it does not add up", testNow())
	}); err != nil {
		t.Fatal(err)
	}
	provider := decoded[ChainStatus](t, c.ask(operatorReadToken, http.MethodGet, "/admin/v1/chains/ethereum", ""),
		http.StatusOK).Providers[0].Provider
	for path, want := range map[string]string{
		"/admin/v1/chains":          `"chain":"sepolia"`,
		"/admin/v1/chains/ethereum": `"head":2`,
		"/admin/v1/chains/ethereum/audit?from=1&provider=" + strings.Replace(provider, ":", "%3A", 1): `"blocks":1,`,
		"/admin/v1/doubts":          doubt,
		"/admin/v1/doubts?all=true": doubt,
		"/admin/v1/doubts/" + doubt: `"holds":true`,
		"/admin/v1/quarantine":      `"it does not add up"`,
	} {
		w := c.ask(operatorReadToken, http.MethodGet, path, "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
		if w := c.ask(key, http.MethodGet, path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s opens to an API key: %d", path, w.Code)
		}
	}
	for path, want := range map[string]int{
		"/admin/v1/chains/none": 404, "/admin/v1/doubts/dbt_0": 404, "/admin/v1/chains/none/audit?provider=x": 404,
		"/admin/v1/chains/ethereum/audit": 422, "/admin/v1/chains/ethereum/audit?provider=nobody": 422,
		"/admin/v1/chains/ethereum/audit?provider=http://127.0.0.1:1": 422,
	} {
		if w := c.ask(operatorReadToken, http.MethodGet, path, ""); w.Code != want {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
}

// TestOperatorsRefusals: what ctripctl refuses, the routes refuse too, and nothing of it is done.
func TestOperatorsRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		w := c.ask(key, http.MethodPost, "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"5"}`)
		doubt := insertDoubt(t, s, merchant, decoded[struct{ ID string }](t, w, http.StatusCreated).ID)
		before, err := s.VerifyAudit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []struct {
			path, body string
			status     int
			says       string
		}{
			{"/admin/v1/chains/ethereum/accept", ``, 409, "not halted"},
			{"/admin/v1/chains/none/accept", ``, 404, "none"},
			{"/admin/v1/chains/ethereum/reset", `{"start_block":1,"reason":"x"}`, 422, `"field":"yes"`},
			{"/admin/v1/chains/ethereum/reset", `{"start_block":1,"reason":"x","yes":false}`, 422, `"field":"yes"`},
			{"/admin/v1/chains/sepolia/reset", `{"start_block":1,"reason":" "}`, 422, `"field":"reason"`},
			{"/admin/v1/chains/sepolia/reset", `{"start_block":1}`, 400, "reason"},
			{"/admin/v1/chains/sepolia/reset", `{"start_block":9,"reason":"x"}`, 422, `"field":"start_block"`},
			{"/admin/v1/chains/none/reset", `{"start_block":1,"reason":"x"}`, 404, "none"},
			{"/admin/v1/chains/ethereum/rescan", `{"from":9}`, 422, `"field":"from"`},
			{"/admin/v1/chains/ethereum/rescan", `{}`, 400, "from"},
			{"/admin/v1/chains/ethereum/rescan", `{"from":-1}`, 400, "from"},
			{"/admin/v1/chains/none/rescan", `{"from":1}`, 404, "none"},
			{"/admin/v1/chains/none/reconcile", ``, 404, "none"},
			{"/admin/v1/doubts/dbt_0/accept", `{"reason":"x"}`, 404, "doubt"},
			{"/admin/v1/doubts/" + doubt + "/accept", `{}`, 400, "reason"},
			{"/admin/v1/doubts/" + doubt + "/reject", `{"reason":"  "}`, 422, `"field":"reason"`},
		} {
			w := c.ask(operatorToken, http.MethodPost, q.path, q.body)
			if w.Code != q.status || !strings.Contains(w.Body.String(), q.says) {
				t.Errorf("%s %s: %d %s, want %d %s", q.path, q.body, w.Code, w.Body, q.status, q.says)
			}
			body := strings.Replace(q.body, `"reason":" "`, `"reason":"x"`, 1)
			if w := c.ask(operatorReadToken, http.MethodPost, q.path, body); w.Code != http.StatusForbidden {
				t.Errorf("%s opens to who may only look: %d", q.path, w.Code)
			}
		}
		if after, err := s.VerifyAudit(t.Context()); err != nil || after != before {
			t.Errorf("%d lines of the audit log, %d before, %v", after, before, err)
		}
		accept := "/admin/v1/doubts/" + doubt + "/accept"
		if w := c.ask(operatorToken, http.MethodPost, accept, `{"reason":"x"}`); w.Code != http.StatusOK ||
			!strings.Contains(w.Body.String(), `"status":"accepted"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := c.ask(operatorToken, http.MethodPost, accept, `{"reason":"x"}`); w.Code != http.StatusConflict {
			t.Errorf("a doubt that is settled: %d %s", w.Code, w.Body)
		}
	})
}
