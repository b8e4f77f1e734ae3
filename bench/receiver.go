package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// counts is what a receiver has seen since its last reset.
type counts struct {
	Requests    int64 `json:"requests"`
	MaxInFlight int64 `json:"max_in_flight"`
}

// runReceiver is the receiver's process: it answers 204 after as many milliseconds as the query ms says, and notes when
// the request for each webhook-id came. Its first line of output is its address. It ends with its standard input.
func runReceiver([]string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var seen receipts
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { seen.reset() })
	mux.HandleFunc("GET /_counts", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(counts{seen.requests.Load(), seen.most.Load()}) // a reader that left needs no error
	})
	mux.HandleFunc("GET /_times", func(w http.ResponseWriter, _ *http.Request) { seen.write(w) })
	mux.HandleFunc("POST /", seen.serve)
	fmt.Println(l.Addr())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
	}()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// receipts are the requests that came.
type receipts struct {
	requests, inFlight, most atomic.Int64
	mu                       sync.Mutex
	ids                      []string
	times                    []int64 // Unix nanoseconds
}

func (s *receipts) serve(w http.ResponseWriter, r *http.Request) {
	at := time.Now().UnixNano()
	now := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	id := strings.Clone(r.Header.Get(webhook.HeaderID))
	s.mu.Lock()
	s.ids, s.times = append(s.ids, id), append(s.times, at)
	s.mu.Unlock()
	if ms, found := strings.CutPrefix(r.URL.RawQuery, "ms="); found {
		n, _ := strconv.Atoi(ms)
		timer := time.NewTimer(time.Duration(n) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	s.requests.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

func (s *receipts) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests.Store(0)
	s.most.Store(0)
	s.ids, s.times = nil, nil
}

func (s *receipts) write(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := bufio.NewWriter(w)
	for i, id := range s.ids {
		fmt.Fprintf(b, "%s %d\n", id, s.times[i])
	}
	_ = b.Flush() // as above
}

// receiver is the bench's side of a receiver's process.
type receiver struct {
	t   testkit.TB
	url string
}

func startReceiver(t testkit.TB) *receiver {
	t.Helper()
	p := startPart(t, "_receiver")
	return &receiver{t, "http://" + p.line()}
}

// endpoint is the URL that answers after delay.
func (r *receiver) endpoint(delay time.Duration) string {
	if delay == 0 {
		return r.url + "/hooks"
	}
	return fmt.Sprintf("%s/hooks?ms=%d", r.url, delay.Milliseconds())
}

func (r *receiver) reset() {
	r.t.Helper()
	res, err := http.Post(r.url+"/_reset", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
}

func (r *receiver) counts() (c counts) {
	r.t.Helper()
	r.get("/_counts", func(body io.Reader) error { return json.NewDecoder(body).Decode(&c) })
	return c
}

// sights are when each id was first received, and how many requests there were.
func (r *receiver) sights() (first map[string]time.Time, requests int) {
	r.t.Helper()
	first = make(map[string]time.Time)
	r.get("/_times", func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			id, at, _ := strings.Cut(lines.Text(), " ")
			ns, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return err
			}
			requests++
			if _, again := first[id]; !again {
				first[id] = time.Unix(0, ns)
			}
		}
		return lines.Err()
	})
	return first, requests
}

func (r *receiver) get(path string, read func(io.Reader) error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := read(res.Body); err != nil {
		r.t.Fatal(err)
	}
}

// wait waits until n requests were answered.
func (r *receiver) wait(n int, patience time.Duration) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c := r.counts()
		if c.Requests >= int64(n) {
			return
		}
		if r.t.Context().Err() != nil || time.Now().After(deadline) {
			r.t.Fatalf("within %s only %d of %d requests came", patience, c.Requests, n)
		}
	}
}
