package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
)

// script is a server that answers by turn, the last answer for good, and remembers what it was asked.
type script struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newScript(t *testing.T, answers ...http.HandlerFunc) *script {
	s := &script{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.mu.Lock()
		n := len(s.seen)
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// asked is every request up to now.
func (s *script) asked() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *script) client(t *testing.T, retries int) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: s.URL + "/", Key: "ck_test_x", Retries: retries})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answers(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// breaks ends the connection without an answer.
func breaks(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

func problem(code string, status int) string {
	return fmt.Sprintf(`{"type":"/docs","title":"No","status":%d,"code":%q,"request_id":"req_1"}`, status, code)
}

// TestRetries: what is sent again, how often, and what is not.
func TestRetries(t *testing.T) {
	good := answers(200, `{"id":"x"}`)
	get := func(c *client.Client) error { _, err := c.GetPayment(t.Context(), "pay_1"); return err }
	post := func(c *client.Client) error {
		_, err := c.CreatePayment(t.Context(), client.PaymentCreate{Chain: "c", Asset: "native", Amount: new("1")})
		return err
	}
	patch := func(c *client.Client) error {
		_, err := c.UpdateWebhookEndpoint(t.Context(), "we_1", client.WebhookEndpointUpdate{Timeout: client.Set(3)})
		return err
	}
	remove := func(c *client.Client) error { return c.RevokeAPIKey(t.Context(), "key_1") }
	operate := func(c *client.Client) error {
		_, err := c.PauseAll(t.Context(), client.Pause{Reason: "r"})
		return err
	}
	busy := answers(429, problem("rate_limited", 429), "Retry-After", "0")
	for _, c := range []struct {
		name    string
		do      func(*client.Client) error
		retries int
		answers []http.HandlerFunc
		sent    int
		ok      bool
	}{
		{"a GET over a broken connection", get, 0, []http.HandlerFunc{breaks, good}, 2, true},
		{"a POST over a broken connection", post, 0, []http.HandlerFunc{breaks, good}, 2, true},
		{"a PATCH over a broken connection", patch, 0, []http.HandlerFunc{breaks, good}, 1, false},
		{"a DELETE over a broken connection", remove, 0, []http.HandlerFunc{breaks, good}, 1, false},
		{"an operator's POST over a broken connection", operate, 0, []http.HandlerFunc{breaks, good}, 2, true},
		{"a PATCH that was turned away", patch, 0, []http.HandlerFunc{busy, good}, 2, true},
		{"a POST that was turned away", post, 0, []http.HandlerFunc{busy, good}, 2, true},
		{"a GET while the gateway is away", get, 0, []http.HandlerFunc{answers(503, problem("unavailable", 503)), answers(502, "<h1>Bad Gateway"), good}, 3, true},
		{"a PATCH while the gateway is away", patch, 0, []http.HandlerFunc{answers(503, problem("unavailable", 503)), good}, 1, false},
		{"a POST whose twin is under way", post, 0, []http.HandlerFunc{answers(409, problem("idempotency_in_progress", 409)), good}, 2, true},
		{"a conflict", post, 0, []http.HandlerFunc{answers(409, problem("order_id_taken", 409)), good}, 1, false},
		{"a refusal", get, 0, []http.HandlerFunc{answers(400, problem("invalid_request", 400)), good}, 1, false},
		{"an internal error", post, 0, []http.HandlerFunc{answers(500, problem("internal", 500)), good}, 1, false},
		{"a wait that is too long", get, 0, []http.HandlerFunc{answers(429, problem("rate_limited", 429), "Retry-After", "3600"), good}, 1, false},
		{"no retries", get, -1, []http.HandlerFunc{breaks, good}, 1, false},
		{"one retry", get, 1, []http.HandlerFunc{breaks}, 2, false},
		{"a redirect", get, 0, []http.HandlerFunc{answers(302, "", "Location", "/elsewhere"), good}, 1, false},
		{"a page instead of JSON", get, 0, []http.HandlerFunc{answers(200, "<html>", "Content-Type", "text/html")}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, c.answers...)
			err := c.do(s.client(t, c.retries))
			seen := s.asked()
			if (err == nil) != c.ok || len(seen) != c.sent {
				t.Fatalf("sent %d times, want %d: %v", len(seen), c.sent, err)
			}
			first, _ := io.ReadAll(seen[0].Body)
			for _, r := range seen[1:] {
				body, _ := io.ReadAll(r.Body)
				if string(body) != string(first) || r.Header.Get("Idempotency-Key") != seen[0].Header.Get("Idempotency-Key") ||
					r.Header.Get("Authorization") != "Bearer ck_test_x" {
					t.Errorf("sent again with another body, key or authorization: %s, %v", body, r.Header)
				}
			}
			if err != nil && strings.Contains(err.Error(), "ck_test_x") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// TestRetryObeysContext: a wait that ends after the deadline is not begun, and one that is cut short is an error.
func TestRetryObeysContext(t *testing.T) {
	s := newScript(t, answers(503, problem("unavailable", 503), "Retry-After", "20"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	_, err := s.client(t, 0).GetMerchant(ctx)
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != "unavailable" || p.RetryAfter != 20*time.Second ||
		time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := s.client(t, 0).GetMerchant(ctx); !errors.As(err, &p) || len(s.asked()) != 2 {
		t.Errorf("canceled: %d, %v", len(s.asked()), err)
	}
}

// TestLostAnswers: the real gateway behind a proxy that loses the first answer to every request makes one payment a
// call.
func TestLostAnswers(t *testing.T) {
	target, err := url.Parse(gw.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var lost atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lost.Add(1)%2 == 1 {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer s.Close()
	_, key := gw.NewMerchant()
	c, err := client.New(client.Options{URL: s.URL, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		var a client.Answer
		if _, err := c.CreatePayment(t.Context(), client.PaymentCreate{Chain: "devnet", Asset: "native", Amount: new("7")},
			client.Into(&a)); err != nil {
			t.Fatal(err)
		}
		if !a.Replayed() || a.Status != http.StatusCreated {
			t.Errorf("%d: %d, replayed %v", i, a.Status, a.Replayed())
		}
	}
	n := 0
	for _, err := range c.Payments(t.Context(), client.ListPaymentsParams{Limit: new(2)}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d payments", n)
	}
}

// TestExportCutShort: a part is never taken for the whole.
func TestExportCutShort(t *testing.T) {
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/csv" {
			t.Errorf("Accept is %q", r.Header.Get("Accept"))
		}
		io.WriteString(w, "id,order_id\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	csv, err := s.client(t, 0).ExportDeliveries(t.Context(), client.ListDeliveriesParams{})
	if err != nil {
		t.Fatal(err)
	}
	defer csv.Close()
	if text, err := io.ReadAll(csv); err == nil {
		t.Errorf("a whole export: %s", text)
	}
	refused := newScript(t, answers(403, problem("insufficient_scope", 403)))
	var p *client.Problem
	if _, err := refused.client(t, 0).ExportPayments(t.Context(), client.ListPaymentsParams{}); !errors.As(err, &p) ||
		p.Code != "insufficient_scope" {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []client.Options{
		{}, {URL: "pay.example", Key: "k"}, {URL: "ftp://pay.example", Key: "k"}, {URL: "https://u:p@pay.example", Key: "k"}, {URL: "https://pay.example?x=1", Key: "k"},
		{URL: "https://pay.example"}, {URL: "https://pay.example", Key: "k\n"}, {URL: "https://pay.example", Key: "kéy"},
	} {
		if _, err := client.New(o); err == nil {
			t.Errorf("%q, %q was accepted", o.URL, o.Key)
		}
	}
	c, err := client.New(client.Options{URL: "https://pay.example/gateway/", Key: "ck_live_secret",
		HTTPClient: &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") },
		}}, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(text, "secret") ||
		!strings.Contains(text, "https://pay.example/gateway") {
		t.Error(text)
	}
	if _, err := c.GetMerchant(t.Context()); err == nil || !strings.Contains(err.Error(), "no way") {
		t.Error(err)
	}
}
