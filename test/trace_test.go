package test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// span is what a collector was told of one.
type span struct{ name, trace, id, parent, service string }

// tracesOf is a collector of our own.
type tracesOf struct {
	url string
	mu  sync.Mutex
	all map[string]span // by id
}

func newTraceCollector(t *testing.T) *tracesOf {
	t.Helper()
	c := &tracesOf{all: make(map[string]span)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		raw, err := io.ReadAll(body)
		var batch collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(raw, &batch) != nil {
			t.Errorf("%s is not what a collector is sent: %v", raw, err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range batch.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					one := span{name: s.Name, trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId),
						parent: hex.EncodeToString(s.ParentSpanId)}
					for _, a := range of.Resource.Attributes {
						if a.Key == "service.name" {
							one.service = a.Value.GetStringValue()
						}
					}
					c.all[one.id] = one
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// parts takes a traceparent header apart.
func parts(t *testing.T, r testkit.Received) (trace, id string) {
	t.Helper()
	f := strings.Split(r.Header.Get("Traceparent"), "-")
	if len(f) != 4 {
		t.Fatalf("%s of %s has the traceparent %q", r.Type(), r.ID(), r.Header.Get("Traceparent"))
	}
	return f[1], f[2]
}

// TestOneTrace follows two events from their cause to the receiver: payment.created from the request that made the
// payment, whose caller names a trace, and payment.confirmed from its block. Retries and replays join the trace, and a
// collector has the whole tree: the attempt that a receiver sees hangs below the request, or the block.
func TestOneTrace(t *testing.T) {
	const theirs, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	c := startDevnet(t)
	traces := newTraceCollector(t)
	h := newFixture(t, gethNode(c, 2), "OTEL_EXPORTER_OTLP_ENDPOINT="+traces.url, "WEBHOOK_RETRY_BASE=1s")
	var mu sync.Mutex
	failed := make(map[string]bool)
	h.receiver.Script(func(r testkit.Received) testkit.Answer {
		mu.Lock()
		defer mu.Unlock()
		if !failed[r.Type()] { // the first of each kind
			failed[r.Type()] = true
			return testkit.Answer{Status: http.StatusInternalServerError}
		}
		return testkit.Answer{}
	})
	req, err := http.NewRequest(http.MethodPost, h.APIURL+"/api/v1/payments",
		strings.NewReader(`{"chain":"`+h.Chain+`","asset":"native","amount":"1000"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.merchant.Key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+theirs+"-"+caller+"-01")
	res, err := h.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var p struct{ ID, Address string }
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	if _, err := c.SendNative(t.Context(), c.DemoPayer(), p.Address, big.NewInt(1000)); err != nil {
		t.Fatal(err)
	}
	of := func(kind string, n int) []testkit.Received {
		t.Helper()
		var got []testkit.Received
		testkit.Eventually(t, time.Minute, kind+" arrives", func() bool {
			got = nil
			for _, r := range h.receiver.All() {
				if r.Type() == kind {
					got = append(got, r)
				}
			}
			return len(got) >= n
		})
		return got
	}
	of("payment.created", 2) // a failure and a retry
	confirmed := of("payment.confirmed", 2)
	h.waitDelivered()
	var d string
	if err := h.DB.QueryRow("SELECT id FROM deliveries WHERE event_id = $1", confirmed[0].ID()).Scan(&d); err != nil {
		t.Fatal(err)
	}
	if got := h.Call(h.merchant.Key, http.MethodPost, "/api/v1/deliveries/"+d+"/redeliver", "", nil, nil); got/100 != 2 {
		t.Fatalf("redeliver: %d", got)
	}
	of("payment.confirmed", 3)
	h.waitDelivered()
	of("payment.created", 2)
	h.Ctl("replay", "start", h.endpointID())
	created := of("payment.created", 3)
	confirmed = of("payment.confirmed", 4)
	h.waitDelivered()
	h.StopAll() // which sends the last spans

	block, _ := parts(t, confirmed[0])
	if block == theirs {
		t.Error("a block belongs to the trace of a request")
	}
	h.wantTree(traces, created, theirs, "api.request", caller)
	h.wantTree(traces, confirmed, block, "chain.record", "")
	wantLines(t, h.Gateway, "api", "request.served", "/api/v1/payments", theirs)
	wantLines(t, h.Gateway, "scanner", "payment.moved", "payment.confirmed", block)
	wantLines(t, h.Gateway, "worker", "delivery.attempted", created[0].ID(), theirs)
	wantLines(t, h.Gateway, "worker", "delivery.attempted", confirmed[0].ID(), block)
}

// waitDelivered waits until nothing waits any more.
func (h *fixture) waitDelivered() {
	h.t.Helper()
	testkit.Eventually(h.t, time.Minute, "every delivery is delivered", func() bool {
		var n int
		err := h.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
}

// endpointID is the id of the merchant's one endpoint.
func (h *fixture) endpointID() (id string) {
	h.t.Helper()
	if err := h.DB.QueryRow("SELECT id FROM webhook_endpoints").Scan(&id); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// wantTree holds that each request that was received is a span below one of the cause, which itself has that parent.
func (h *fixture) wantTree(c *tracesOf, requests []testkit.Received, trace, cause, above string) {
	h.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]bool)
	for _, r := range requests {
		got, id := parts(h.t, r)
		attempt := c.all[id]
		root := c.all[attempt.parent]
		if got != trace || seen[id] || attempt.name != "webhook.attempt" || attempt.trace != trace ||
			attempt.service != "ctrip-worker" || root.name != cause || root.trace != trace || root.parent != above {
			h.t.Errorf("%s %s: trace %s, want %s; attempt %+v below %+v", r.Type(), r.ID(), got, trace, attempt, root)
		}
		seen[id] = true
	}
}

// wantLines holds that the lines of a process that tell of something carry the trace.
func wantLines(t *testing.T, g *gateway.Gateway, process, msg, about, trace string) {
	t.Helper()
	log, err := os.ReadFile(g.LogFile(process))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, line := range bytes.Split(log, []byte("\n")) {
		if !bytes.Contains(line, []byte(`"msg":"`+msg+`"`)) || !bytes.Contains(line, []byte(about)) {
			continue
		}
		if found = bytes.Contains(line, []byte(`"trace_id":"`+trace+`"`)); found && msg != "delivery.attempted" {
			return
		} else if msg == "delivery.attempted" && !found {
			t.Errorf("%s: %s has not the trace %s", process, line, trace)
		}
	}
	if !found {
		t.Errorf("no line %s of %s about %s has the trace %s", msg, process, about, trace)
	}
}
