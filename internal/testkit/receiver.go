package testkit

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Received is one request as a receiver saw it.
type Received struct {
	Seq        int // counts from 1, in the order in which bodies were complete
	At         time.Time
	Method     string
	Path       string // path and query
	Header     http.Header
	Body       []byte // raw
	RemoteAddr string // tells connections apart
}

// ID is the webhook-id header.
func (r Received) ID() string { return r.Header.Get("webhook-id") }

// Type is the "type" of the JSON body, or "" if there is none.
func (r Received) Type() string {
	var body struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		return ""
	}
	return body.Type
}

// Answer is how a receiver reacts to one request. The zero value answers 204 at once.
type Answer struct {
	Status int // 0 means 204, or 200 with a Body
	Header http.Header
	Body   []byte
	Delay  time.Duration // before the status line
	Hang   bool          // answer nothing until Release or Close, then close the connection
	Drop   bool          // close the connection without an answer
}

// Receiver is a webhook receiver on loopback that records every request and answers by script.
type Receiver struct {
	// URL is where it listens, without a path: http://127.0.0.1:port, or https.
	URL string

	server  *httptest.Server
	tls     bool
	mu      sync.Mutex
	seen    []Received
	changed chan struct{} // closed and replaced with every request
	script  func(Received) Answer
	release chan struct{} // closed by Release and Close
}

// NewReceiver starts a receiver on http that answers 204 to everything. It ends with the test.
func NewReceiver(t TB) *Receiver { return newReceiver(t, false) }

// NewTLSReceiver starts a receiver on https with a certificate of its own making for 127.0.0.1, ::1 and example.com; CA
// tells whom to trust.
func NewTLSReceiver(t TB) *Receiver { return newReceiver(t, true) }

func newReceiver(t TB, tls bool) *Receiver {
	t.Helper()
	r := &Receiver{tls: tls, changed: make(chan struct{}), release: make(chan struct{})}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listen(l)
	r.URL = r.server.URL
	t.Cleanup(r.Close)
	return r
}

func (r *Receiver) listen(l net.Listener) {
	config := &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: time.Minute}
	r.server = &httptest.Server{Listener: l, Config: config}
	if r.tls {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
}

// Script makes f decide every answer from now on. It is called once a request, from many goroutines.
func (r *Receiver) Script(f func(Received) Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = f
}

// Answers makes the next requests get these answers in turn; the last one is for all that follow.
func (r *Receiver) Answers(answers ...Answer) {
	var mu sync.Mutex
	next := 0
	r.Script(func(Received) Answer {
		if len(answers) == 0 {
			return Answer{}
		}
		mu.Lock()
		defer mu.Unlock()
		a := answers[next]
		next = min(next+1, len(answers)-1)
		return a
	})
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender went away in mid-body: that is no request
	}
	r.mu.Lock()
	got := Received{Seq: len(r.seen) + 1, At: time.Now().UTC(), Method: req.Method, Path: req.URL.RequestURI(),
		Header: req.Header.Clone(), Body: body, RemoteAddr: req.RemoteAddr}
	got.Header.Set("Host", req.Host)
	r.seen = append(r.seen, got)
	close(r.changed)
	r.changed = make(chan struct{})
	script, release := r.script, r.release
	r.mu.Unlock()

	var a Answer
	if script != nil {
		a = script(got)
	}
	if a.Delay > 0 {
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-release:
		case <-req.Context().Done():
			return
		}
	}
	if a.Hang {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}
	if a.Hang || a.Drop {
		panic(http.ErrAbortHandler) // the documented way to close a connection without an answer
	}
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	switch {
	case a.Status != 0:
		w.WriteHeader(a.Status)
	case len(a.Body) == 0:
		w.WriteHeader(http.StatusNoContent)
	}
	_, _ = io.Copy(w, bytes.NewReader(a.Body))
}

// All returns what was received so far, in order.
func (r *Receiver) All() []Received {
	all, _ := r.look()
	return all
}

// look returns what was received so far and a channel that is closed when there is more.
func (r *Receiver) look() ([]Received, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[:len(r.seen):len(r.seen)], r.changed
}

// WaitFor returns the first request, past or future, of which match says yes. It ends the test after timeout.
func (r *Receiver) WaitFor(t TB, match func(Received) bool, timeout time.Duration) Received {
	t.Helper()
	var found Received
	ok := r.wait(timeout, func(all []Received) bool {
		for _, got := range all {
			if match(got) {
				found = got
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("testkit: no such request within %v; received: %v", timeout, r.summary())
	}
	return found
}

// WaitCount returns the first n requests as soon as there are so many. It ends the test after timeout.
func (r *Receiver) WaitCount(t TB, n int, timeout time.Duration) []Received {
	t.Helper()
	var first []Received
	ok := r.wait(timeout, func(all []Received) bool {
		if len(all) < n {
			return false
		}
		first = all[:n]
		return true
	})
	if !ok {
		t.Fatalf("testkit: fewer than %d requests within %v; received: %v", n, timeout, r.summary())
	}
	return first
}

func (r *Receiver) wait(timeout time.Duration, enough func([]Received) bool) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		all, changed := r.look()
		if enough(all) {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return enough(r.All())
		}
	}
}

// summary lists method, path, webhook-id and type of what was received, for failure messages.
func (r *Receiver) summary() []string {
	var s []string
	for _, got := range r.All() {
		s = append(s, got.Method+" "+got.Path+" "+got.ID()+" "+got.Type())
	}
	return s
}

// CA returns the certificate of a TLS receiver in PEM, which is its own authority; nil without TLS.
func (r *Receiver) CA() []byte {
	if !r.tls {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
}

// Release ends every delay and hang that is under way. Later ones hang again.
func (r *Receiver) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.release)
	r.release = make(chan struct{})
}

// Down stops listening and closes all connections: senders are refused until Up.
func (r *Receiver) Down() {
	r.Release()
	r.server.CloseClientConnections()
	r.server.Close()
}

// Up listens again on the same address after Down.
func (r *Receiver) Up(t TB) {
	t.Helper()
	l, err := net.Listen("tcp4", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r.listen(l)
}

// Close ends the receiver; what it received can still be read.
func (r *Receiver) Close() { r.Down() }
