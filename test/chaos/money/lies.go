package money

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// hidden reports whether liars hide what an address is paid: every third payment.
func (b *book) hidden(address string) bool {
	p := b.at(address)
	return p != nil && p.number%3 == 0
}

// hideLogs leaves out the transfers of tokens to some payments, from lists of logs and receipts alike.
func hideLogs(p *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
	drop := func(logs []any) []any {
		rest := []any{}
		for _, log := range logs {
			o, _ := log.(object)
			topics, _ := o["topics"].([]any)
			if len(topics) == 3 {
				if to, _ := topics[2].(string); len(to) == 66 && p.book.hidden("0x"+to[26:]) {
					continue
				}
			}
			rest = append(rest, log)
		}
		return rest
	}
	if m.Method == "eth_getLogs" {
		var logs []any
		if json.Unmarshal(r, &logs) != nil {
			return r
		}
		out, err := json.Marshal(drop(logs))
		if err != nil {
			return r
		}
		return out
	}
	if m.Method != "eth_getBlockReceipts" && m.Method != "eth_getTransactionReceipt" {
		return r
	}
	return each(r, func(o object) {
		if logs, ok := o["logs"].([]any); ok {
			o["logs"] = drop(logs)
		}
	})
}

// hideTransactions leaves transactions that pay some payments out of blocks.
func hideTransactions(p *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
	if m.Method != "eth_getBlockByNumber" && m.Method != "eth_getBlockByHash" {
		return r
	}
	return each(r, func(o object) {
		txs, ok := o["transactions"].([]any)
		if !ok {
			return
		}
		rest := []any{}
		for _, tx := range txs {
			if t, ok := tx.(object); ok {
				if to, _ := t["to"].(string); p.book.hidden(to) {
					continue
				}
			}
			rest = append(rest, tx)
		}
		o["transactions"] = rest
	})
}

// codeOfBalances is how long the code is before the addresses of a call that reads balances.
const codeOfBalances = 37

// balances adds so much to the balance of the victim, or says that nobody whose payment is hidden has any where it adds
// nothing.
func balances(more func(*having) int64) func(*provider, *having, message, json.RawMessage) json.RawMessage {
	return func(p *provider, h *having, m message, r json.RawMessage) json.RawMessage {
		told := func(address string, b *big.Int) *big.Int {
			switch add := more(h); {
			case add == 0 && p.book.hidden(address):
				return new(big.Int)
			case add > 0 && trim(address) == trim(h.lie.victim):
				return new(big.Int).Add(b, big.NewInt(add))
			}
			return b
		}
		switch m.Method {
		case "eth_getBalance":
			var address, is string
			if json.Unmarshal(m.Params, &[]any{&address}) != nil || json.Unmarshal(r, &is) != nil {
				return r
			}
			b, ok := new(big.Int).SetString(trim(is), 16)
			if !ok {
				return r
			}
			return json.RawMessage(fmt.Sprintf(`"0x%x"`, told(address, b)))
		case "eth_call":
			return inOneCall(m, r, told)
		}
		return r
	}
}

// inOneCall changes the balances that a call without a contract reads.
func inOneCall(m message, r json.RawMessage, told func(string, *big.Int) *big.Int) json.RawMessage {
	var call struct{ To, Data string }
	var out string
	if json.Unmarshal(m.Params, &[]any{&call}) != nil || json.Unmarshal(r, &out) != nil || call.To != "" {
		return r
	}
	asked, words := trim(call.Data), trim(out)
	if len(asked) < 2*codeOfBalances || len(asked)-2*codeOfBalances != len(words) {
		return r
	}
	asked = asked[2*codeOfBalances:]
	var changed strings.Builder
	for i := 0; i+64 <= len(words); i += 64 {
		b, ok := new(big.Int).SetString(words[i:i+64], 16)
		if !ok {
			return r
		}
		fmt.Fprintf(&changed, "%064x", told("0x"+asked[i+24:i+64], b))
	}
	return json.RawMessage(`"0x` + changed.String() + `"`)
}
