package main

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// behaviour is how the receiver behaves at an endpoint.
type behaviour int

const (
	healthy  behaviour = iota // accepts after up to usualDelay
	flapping                  // 500, 503, a cut connection or a 2xx, as it comes
	hanging                   // takes the request and answers nothing
	slow                      // accepts after slowLeast to slowMost, which is still in time
	busy                      // accepts after busyDelay, so that a backlog forms
)

const (
	usualDelay = 60 * time.Millisecond
	slowLeast  = 200 * time.Millisecond
	slowMost   = 900 * time.Millisecond
	busyDelay  = 1500 * time.Millisecond
)

// receiver is the merchants' side: one HTTP server with a path for every endpoint. It remembers every request.
type receiver struct {
	url    string
	points *breakpoints
	// sender tells which worker has a delivery in work, "" when that cannot be known.
	sender func(webhookID, endpoint string) string

	mu         sync.Mutex
	random     *rand.Rand
	secrets    map[string]webhook.Secret
	behaviours map[string]behaviour
	changed    chan struct{} // closed and replaced when behaviours change
	requests   []*Request
	accepted   int
}

func newReceiver(t testkit.TB, seed uint64, points *breakpoints,
	sender func(webhookID, endpoint string) string) *receiver {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{
		url: "http://" + l.Addr().String() + "/", points: points, sender: sender, random: rand.New(rand.NewPCG(seed, 1)),
		secrets:    make(map[string]webhook.Secret),
		behaviours: make(map[string]behaviour), changed: make(chan struct{}),
	}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // it ends with Close
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return r
}

// Know makes the receiver serve an endpoint under its name in the URL.
func (r *receiver) Know(name string, secret webhook.Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[name] = secret
}

// Behave changes the behaviour at some endpoints. Requests that hang at them are let go without an answer.
func (r *receiver) Behave(b behaviour, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.behaviours[name] = b
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Accepted is how many requests were accepted.
func (r *receiver) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// Requests is a copy of what came, in the order in which the bodies were complete.
func (r *receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Request, len(r.requests))
	for i, q := range r.requests {
		all[i] = *q
	}
	return all
}

// ServeHTTP takes one request.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender died in the middle of it: no request
	}
	q := r.note(req, body)
	switch b, wait, changed := r.behaviourAt(q.Endpoint); b {
	case hanging:
		select {
		case <-changed:
		case <-req.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case flapping:
		switch r.dice(4) {
		case 0:
			http.Error(w, "down", http.StatusInternalServerError)
			return
		case 1:
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		case 2:
			panic(http.ErrAbortHandler)
		}
	default:
		if !pause(req.Context(), wait) {
			return // the sender has gone and nothing was promised
		}
	}
	r.accept(w, q)
}

// note reads a request and remembers it.
func (r *receiver) note(req *http.Request, body []byte) *Request {
	q := &Request{
		WebhookID: req.Header.Get(webhook.HeaderID), Endpoint: strings.TrimPrefix(req.URL.Path, "/"),
		Body: sha256.Sum256(body), At: time.Now(),
	}
	r.mu.Lock()
	secret, known := r.secrets[q.Endpoint]
	r.mu.Unlock()
	if !known {
		q.Invalid = "there is no such endpoint"
	} else if m, err := webhook.VerifyMessage(req.Header, body, []webhook.Secret{secret}); err != nil {
		q.Invalid = err.Error()
	} else {
		for _, e := range m.Events {
			seen := EventRef{Event: e.ID}
			if e.Data.Payment != nil {
				seen.Payment, seen.Sequence = e.Data.Payment.ID, int(e.Data.Payment.Sequence)
			}
			q.Events = append(q.Events, seen)
		}
	}
	q.Attempt, _ = strconv.Atoi(req.Header.Get(webhook.HeaderAttempt)) // 0 is no attempt's number
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, q)
	return q
}

// accept answers 204, unless a breakpoint kills the sender at this moment.
func (r *receiver) accept(w http.ResponseWriter, q *Request) {
	whose := ""
	if r.points.Waits(beforeAnswer, afterAccepted) {
		whose = r.sender(q.WebhookID, q.Endpoint)
	}
	r.mu.Lock()
	q.Accepted = true
	r.accepted++
	r.mu.Unlock()
	if whose != "" {
		r.points.At(beforeAnswer, whose)
	}
	w.WriteHeader(http.StatusNoContent)
	if whose != "" && r.points.Waits(afterAccepted) && http.NewResponseController(w).Flush() == nil {
		r.points.At(afterAccepted, whose)
	}
}

func (r *receiver) behaviourAt(endpoint string) (behaviour, time.Duration, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.behaviours[endpoint]
	wait := time.Duration(r.random.Int64N(int64(usualDelay)))
	switch b {
	case slow:
		wait = slowLeast + time.Duration(r.random.Int64N(int64(slowMost-slowLeast)))
	case busy:
		wait = busyDelay
	}
	return b, wait, r.changed
}

func (r *receiver) dice(sides int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(sides)
}

// pause waits, and reports whether ctx lasted as long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
