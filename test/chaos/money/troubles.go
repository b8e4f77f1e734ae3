package money

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// trouble is how a trouble shows.
type trouble struct {
	// front answers a whole request instead of the node, and reports that it did.
	front func(h *having, w http.ResponseWriter, asked []message, batch bool) bool
	// ask changes a question before the node gets it.
	ask func(p *provider, h *having, m *message)
	// edit changes the node's answer; an object that begins with a code is an error.
	edit func(p *provider, h *having, m message, result json.RawMessage) json.RawMessage
	cut  bool // answers end in the middle
	lies bool // what it answers is untrue
}

// All lists every trouble, by name.
func All() []Trouble {
	names := []Trouble{Kill}
	for name := range troubles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Lies reports whether a provider with the trouble says what is untrue about money.
func (t Trouble) Lies() bool { return troubles[t].lies }

var troubles = map[Trouble]trouble{
	// What providers limit and refuse.
	"batch-refused": {front: largeBatch(1)},
	"batch-limited": {front: largeBatch(3)},
	"hash-refused":  {edit: onLogs(`{"code":-32602,"message":"invalid argument 0: blockHash is not allowed"}`, true)},
	"hash-ignored":  {ask: ignoreHash},
	"range-refused": {edit: onLogs(`{"code":-32005,"message":"query returned more than 10000 results"}`, false)},
	"rate-seconds":  {front: everySecond(func(w http.ResponseWriter) { tooMany(w, "1") })},
	"rate-date": {front: everySecond(func(w http.ResponseWriter) {
		tooMany(w, time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
	})},
	"rate-bare": {front: everySecond(func(w http.ResponseWriter) { tooMany(w, "") })},
	"rate-error": {edit: func(_ *provider, h *having, _ message, r json.RawMessage) json.RawMessage {
		if h.nth()%3 == 0 {
			return json.RawMessage(`{"code":-32005,"message":"daily request count exceeded, request rate limited"}`)
		}
		return r
	}},
	"no-receipts": {edit: func(_ *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		if m.Method == "eth_getBlockReceipts" {
			return json.RawMessage(`{"code":-32601,"message":"the method eth_getBlockReceipts does not exist"}`)
		}
		return r
	}},

	// What fails.
	"away": {front: func(_ *having, w http.ResponseWriter, _ []message, _ bool) bool {
		http.Error(w, "bad gateway", http.StatusBadGateway)
		return true
	}},
	"hangs": {front: everySecond(func(http.ResponseWriter) {
		time.Sleep(1500 * time.Millisecond)
		panic(http.ErrAbortHandler)
	})},
	"cut-off": {cut: true},
	"lags":    {ask: lag},
	"frozen":  {ask: frozen},
	"branch":  {ask: branch},
	"tag-null": {edit: onTag(func(*provider) json.RawMessage {
		return json.RawMessage("null")
	})},
	"tag-error": {edit: onTag(func(*provider) json.RawMessage {
		return json.RawMessage(`{"code":-39001,"message":"finalized block not found"}`)
	})},
	"no-state": {edit: func(_ *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		if m.Method == "eth_getBalance" || m.Method == "eth_call" {
			return json.RawMessage(`{"code":-32000,"message":"historical state is not available"}`)
		}
		return r
	}},

	// What is odd.
	"zeros": {edit: onBlocks(func(o object) {
		for _, key := range []string{"number", "timestamp", "blockNumber", "value", "logIndex", "transactionIndex"} {
			if v, ok := o[key].(string); ok && strings.HasPrefix(v, "0x") {
				o[key] = "0x0" + v[2:]
			}
		}
	})},
	"bloom-null":  {edit: onBlocks(func(o object) { replace(o, "logsBloom", nil) })},
	"bloom-short": {edit: onBlocks(func(o object) { replace(o, "logsBloom", "0x") })},
	"bloom-zero":  {edit: onBlocks(func(o object) { replace(o, "logsBloom", "0x"+strings.Repeat("0", 512)) })},
	"one-index":   {edit: onBlocks(func(o object) { replace(o, "logIndex", "0x0") })},
	"bare-logs":   {edit: onBlocks(func(o object) { delete(o, "removed") })},
	"null-txs": {edit: onBlocks(func(o object) {
		if txs, ok := o["transactions"].([]any); ok && len(txs) == 0 {
			o["transactions"] = nil
		}
	})},

	// What is untrue.
	"no-logs": {lies: true, edit: func(_ *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		if m.Method == "eth_getLogs" {
			return json.RawMessage("[]")
		}
		return r
	}},
	"hidden-logs": {lies: true, edit: hideLogs},
	"hidden-txs":  {lies: true, edit: hideTransactions},
	"invented-logs": {lies: true, edit: func(_ *provider, h *having, _ message, r json.RawMessage) json.RawMessage {
		return swap(r, "0x"+strings.Repeat("0", 24)+decoy[2:], "0x"+strings.Repeat("0", 24)+trim(h.lie.victim))
	}},
	"invented-coin": {lies: true, edit: func(_ *provider, h *having, m message, r json.RawMessage) json.RawMessage {
		if strings.HasPrefix(m.Method, "eth_getBlock") {
			return swap(r, `"`+decoy+`"`, `"`+h.lie.victim+`"`)
		}
		return r
	}},
	"rich":      {lies: true, edit: balances(func(h *having) int64 { return h.lie.amount })},
	"poor":      {lies: true, edit: balances(func(*having) int64 { return 0 })},
	"tag-ahead": {lies: true, ask: tagAhead},
}

// decoy is whom transactions pay that liars say pay somebody else.
const decoy = "0x00000000000000000000000000000000000000aa"

func trim(address string) string { return strings.TrimPrefix(strings.ToLower(address), "0x") }

func swap(r json.RawMessage, old, by string) json.RawMessage {
	return json.RawMessage(strings.ReplaceAll(string(r), old, by))
}

func replace(o object, key string, v any) {
	if _, ok := o[key]; ok {
		o[key] = v
	}
}

func largeBatch(most int) func(*having, http.ResponseWriter, []message, bool) bool {
	return func(_ *having, w http.ResponseWriter, asked []message, batch bool) bool {
		if !batch || len(asked) <= most && most > 1 {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch of more than %d calls"}}`, most)
		return true
	}
}

func everySecond(f func(http.ResponseWriter)) func(*having, http.ResponseWriter, []message, bool) bool {
	return func(h *having, w http.ResponseWriter, _ []message, _ bool) bool {
		if h.nth()%2 != 0 {
			return false
		}
		f(w)
		return true
	}
}

// nth is the number of the request that was asked last.
func (h *having) nth() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func tooMany(w http.ResponseWriter, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	http.Error(w, "too many requests", http.StatusTooManyRequests)
}

// logQuery is the filter of eth_getLogs.
type logQuery struct {
	Address   any    `json:"address,omitempty"`
	Topics    any    `json:"topics,omitempty"`
	BlockHash string `json:"blockHash,omitempty"`
	FromBlock string `json:"fromBlock,omitempty"`
	ToBlock   string `json:"toBlock,omitempty"`
}

func query(m message) (q logQuery, ok bool) {
	return q, m.Method == "eth_getLogs" && json.Unmarshal(m.Params, &[]any{&q}) == nil
}

func (q logQuery) params() json.RawMessage {
	out, err := json.Marshal([]any{q})
	if err != nil {
		return nil
	}
	return out
}

// onLogs answers a query by block hash, or else one over several blocks, with an error.
func onLogs(answer string, byHash bool) func(*provider, *having, message, json.RawMessage) json.RawMessage {
	return func(_ *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		q, ok := query(m)
		if ok && (byHash && q.BlockHash != "" || !byHash && q.BlockHash == "" && q.FromBlock != q.ToBlock) {
			return json.RawMessage(answer)
		}
		return r
	}
}

// ignoreHash has the node look for logs in its newest block, whatever block was named.
func ignoreHash(_ *provider, _ *having, m *message) {
	if q, ok := query(*m); ok && q.BlockHash != "" {
		q.BlockHash, q.FromBlock, q.ToBlock = "", "latest", "latest"
		m.Params = q.params()
	}
}

func onTag(answer func(*provider) json.RawMessage) func(*provider, *having, message, json.RawMessage) json.RawMessage {
	return func(p *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		at, full, ok := byNumber(m)
		if ok && !full && at+2 >= p.final() && at <= p.final() {
			return answer(p)
		}
		return r
	}
}

func onBlocks(change func(object)) func(*provider, *having, message, json.RawMessage) json.RawMessage {
	return func(_ *provider, _ *having, m message, r json.RawMessage) json.RawMessage {
		if strings.HasPrefix(m.Method, "eth_getBlock") || m.Method == "eth_getLogs" ||
			m.Method == "eth_getTransactionReceipt" {
			return each(r, change)
		}
		return r
	}
}

// byNumber reads a question for a block by its number.
func byNumber(m message) (number uint64, full, ok bool) {
	var at string
	if m.Method != "eth_getBlockByNumber" || json.Unmarshal(m.Params, &[]any{&at, &full}) != nil {
		return 0, false, false
	}
	_, err := fmt.Sscanf(at, "0x%x", &number)
	return number, full, err == nil
}

// latest reports whether a question is for the newest block.
func latest(m message) bool {
	return m.Method == "eth_getBlockByNumber" && strings.Contains(string(m.Params), `"latest"`)
}

func block(number uint64, full bool) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`["0x%x",%t]`, number, full))
}

