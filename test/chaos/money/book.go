package money

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// payment is a payment that the API has made.
type payment struct {
	Intent
	number      int
	id, address string
}

// book is what the run knows: its payments, and what its transactions do inside.
type book struct {
	mu       sync.Mutex
	payments map[string]*payment // by address
	inner    map[string]inner    // by transaction
}

// inner is what a transaction moves besides what it sends itself.
type inner struct {
	moves []move
	fails bool
}

type move struct {
	to  string
	wei int64
}

func newBook() *book {
	return &book{payments: make(map[string]*payment), inner: make(map[string]inner)}
}

func (b *book) add(p *payment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.payments[strings.ToLower(p.address)] = p
}

func (b *book) at(address string) *payment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.payments[strings.ToLower(address)]
}

func (b *book) note(tx string, in inner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inner[tx] = in
}

func (b *book) of(tx string) inner {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inner[tx]
}

// trace answers debug_traceBlockByHash as geth's callTracer does, out of what is known of the transactions.
func (p *provider) trace(m *message) {
	var hash string
	if m.Method != "debug_traceBlockByHash" || json.Unmarshal(m.Params, &[]any{&hash}) != nil {
		return
	}
	var block *struct {
		Transactions []struct{ Hash, From, To, Value string }
	}
	if json.Unmarshal(p.result("eth_getBlockByHash", fmt.Sprintf(`[%q,true]`, hash)), &block) != nil || block == nil {
		return
	}
	traces := []any{}
	for _, tx := range block.Transactions {
		in := p.book.of(tx.Hash)
		call := object{"type": "CALL", "from": tx.From, "to": tx.To, "value": tx.Value}
		if tx.To == "" {
			call["type"], call["to"] = "CREATE", "0x00000000000000000000000000000000000000cc"
		}
		if in.fails {
			call["error"] = "invalid opcode: INVALID"
		}
		calls := []any{}
		for _, mv := range in.moves {
			calls = append(calls, object{"type": "CALL", "from": call["to"], "to": mv.to, "value": fmt.Sprintf("0x%x", mv.wei)})
		}
		call["calls"] = calls
		traces = append(traces, object{"txHash": tx.Hash, "result": call})
	}
	out, err := json.Marshal(traces)
	if err == nil {
		m.says(string(out))
	}
}
