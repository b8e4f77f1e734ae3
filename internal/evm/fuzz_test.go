package evm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// FuzzBlock feeds a pool arbitrary blocks, logs and receipts: it may refuse them, and must not panic, nor take a block
// of another number, nor a transfer that is not in the block.
func FuzzBlock(f *testing.F) {
	const (
		hash   = `"0x0000000000000000000000000000000000000000000000000000000000000001"`
		tx     = `"0x0000000000000000000000000000000000000000000000000000000000000077"`
		person = `"0x00000000000000000000000000000000000000aa"`
		word   = `0x00000000000000000000000000000000000000000000000000000000000000aa`
	)
	block := `{"number":"0x5","hash":` + hash + `,"parentHash":` + hash + `,"timestamp":"0x1","logsBloom":"0x` +
		strings.Repeat("ff", 256) +
		`","transactions":[{"hash":` + tx + `,"from":` + person + `,"to":` + person + `,"value":"0x1"}]}`
	log := `{"address":"` + otherToken +
		`","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","` + word + `","` + word +
		`"],"data":"` + word + `","blockHash":` + hash + `,"transactionHash":` + tx + `,"logIndex":"0x0"}`
	receipts := `[{"transactionHash":` + tx + `,"blockHash":` + hash + `,"status":"0x1","logs":[` + log + `]}]`
	f.Add([]byte(block), []byte(`[`+log+`]`), []byte(`null`))
	f.Add([]byte(block), []byte(`[]`), []byte(receipts))
	f.Add([]byte(block), []byte(`[]`), []byte(`[null]`))
	f.Add([]byte(`null`), []byte(`null`), []byte(`null`))
	f.Add([]byte(`[1,2]`), []byte(`{}`), []byte(`0`))
	var answers atomic.Pointer[map[string][]byte]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask message
		if json.NewDecoder(r.Body).Decode(&ask) != nil {
			return
		}
		if result, ok := (*answers.Load())[ask.Method]; ok {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, ask.ID, result)
		}
	}))
	f.Cleanup(srv.Close)
	f.Fuzz(func(t *testing.T, block, logs, receipts []byte) {
		answers.Store(&map[string][]byte{
			"eth_chainId": []byte(`"0x539"`), "eth_getBlockByNumber": block, "eth_getLogs": logs, "eth_getBlockReceipts": receipts,
		})
		b, err := newPool(t, otherToken, nil, srv.URL).Block(t.Context(), 5)
		if err != nil {
			return
		}
		if b.Number != 5 {
			t.Fatalf("block %d for block 5", b.Number)
		}
		for i, l := range b.Logs {
			if l.Contract.Hex() != otherToken || !l.Doubtful && l.LogIndex < 0 || l.Value.Sign() < 0 {
				t.Fatalf("log %d is %+v", i, l)
			}
		}
		for _, tx := range b.Txs {
			if tx.Value.Sign() <= 0 || tx.Value.BitLen() > 256 {
				t.Fatalf("transaction %+v", tx)
			}
		}
	})
}

// FuzzAnswers feeds a pool one arbitrary result for whatever it asks: receipts, headers, final points, balances, nonces
// and decimals. It may refuse them, and must not panic, nor tell of another transaction, block or range than was asked
// for.
func FuzzAnswers(f *testing.F) {
	const (
		hash = `"0x0000000000000000000000000000000000000000000000000000000000000001"`
		tx   = `"0x0000000000000000000000000000000000000000000000000000000000000077"`
		who  = `"0x00000000000000000000000000000000000000aa"`
	)
	// One object that is a header, a receipt and a transaction at once.
	f.Add([]byte(`{"number":"0x5","hash":` + tx + `,"parentHash":` + hash + `,"timestamp":"0x1","transactionHash":` + tx +
		`,"blockHash":` + hash +
		`,"blockNumber":"0x5","status":"0x1","from":` + who + `,"to":` + who + `,"value":"0x1","logs":[]}`))
	f.Add([]byte(`{"transactionHash":` + tx + `,"hash":` + tx + `,"blockHash":` + hash +
		`,"blockNumber":"0x5","status":"0x0","from":` + who +
		`,"to":null,"value":"0x1","logs":[{"address":` + who + `,"logIndex":"0x0","transactionHash":` + tx + `,"blockHash":` +
		hash + `,"topics":[],"data":"0x"}]}`))
	for _, seed := range []string{`"0x1"`, `"0x"`, `null`, `"0x` + strings.Repeat("f", 64) + `"`, `[]`, `{"logs":[null]}`,
		`{"number":"0x` + strings.Repeat("f", 17) + `"}`} {
		f.Add([]byte(seed))
	}
	var result atomic.Pointer[[]byte]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask message
		if json.NewDecoder(r.Body).Decode(&ask) != nil {
			return
		}
		answer := *result.Load()
		if ask.Method == "eth_chainId" {
			answer = []byte(`"0x539"`)
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, ask.ID, answer)
	}))
	f.Cleanup(srv.Close)
	asked, err := chain.ParseHash(strings.Trim(tx, `"`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		result.Store(&answer)
		p := newPool(t, otherToken, nil, srv.URL)
		if r, err := p.Receipt(t.Context(), asked); err == nil {
			if r.Value == nil || r.Value.Sign() < 0 || r.Value.BitLen() > 256 {
				t.Errorf("value %v", r.Value)
			}
			for _, l := range r.Logs {
				if l.LogIndex < 0 || l.Value.Sign() < 0 {
					t.Errorf("log %+v", l)
				}
			}
		}
		if h, err := p.Header(t.Context(), 5); err == nil && h.Number != 5 {
			t.Errorf("header %d for 5", h.Number)
		}
		if n, err := p.Final(t.Context(), 5); err == nil && n > 5 {
			t.Errorf("block %d is final beyond the head", n)
		}
		if _, err := p.Head(t.Context()); err != nil {
			t.Log(err)
		}
		at := chain.Ref{Number: 5, Hash: asked}
		accounts := []chain.Address{{1}, {2}}
		if all, err := p.Balances(t.Context(), at, otherToken, accounts); err == nil && len(all) != len(accounts) {
			t.Errorf("%d balances", len(all))
		}
		if all, err := p.Nonces(t.Context(), at, accounts); err == nil && len(all) != len(accounts) {
			t.Errorf("%d nonces", len(all))
		}
		if _, err := p.Decimals(t.Context(), otherToken); err != nil {
			t.Log(err)
		}
	})
}
