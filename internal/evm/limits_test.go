package evm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// refuseBatch answers a batch of more than max calls.
type refuseBatch func(w http.ResponseWriter, batch []message, max int)

// batchNode stands before a node and answers batches of more than max calls as over does. A nil over passes everything.
type batchNode struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	tooLarge int // batches of more than max
}

func newBatchNode(t *testing.T, node string, max int, over refuseBatch) *batchNode {
	t.Helper()
	b := &batchNode{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var batch []message
		large := json.Unmarshal(body, &batch) == nil && len(batch) > max
		b.mu.Lock()
		b.requests++
		if large {
			b.tooLarge++
		}
		b.mu.Unlock()
		if large {
			over(w, batch, max)
			return
		}
		res, err := http.Post(node, "application/json", bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", "application/json")
		io.Copy(w, res.Body)
	}))
	t.Cleanup(b.Close)
	return b
}

// count returns the numbers so far and begins anew.
func (b *batchNode) count() (requests, tooLarge int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, tooLarge = b.requests, b.tooLarge
	b.requests, b.tooLarge = 0, 0
	return requests, tooLarge
}

// TestBatchLimits: in whatever words a provider refuses a batch, the calls are made in smaller ones, down to one at a
// time, and the size is remembered.
func TestBatchLimits(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	one := func(code int, words string) refuseBatch {
		return func(w http.ResponseWriter, _ []message, _ int) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":%q}}`, code, words)
		}
	}
	status := func(code int, body string) refuseBatch {
		return func(w http.ResponseWriter, _ []message, _ int) {
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	first := func(rest func(ask message) *message) refuseBatch {
		return func(w http.ResponseWriter, batch []message, max int) {
			var answers []message
			for i, ask := range batch {
				if i < max {
					got, err := forward(c.URL(), ask)
					if err != nil {
						t.Error(err)
					}
					answers = append(answers, got)
				} else if a := rest(ask); a != nil {
					answers = append(answers, *a)
				}
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(answers)
		}
	}
	for name, over := range map[string]refuseBatch{
		"an error":             one(-32600, "batch too large"),
		"not supported":        one(-32600, "batch requests are not supported"),
		"HTTP 400":             status(http.StatusBadRequest, `{"error":"too many calls"}`),
		"HTTP 403":             status(http.StatusForbidden, ``),
		"HTTP 413":             status(http.StatusRequestEntityTooLarge, ``),
		"HTTP 500":             status(http.StatusInternalServerError, `{"code":31,"message":"Batch of more than 3 requests are not allowed on free tier"}`),
		"an answer cut off":    status(http.StatusOK, `[{"jsonrpc":"2.0","id":1,"resu`),
		"an empty list":        status(http.StatusOK, `[]`),
		"the rest is left out": first(func(message) *message { return nil }),
		"the rest is refused": first(func(ask message) *message {
			return &message{Version: "2.0", ID: ask.ID,
				Error: json.RawMessage(`{"code":-32005,"message":"batch limit exceeded"}`)}
		}),
		"the connection is cut": func(http.ResponseWriter, []message, int) { panic(http.ErrAbortHandler) },
		"one error in a list for all": func(w http.ResponseWriter, b []message, _ int) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `[{"jsonrpc":"2.0","id":%s,"error":{"code":-32600,"message":"batch too large"}}]`, b[0].ID)
		},
	} {
		for _, max := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d calls", name, max), func(t *testing.T) {
				node := newBatchNode(t, c.URL(), max, over)
				p := newPool(t, c.Token(), nil, node.URL)
				// What is asked before a payment is created.
				used, err := p.Used(t.Context(), append([]string{shopAddress}, addresses(49)...))
				if err != nil || len(used) != 50 || !used[shopAddress] {
					t.Fatalf("%d addresses, %v", len(used), err)
				}
				if _, tooLarge := node.count(); tooLarge == 0 || tooLarge > 7 {
					t.Errorf("%d batches were too large", tooLarge)
				}
				blocks, err := p.Blocks(t.Context(), 0, number)
				if err != nil || len(blocks[number].Logs) != 1 {
					t.Fatalf("%d blocks, %v", len(blocks), err)
				}
				if _, err := p.Used(t.Context(), addresses(50)); err != nil {
					t.Fatal(err)
				}
				if _, tooLarge := node.count(); tooLarge != 0 {
					t.Errorf("%d batches were too large though the limit is known", tooLarge)
				}
			})
		}
	}
}

