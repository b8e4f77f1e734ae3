package money

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// message is a request or an answer of JSON-RPC.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`

	known bool // Result is the answer, and the node is not asked
}

// says makes an answer of what is known without the node.
func (m *message) says(result string) { m.Result, m.known = json.RawMessage(result), true }

// provider passes JSON-RPC on to the node, and has a trouble.
type provider struct {
	url    string
	chain  *devnet.Chain
	book   *book
	traces bool

	client *http.Client
	server *http.Server
	mu     sync.Mutex
	with   *having
}

// having is a trouble from when it begins until it ends.
type having struct {
	trouble
	head   devnet.Head
	blocks map[uint64]string // the branch as it was when the trouble began
	asked  int               // requests since
	lie    lie
	mu     sync.Mutex
}

// lie is whom a liar lies about.
type lie struct {
	victim string // whose money is invented
	amount int64
}

func newProvider(t testkit.TB, c *devnet.Chain, b *book, traces bool) *provider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{url: "http://" + listener.Addr().String(), chain: c, book: b, traces: traces,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 30 * time.Second}}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(listener) //nolint:errcheck // it ends with Close
	t.Cleanup(func() {
		p.server.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// get gives the provider a trouble; "" takes it away.
func (p *provider) get(t Trouble, l lie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.with = nil
	if t == "" || t == Kill {
		return
	}
	h := &having{trouble: troubles[t], head: p.chain.Head(), blocks: make(map[uint64]string), lie: l}
	for n := h.head.Number; n > 0 && h.head.Number-n < 2*deepest; n-- {
		if b, ok := p.chain.Block(n); ok {
			h.blocks[n] = b.Hash
		}
	}
	p.with = h
}

func (p *provider) now() *having {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.with == nil {
		return &having{}
	}
	p.with.mu.Lock()
	defer p.with.mu.Unlock()
	p.with.asked++
	return p.with
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	asked, batch, err := messages(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h := p.now()
	if h.front != nil && h.front(h, w, asked, batch) {
		return
	}
	for i := range asked {
		p.tag(&asked[i])
		if h.ask != nil {
			h.ask(p, h, &asked[i])
		}
		if p.traces {
			p.trace(&asked[i])
		}
	}
	answers, err := p.forward(asked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for i := range answers {
		if h.edit == nil || answers[i].Error != nil {
			continue
		}
		if result := h.edit(p, h, asked[i], answers[i].Result); bytes.HasPrefix(result, []byte(`{"code"`)) {
			answers[i].Result, answers[i].Error = nil, result
		} else {
			answers[i].Result = result
		}
	}
	var out []byte
	if batch {
		out, err = json.Marshal(answers)
	} else {
		out, err = json.Marshal(answers[0])
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if h.cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(out)))
		out = out[:len(out)/2]
	}
	_, _ = w.Write(out) // whoever asked may be gone
}

func messages(body []byte) (asked []message, batch bool, err error) {
	if batch = bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")); batch {
		return asked, true, json.Unmarshal(body, &asked)
	}
	asked = make([]message, 1)
	return asked, false, json.Unmarshal(body, &asked[0])
}

// finalDepth is how deep a block lies that the providers call final.
const finalDepth = deepest + 6

// tag gives the chain a tag that is deeper than its reorganisations.
func (p *provider) tag(m *message) {
	if m.Method != "eth_getBlockByNumber" {
		return
	}
	var at string
	var full bool
	if json.Unmarshal(m.Params, &[]any{&at, &full}) == nil && at == "finalized" {
		m.Params = json.RawMessage(fmt.Sprintf(`["0x%x",%t]`, p.final(), full))
	}
}

func (p *provider) final() uint64 {
	head := p.chain.Head().Number
	return head - min(head, finalDepth)
}

// forward puts what is not known to the node, in one request.
func (p *provider) forward(asked []message) ([]message, error) {
	answers := make([]message, len(asked))
	var open []message
	var index []int
	for i, m := range asked {
		answers[i] = message{Version: "2.0", ID: m.ID, Result: m.Result}
		if !m.known {
			open, index = append(open, message{Version: "2.0", ID: json.RawMessage(fmt.Sprint(i)), Method: m.Method,
				Params: m.Params}), append(index, i)
		}
	}
	if len(open) == 0 {
		return answers, nil
	}
	got, err := p.put(open)
	if err != nil {
		return nil, err
	}
	for _, a := range got {
		var i int
		if json.Unmarshal(a.ID, &i) != nil || i < 0 || i >= len(answers) {
			return nil, fmt.Errorf("the node answers %s, which nobody asked", a.ID)
		}
		answers[i].Result, answers[i].Error = a.Result, a.Error
	}
	for _, i := range index {
		if answers[i].Result == nil && answers[i].Error == nil {
			return nil, fmt.Errorf("the node leaves out an answer")
		}
	}
	return answers, nil
}

func (p *provider) put(open []message) (got []message, err error) {
	body, err := json.Marshal(open)
	if err != nil {
		return nil, err
	}
	res, err := p.client.Post(p.chain.URL(), "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return got, json.NewDecoder(res.Body).Decode(&got)
}

// result puts one question to the node, null where it fails.
func (p *provider) result(method, params string) json.RawMessage {
	got, err := p.put([]message{
		{Version: "2.0", ID: json.RawMessage("0"), Method: method, Params: json.RawMessage(params)},
	})
	if err != nil || len(got) != 1 || got[0].Result == nil {
		return json.RawMessage("null")
	}
	return got[0].Result
}

// object is a JSON object of an answer.
type object = map[string]any

// each calls change for every object in a JSON document, inner ones first, and returns the changed document.
func each(text json.RawMessage, change func(object)) json.RawMessage {
	var doc any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&doc) != nil {
		return text
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case object:
			for _, e := range v {
				walk(e)
			}
			change(v)
		}
	}
	walk(doc)
	out, err := json.Marshal(doc)
	if err != nil {
		return text
	}
	return out
}
