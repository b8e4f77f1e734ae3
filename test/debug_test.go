package test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// seenDelivery is what a merchant reads of a delivery.
type seenDelivery struct {
	ID         string `json:"id"`
	EventID    string `json:"event_id"`
	EventType  string `json:"event_type"`
	State      string `json:"state"`
	LastClass  string `json:"last_class"`
	CreatedAt  string `json:"created_at"`
	AttemptLog []struct {
		Class           string             `json:"class"`
		Status          int                `json:"status"`
		RequestHeaders  map[string]string  `json:"request_headers"`
		ResponseHeaders map[string]string  `json:"response_headers"`
		ResponseBody    string             `json:"response_body"`
		RemoteIP        string             `json:"remote_ip"`
		Timings         map[string]float64 `json:"timings_ms"`
	} `json:"attempt_log"`
}

// TestDebugADelivery is a merchant with a receiver on TLS: a test of every event type with its verdict at once,
// everything that the attempt shows, every filter, and the figures of the endpoint.
func TestDebugADelivery(t *testing.T) {
	h := gateway.New(t, gateway.Options{DatabaseURL: testkit.Postgres(t), Env: []string{"WEBHOOK_LANES=1"}})
	checkContract(t, h)
	h.Start("api")
	h.Start("worker")
	h.WaitReady("api", "worker")
	m := h.NewMerchant()
	receiver := testkit.NewTLSReceiver(t)
	receiver.Script(func(r testkit.Received) testkit.Answer {
		if r.Path == "/broken" {
			return testkit.Answer{Status: http.StatusTeapot, Header: http.Header{"X-Why": {"no tea"}},
				Body: []byte("short and stout")}
		}
		return testkit.Answer{Status: http.StatusOK, Body: []byte("thanks")}
	})
	secure := client.WebhookEndpointCreate{CAPEM: new(string(receiver.CA())),
		Headers: &map[string]string{"X-Shop": "hunter2hunter2"}}
	endpoint := func(path string) gateway.Endpoint {
		secure.URL = receiver.URL + path
		return h.NewEndpoint(m, secure)
	}
	fine, broken := endpoint("/fine"), endpoint("/broken")
	try := func(e gateway.Endpoint, kind webhook.EventType, want string) seenDelivery {
		t.Helper()
		var d seenDelivery
		began := time.Now()
		if status := h.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+e.ID+"/test", "",
			map[string]any{"event_type": kind}, &d); status != http.StatusOK {
			t.Fatalf("test: %d", status)
		}
		if d.LastClass != want || len(d.AttemptLog) != 1 || d.EventType != string(kind) {
			t.Fatalf("%s after %v: %+v", kind, time.Since(began), d)
		}
		return d
	}
	for i, kind := range webhook.EventTypes() {
		d := try(fine, kind, "delivered")
		got := receiver.All()[i]
		if e, err := webhook.Verify(got.Header, got.Body, []webhook.Secret{fine.Secret}); err != nil || e.Type != kind ||
			e.ID != d.EventID {
			t.Errorf("%s: %+v, %v", kind, e, err)
		}
		// An address needs no DNS, and the connection is kept.
		for _, name := range []string{"connect", "tls", "first_byte", "total"} {
			if took := d.AttemptLog[0].Timings[name]; took <= 0 && (i == 0 || name != "connect" && name != "tls") {
				t.Errorf("%s took %v ms: %v", name, took, d.AttemptLog[0].Timings)
			}
		}
	}
	d := try(broken, webhook.PaymentConfirmed, "rejected")
	a := d.AttemptLog[0]
	if a.Status != http.StatusTeapot || a.ResponseHeaders["X-Why"] != "no tea" || a.ResponseBody != "short and stout" ||
		a.RemoteIP != "127.0.0.1" || d.State != "pending" {
		t.Errorf("%+v", d)
	}
	raw, err := json.Marshal(a.RequestHeaders)
	if err != nil || strings.Contains(string(raw), "hunter2") || a.RequestHeaders["X-Shop"] != "[redacted]" ||
		a.RequestHeaders["Webhook-Signature"] != "[redacted]" || a.RequestHeaders["Webhook-Id"] != d.EventID {
		t.Errorf("%s, %v", raw, err)
	}
	count := func(query string) int {
		t.Helper()
		var page struct {
			Data []seenDelivery `json:"data"`
		}
		if status := h.Call(m.Key, http.MethodGet, "/api/v1/deliveries?limit=100"+query, "", nil,
			&page); status != http.StatusOK {
			t.Fatalf("%s: %d", query, status)
		}
		return len(page.Data)
	}
	all := len(webhook.EventTypes()) + 1
	at := url.QueryEscape(d.CreatedAt)
	for query, want := range map[string]int{
		"": all, "&endpoint_id=" + fine.ID: all - 1, "&endpoint_id=" + broken.ID: 1, "&state=pending": 1,
		"&state=delivered": all - 1, "&state=dead": 0,
		"&event_type=payment.confirmed": 2, "&event_type=payment.confirmed&state=delivered": 1, "&event_id=" + d.EventID: 1,
		"&created_before=" + at: all - 1, "&created_after=" + at: 1,
	} {
		if got := count(query); got != want {
			t.Errorf("%q: %d deliveries, want %d", query, got, want)
		}
	}
	var stats struct {
		Attempts, Succeeded, Pending int
		SuccessRate                  float64 `json:"success_rate"`
		P50                          float64 `json:"p50_ms"`
		P95                          float64 `json:"p95_ms"`
		Breaker                      struct{ State string }
		Oldest                       *string `json:"oldest_pending_at"`
	}
	h.Call(m.Key, http.MethodGet, "/api/v1/webhook_endpoints/"+fine.ID+"/stats", "", nil, &stats)
	if stats.Attempts != all-1 || stats.Succeeded != all-1 || stats.SuccessRate != 1 || stats.P50 <= 0 ||
		stats.P95 < stats.P50 || stats.Pending != 0 || stats.Breaker.State != "closed" {
		t.Errorf("%+v", stats)
	}
	h.Call(m.Key, http.MethodGet, "/api/v1/webhook_endpoints/"+broken.ID+"/stats", "", nil, &stats)
	if stats.Attempts != 1 || stats.SuccessRate != 0 || stats.Pending != 1 || stats.Oldest == nil {
		t.Errorf("%+v", stats)
	}
	r, err := http.NewRequest(http.MethodGet, h.APIURL+"/api/v1/deliveries?state=delivered", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+m.Key)
	r.Header.Set("Accept", "text/csv")
	res, err := h.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if rows, err := io.ReadAll(res.Body); err != nil || strings.Count(string(rows), "\n") != all {
		t.Errorf("%s, %v", rows, err)
	}
}