// TestACallThatFailsIsNoLimit: what fails alone too fails the batch, after few requests, and makes no later batch
// smaller.
func TestACallThatFailsIsNoLimit(t *testing.T) {
	c := startDevnet(t)
	number, _, _ := paid(t, c)
	pruned := newProxy(t, c.URL(), instead("eth_getBalance", `{"code":-32000,"message":"missing trie node"}`, 0))
	node := newBatchNode(t, pruned.URL, 1000, nil)
	p := newPool(t, c.Token(), nil, node.URL)
	h, err := p.Header(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	accounts := make([]chain.Address, 50)
	node.count()
	if _, err := p.Balances(t.Context(), h.Ref(), chain.Native, accounts); err == nil ||
		!strings.Contains(err.Error(), "missing trie node") {
		t.Fatalf("got %v", err)
	}
	if requests, _ := node.count(); requests > 4 { // once more by number, where the hash is refused
		t.Errorf("%d requests", requests)
	}
	if _, err := p.Nonces(t.Context(), h.Ref(), accounts); err != nil {
		t.Fatal(err)
	}
	if requests, _ := node.count(); requests != 1 {
		t.Errorf("%d requests for one batch", requests)
	}
}

// TestRangeLimits: in whatever words a provider refuses a range of blocks in eth_getLogs, smaller ones are asked for,
// and the size is remembered.
func TestRangeLimits(t *testing.T) {
	c := startDevnet(t)
	for range 8 {
		paid(t, c)
	}
	for name, answer := range map[string]struct {
		error  string
		status int
	}{
		"results":       {`{"code":-32005,"message":"query returned more than 10000 results"}`, 0},
		"range":         {`{"code":-32600,"message":"Block range is too wide"}`, 0},
		"tier":          {`{"code":-32602,"message":"Log response size exceeded. You can make eth_getLogs requests with up to a 10 block range"}`, 0},
		"limited":       {`{"code":-32614,"message":"eth_getLogs is limited to a 5 range"}`, 0},
		"not supported": {`{"code":35,"message":"ranges over 2 blocks are not supported on freetier"}`, 0},
		"limit":         {`{"code":-32000,"message":"exceed maximum block range: 2"}`, 0},
		"size":          {`{"code":-32602,"message":"response size should not greater than 10485760 bytes"}`, 0},
		"timeout":       {`{"code":-32002,"message":"request timed out"}`, 0},
		"HTTP 400":      {``, http.StatusBadRequest},
		"HTTP 413":      {``, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			node := newProxy(t, c.URL(), func(m string, params, r json.RawMessage) (json.RawMessage, int) {
				var query []struct{ FromBlock, ToBlock string }
				if m != "eth_getLogs" || json.Unmarshal(params, &query) != nil || query[0].FromBlock == "" {
					return r, 0
				}
				if hexNumber(query[0].ToBlock)-hexNumber(query[0].FromBlock) >= 2 {
					refused++
					return json.RawMessage(answer.error), answer.status
				}
				return r, 0
			})
			p := newPool(t, c.Token(), nil, node.URL)
			for round := range 2 {
				blocks, err := p.Blocks(t.Context(), 2, 9)
				if err != nil || len(blocks) != 8 {
					t.Fatalf("%d blocks, %v", len(blocks), err)
				}
				for _, b := range blocks {
					if len(b.Logs) != 1 || b.Logs[0].Doubtful {
						t.Errorf("block %d: %+v", b.Number, b.Logs)
					}
				}
				if round == 0 && refused == 0 || refused > 2 {
					t.Errorf("round %d: refused %d times", round, refused)
				}
			}
		})
	}
}

