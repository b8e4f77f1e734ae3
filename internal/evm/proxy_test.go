package evm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// changeFunc gets a method, its parameters and the node's result, and returns the result to pass on (an object that
// begins with a code is an error), or an HTTP status to answer instead; leaveOut leaves the answer out of its batch.
type changeFunc func(method string, params, result json.RawMessage) (json.RawMessage, int)

const leaveOut = -1

// proxy passes JSON-RPC on to a node and lets a test change each answer. Answers are changed one at a time.
type proxy struct{ *httptest.Server }

type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

func newProxy(t testing.TB, node string, change changeFunc) *proxy {
	t.Helper()
	var changing sync.Mutex
	p := &proxy{httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var asked []message
		batch := bytes.HasPrefix(body, []byte("["))
		if batch {
			err = json.Unmarshal(body, &asked)
		} else {
			asked = make([]message, 1)
			err = json.Unmarshal(body, &asked[0])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var answers []message
		for _, ask := range asked {
			got, err := forward(node, ask)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			changing.Lock()
			result, status := change(ask.Method, ask.Params, got.Result)
			changing.Unlock()
			switch {
			case status == leaveOut:
				continue
			case status != 0:
				http.Error(w, "no", status)
				return
			case bytes.HasPrefix(result, []byte(`{"code"`)):
				got.Result, got.Error = nil, result
			case got.Error == nil:
				got.Result = result
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

func forward(node string, ask message) (got message, err error) {
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

// result asks a node one question.
func result(t testing.TB, node, method, params string) json.RawMessage {
	t.Helper()
	got, err := forward(node, message{Version: "2.0", ID: json.RawMessage("1"), Method: method,
		Params: json.RawMessage(params)})
	if err != nil || got.Error != nil {
		t.Errorf("%s: %s %v", method, got.Error, err)
	}
	return got.Result
}
