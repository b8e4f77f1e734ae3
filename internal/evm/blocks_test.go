package evm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// TestBlocks: a range is what its blocks are one by one.
func TestBlocks(t *testing.T) {
	c := startDevnet(t)
	for i := range 6 {
		if i%2 == 0 {
			paid(t, c)
		} else if _, err := c.Mine(); err != nil {
			t.Fatal(err)
		}
	}
	p := newPool(t, c.Token(), nil, c.URL())
	blocks, err := p.Blocks(t.Context(), 0, 7)
	if err != nil || len(blocks) != 8 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	transfers := 0
	for i, b := range blocks {
		single, err := p.Block(t.Context(), uint64(i))
		if err != nil || fmt.Sprint(b) != fmt.Sprint(single) {
			t.Errorf("block %d is %v in the range and %v alone (%v)", i, b, single, err)
		}
		transfers += len(chain.Match(b, func(a chain.Address) bool { return a == chain.Address{19: 0xaa} }))
	}
	if transfers != 6 {
		t.Errorf("%d transfers", transfers)
	}
	for _, bounds := range [][2]uint64{{3, 2}, {0, evm.MaxBlocks}, {7, 8}} {
		if got, err := p.Blocks(t.Context(), bounds[0], bounds[1]); err == nil || got != nil {
			t.Errorf("%v: %d blocks", bounds, len(got))
		}
	}
}

// TestRangesThatCannotBeBelieved: a range is given whole or not at all, and the next provider gives it.
func TestRangesThatCannotBeBelieved(t *testing.T) {
	c := startDevnet(t)
	for range 3 {
		paid(t, c)
	}
	nth := func(method string, n int, with func(json.RawMessage) (json.RawMessage, int)) func() changeFunc {
		return func() changeFunc {
			seen := 0
			return func(m string, _, r json.RawMessage) (json.RawMessage, int) {
				if m != method {
					return r, 0
				}
				if seen++; seen%3 == n {
					return with(r)
				}
				return r, 0
			}
		}
	}
	for name, change := range map[string]func() changeFunc{
		"a block that is always left out": func() changeFunc {
			return func(m string, params, r json.RawMessage) (json.RawMessage, int) {
				if m == "eth_getBlockByNumber" && bytes.Contains(params, []byte(`"0x3"`)) {
					return nil, leaveOut
				}
				return r, 0
			}
		},
		"a null block": nth("eth_getBlockByNumber", 0, func(json.RawMessage) (json.RawMessage, int) { return json.RawMessage(`null`), 0 }),
		"too large":    nth("eth_getBlockByNumber", 0, func(json.RawMessage) (json.RawMessage, int) { return nil, http.StatusRequestEntityTooLarge }),
		"a block of another branch": nth("eth_getBlockByNumber", 2, func(r json.RawMessage) (json.RawMessage, int) {
			var doc map[string]json.RawMessage
			if json.Unmarshal(r, &doc) != nil {
				return r, 0
			}
			doc["parentHash"] = doc["hash"]
			out, _ := json.Marshal(doc)
			return out, 0
		}),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := newPool(t, c.Token(), nil, newProxy(t, c.URL(), change()).URL).Blocks(t.Context(), 2, 4); err == nil {
				t.Fatalf("believed %d blocks", len(got))
			}
			got, err := newPool(t, c.Token(), nil, newProxy(t, c.URL(), change()).URL, c.URL()).Blocks(t.Context(), 2, 4)
			if err != nil || len(got) != 3 || len(got[0].Logs)+len(got[1].Logs)+len(got[2].Logs) != 3 {
				t.Fatalf("%d blocks, %v", len(got), err)
			}
		})
	}
}

// TestSucceeded: a receipt of another transaction or block, or one without a status, says nothing.
func TestSucceeded(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	p := newPool(t, c.Token(), nil, c.URL())
	b, err := p.Block(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	tx := b.Txs[0].Hash
	if ok, err := p.Succeeded(t.Context(), chain.Hash{1}, tx); ok || !errors.Is(err, evm.ErrInconsistent) {
		t.Errorf("in another block: %t, %v", ok, err)
	}
	if ok, err := p.Succeeded(t.Context(), b.Hash, chain.Hash{1}); ok || !errors.Is(err, evm.ErrMissing) {
		t.Errorf("of no transaction: %t, %v", ok, err)
	}
	for field, want := range map[string]struct {
		value string
		fails bool
	}{
		"status":          {`"0x0"`, false},
		"status ":         {`"0x2"`, true},
		"status  ":        {`null`, true},
		"transactionHash": {`"0x0000000000000000000000000000000000000000000000000000000000000001"`, true},
	} {
		lying := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
			var doc map[string]json.RawMessage
			if m != "eth_getTransactionReceipt" || json.Unmarshal(r, &doc) != nil {
				return r, 0
			}
			doc[strings.TrimSpace(field)] = json.RawMessage(want.value)
			out, _ := json.Marshal(doc)
			return out, 0
		})
		if ok, err := newPool(t, c.Token(), nil, lying.URL).Succeeded(t.Context(), b.Hash, tx); ok ||
			(err != nil) != want.fails {
			t.Errorf("%s %s: %t, %v", field, want.value, ok, err)
		}
	}
}

// TestLogsComeInTheOrderOfTheBlock: the ordinal of a transfer depends on the order, so a node's own does not count.
func TestLogsComeInTheOrderOfTheBlock(t *testing.T) {
	c := startDevnet(t)
	for units := range int64(3) {
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), chain.Address{19: 0xaa}.Hex(), big.NewInt(units+1)); err != nil {
			t.Fatal(err)
		}
	}
	head, err := c.Mine()
	if err != nil {
		t.Fatal(err)
	}
	backwards := newProxy(t, c.URL(), func(m string, _, r json.RawMessage) (json.RawMessage, int) {
		var logs []json.RawMessage
		if m != "eth_getLogs" || json.Unmarshal(r, &logs) != nil {
			return r, 0
		}
		slices.Reverse(logs)
		out, _ := json.Marshal(logs)
		return out, 0
	})
	b, err := newPool(t, c.Token(), nil, backwards.URL).Block(t.Context(), head.Number)
	if err != nil || len(b.Logs) != 3 {
		t.Fatalf("%d logs, %v", len(b.Logs), err)
	}
	for i, l := range b.Logs {
		if l.LogIndex != i || l.Value.Int64() != int64(i+1) {
			t.Errorf("log %d is %d with %s", i, l.LogIndex, l.Value)
		}
	}
}