func hexNumber(text string) (n int) {
	fmt.Sscanf(text, "0x%x", &n)
	return n
}

// TestThrottled: a provider that asks for a pause gets it, also when it is the only one, and then is asked again.
func TestThrottled(t *testing.T) {
	c := startDevnet(t)
	now := time.Now()
	for name, answer := range map[string]struct {
		header string
		body   string // of a JSON-RPC error; "" for HTTP 429
		pause  time.Duration
	}{
		"seconds":        {"30", "", 30 * time.Second},
		"a date":         {now.Add(40 * time.Second).UTC().Format(http.TimeFormat), "", 39 * time.Second},
		"part of":        {"3.5", "", 3500 * time.Millisecond},
		"no header":      {"", "", 0},
		"JSON-RPC":       {"", `{"code":-32005,"message":"daily request count exceeded, request rate limited"}`, 0},
		"code 429":       {"", `{"code":429,"message":"Your app has exceeded its compute units per second capacity"}`, 0},
		"too far ahead":  {"1000000", "", time.Hour},
		"in the past":    {now.Add(-time.Hour).UTC().Format(http.TimeFormat), "", 0},
		"not understood": {"soon", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &fakeClock{at: now}
			var mu sync.Mutex
			asked, limited := 0, true
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked++
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				var ask message
				if limited && answer.body != "" && json.Unmarshal(body, &ask) == nil {
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, ask.ID, answer.body)
					return
				}
				if limited {
					if answer.header != "" {
						w.Header().Set("Retry-After", answer.header)
					}
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				res, err := http.Post(c.URL(), "application/json", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				w.Header().Set("Content-Type", "application/json")
				io.Copy(w, res.Body)
			}))
			defer node.Close()
			p := newPool(t, c.Token(), func(o *evm.Options) { o.Now = clock.now }, node.URL)
			if _, err := p.Head(t.Context()); err == nil || !strings.Contains(err.Error(), "limits our calls") ||
				!strings.Contains(err.Error(), "rpc_rate") {
				t.Fatalf("got %v", err)
			}
			was := asked
			if answer.pause > 0 {
				clock.advance(answer.pause - 2500*time.Millisecond) // a pause that is shorter than two seconds is waited for
				for range 3 {
					if _, err := p.Head(t.Context()); err == nil {
						t.Fatal("it was asked during its pause")
					}
				}
			}
			if asked != was {
				t.Errorf("it was asked %d times during its pause", asked-was)
			}
			mu.Lock()
			limited = false
			mu.Unlock()
			clock.advance(2500*time.Millisecond + max(answer.pause/5, time.Second))
			if _, err := p.Head(t.Context()); err != nil {
				t.Errorf("after its pause: %v", err)
			}
		})
	}
}

type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// TestThrottledProviderIsPassedOver: while one provider asks for a pause, another serves.
func TestThrottledProviderIsPassedOver(t *testing.T) {
	c := startDevnet(t)
	asked := 0
	limited := newProxy(t, c.URL(), func(string, json.RawMessage, json.RawMessage) (json.RawMessage, int) {
		asked++
		return nil, http.StatusTooManyRequests
	})
	now := time.Now()
	p := newPool(t, c.Token(), func(o *evm.Options) { o.Now = func() time.Time { return now } }, limited.URL, c.URL())
	for range 3 {
		if _, err := p.Block(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestPace: no more calls a second are made than were set, each call of a batch counted.
func TestPace(t *testing.T) {
	c := startDevnet(t)
	p := newPool(t, c.Token(), func(o *evm.Options) { o.Rate = 200 }, c.URL())
	start := time.Now()
	for range 3 { // 300 calls, of which 200 are the first second's
		if _, err := p.Used(t.Context(), addresses(50)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("300 calls at 200 a second took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Used(ctx, addresses(50)); !errors.Is(err, ctx.Err()) || err == nil {
		t.Errorf("waiting does not end with its context: %v", err)
	}
}
