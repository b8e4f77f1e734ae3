package evmtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Change gets a method, its parameters and the node's result, and returns the result to pass on (an object that
// begins with a code is an error), or an HTTP status to answer instead; LeaveOut leaves the answer out of its batch.
type Change func(method string, params, result json.RawMessage) (json.RawMessage, int)

// LeaveOut leaves an answer out of its batch.
const LeaveOut = -1

// Proxy passes JSON-RPC on to a node and lets a test change each answer. Answers are changed one at a time.
type Proxy struct{ *httptest.Server }

// Message is a request or an answer of JSON-RPC.
type Message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// NewProxy starts a proxy before a node; it ends with the test.
func NewProxy(t testing.TB, node string, change Change) *Proxy {
	t.Helper()
	var changing sync.Mutex
	p := &Proxy{httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var asked []Message
		batch := bytes.HasPrefix(body, []byte("["))
		if batch {
			err = json.Unmarshal(body, &asked)
		} else {
			asked = make([]Message, 1)
			err = json.Unmarshal(body, &asked[0])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var answers []Message
		for _, ask := range asked {
			got, err := Forward(node, ask)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			changing.Lock()
			result, status := change(ask.Method, ask.Params, got.Result)
			changing.Unlock()
			switch {
			case status == LeaveOut:
				continue
			case status != 0:
				http.Error(w, "no", status)
				return
			case bytes.HasPrefix(result, []byte(`{"code"`)):
				got.Result, got.Error = nil, result
			case got.Error == nil:
				got.Result = result
			case result != nil:
				got.Result, got.Error = result, nil
			}
			answers = append(answers, got)
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case batch:
			json.NewEncoder(w).Encode(answers)
		case len(answers) > 0:
			json.NewEncoder(w).Encode(answers[0])
		}
	}))}
	t.Cleanup(p.Close)
	return p
}

// Forward puts one question to a node.
func Forward(node string, ask Message) (got Message, err error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return got, err
	}
	res, err := http.Post(node, "application/json", bytes.NewReader(body))
	if err != nil {
		return got, err
	}
	defer res.Body.Close()
	return got, json.NewDecoder(res.Body).Decode(&got)
}

// Object is a JSON object of an answer.
type Object = map[string]any

// Each calls change for every object in a JSON document, inner ones first, and returns the changed document.
func Each(text json.RawMessage, change func(Object)) json.RawMessage {
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
		case Object:
			for _, e := range v {
				walk(e)
			}
			change(v)
		}
	}
	walk(doc)
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return out
}

// Result asks a node one question.
func Result(t testing.TB, node, method, params string) json.RawMessage {
	t.Helper()
	got, err := Forward(node, Message{Version: "2.0", ID: json.RawMessage("1"), Method: method,
		Params: json.RawMessage(params)})
	if err != nil || got.Error != nil {
		t.Errorf("%s: %s %v", method, got.Error, err)
	}
	return got.Result
}