// behind is how many blocks a provider that lags lacks.
const behind = 5

func lag(p *provider, _ *having, m *message) { endsAt(m, p.chain.Head().Number-behind) }

func frozen(_ *provider, h *having, m *message) { endsAt(m, h.head.Number) }

// endsAt answers as a node does whose newest block has that number.
func endsAt(m *message, head uint64) {
	number, _, ok := byNumber(*m)
	switch {
	case latest(*m):
		m.Params = block(head, strings.Contains(string(m.Params), "true"))
	case ok && number > head:
		m.says("null")
	}
}

// branch answers as a node does that has not heard of what came after the trouble began, a reorganisation among it.
func branch(p *provider, h *having, m *message) {
	number, full, ok := byNumber(*m)
	if latest(*m) {
		number, full, ok = h.head.Number, strings.Contains(string(m.Params), "true"), true
	}
	if q, is := query(*m); is && q.BlockHash == "" {
		m.says(string(h.logs(p, q)))
		return
	}
	hash, known := h.blocks[number]
	switch {
	case !ok:
	case number > h.head.Number:
		m.says("null")
	case known:
		m.Method, m.Params = "eth_getBlockByHash", json.RawMessage(fmt.Sprintf(`[%q,%t]`, hash, full))
	}
}

// logs are those of the branch as it was.
func (h *having) logs(p *provider, q logQuery) json.RawMessage {
	var from, to uint64
	fmt.Sscanf(q.FromBlock, "0x%x", &from)
	fmt.Sscanf(q.ToBlock, "0x%x", &to)
	all := []json.RawMessage{}
	for n := from; n <= to; n++ {
		hash, ok := h.blocks[n]
		if !ok {
			continue
		}
		one := logQuery{Address: q.Address, Topics: q.Topics, BlockHash: hash}
		var logs []json.RawMessage
		if json.Unmarshal(p.result("eth_getLogs", string(one.params())), &logs) == nil {
			all = append(all, logs...)
		}
	}
	out, err := json.Marshal(all)
	if err != nil {
		return json.RawMessage("[]")
	}
	return out
}

// tagAhead calls the newest block final.
func tagAhead(p *provider, _ *having, m *message) {
	if at, full, ok := byNumber(*m); ok && !full && at == p.final() {
		m.Params = block(p.chain.Head().Number, false)
	}
}
