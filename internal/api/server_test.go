package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/api/reference"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testNow() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }

// testServer has every operation of the file, with the middleware of production, with handlers that answer the body
// they got.
func testServer(t testing.TB, log io.Writer) *held {
	t.Helper()
	s, err := New(Options{Logger: slog.New(slog.NewJSONHandler(log, nil)), Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	before := s.middleware(func([]string) []echo.MiddlewareFunc { return nil })
	for _, op := range s.spec.Operations() {
		s.echo.Add(op.Method, echoPath(op.Path), func(c echo.Context) error {
			body, err := io.ReadAll(c.Request().Body)
			if err != nil {
				return err
			}
			return c.Blob(http.StatusOK, "application/json", body)
		}, before[op.ID]...)
	}
	return &held{s, t, newContract(t)}
}

// echoPath writes /a/{id} as Echo does: /a/:id.
func echoPath(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }

// routesOf are the operations by method, a space and the path as Echo writes it.
func routesOf(s *Server) map[string]*openapi.Operation {
	all := make(map[string]*openapi.Operation)
	for _, op := range s.spec.Operations() {
		all[op.Method+" "+echoPath(op.Path)] = op
	}
	return all
}

func loadSpec(t testing.TB) *openapi.Spec {
	t.Helper()
	s, err := openapi.Load(OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request with a fixed request id; JSON is assumed unless the headers say otherwise.
func ask(s http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Request-Id", "req_test")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// golden compares a problem document with testdata/problems/name.json.
func golden(t *testing.T, name string, w *httptest.ResponseRecorder) {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type is %q, the body %s", got, w.Body)
	}
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != w.Code || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("the document says %d for %q, the answer %d for %q", p.Status, p.RequestID, w.Code,
			w.Header().Get("X-Request-Id"))
	}
	checkProblemSchema(t, w.Body.Bytes())
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "problems", name+".json")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func checkProblemSchema(t *testing.T, doc []byte) {
	t.Helper()
	s := loadSpec(t)
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	if err := s.Document().Components.Schemas["Problem"].Value.VisitJSON(v); err != nil {
		t.Errorf("not a Problem of openapi.yaml: %v", err)
	}
}

func TestRequestIDs(t *testing.T) {
	s := testServer(t, io.Discard)
	for given, accepted := range map[string]bool{
		"req-1.a:b_c": true, "": false, "has space": false, "new\tline": false, strings.Repeat("x", 129): false, "ck_live_secret": false, "<script>": false,
	} {
		w := ask(s, http.MethodGet, "/api/v1/assets", "", "X-Request-Id", "", "X-Request-Id", given)
		got := w.Header().Get("X-Request-Id")
		if (got == given) != accepted || got == "" || !saneRequestID.MatchString(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestHeadersAndRoutes(t *testing.T) {
	s := testServer(t, io.Discard)
	s.https = true
	w := ask(s, http.MethodGet, "/api/v1/assets", "")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	w = ask(s, http.MethodPut, "/api/v1/payments", "{}")
	if allow := w.Header().Get("Allow"); w.Code != http.StatusMethodNotAllowed || !strings.Contains(allow, "POST") ||
		!strings.Contains(allow, "GET") {
		t.Errorf("PUT: %d, Allow %q", w.Code, allow)
	}
	golden(t, "method_not_allowed", w)
	golden(t, "no_such_route", ask(s, http.MethodGet, "/api/v1/nothing", ""))
	if w := ask(s, http.MethodHead, "/nothing", ""); w.Code != http.StatusNotFound || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

// TestCrossOrigin: browsers are told nothing unless an origin is set, and then only that one, for merchants' routes
// alone.
func TestCrossOrigin(t *testing.T) {
	preflight := func(c *counter, origin, path string) http.Header {
		return ask(c, "OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization").Header()
	}
	closed := newCounter(t, storetest.SQLite(t))
	if h := preflight(closed, "https://shop.example", "/api/v1/payments"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("closed: %v", h)
	}
	open := newCounter(t, storetest.SQLite(t), func(o *Options) { o.Limits.Origins = []string{"https://shop.example"} })
	_, key := open.merchant(t, "a", false)
	if h := preflight(open, "https://shop.example",
		"/api/v1/payments"); h.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
		h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("its own: %v", h)
	}
	for _, c := range [][2]string{{"https://evil.example", "/api/v1/payments"},
		{"https://shop.example.evil.example", "/api/v1/payments"}, {"null", "/api/v1/payments"},
		{"https://shop.example", "/admin/v1/pauses"}, {"https://shop.example", "/docs"}} {
		if h := preflight(open, c[0], c[1]); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s at %s: %v", c[0], c[1], h)
		}
	}
	if h := open.ask(key, "GET", "/api/v1/payments", "", "Origin",
		"https://shop.example").Header(); h.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		!strings.Contains(h.Get("Access-Control-Expose-Headers"), "RateLimit-Remaining") {
		t.Errorf("an answer: %v", h)
	}
}

func TestPanicsShowNothing(t *testing.T) {
	var log bytes.Buffer
	s := testServer(t, &log)
	s.echo.GET("/panic", func(echo.Context) error { panic("the insides") })
	s.echo.GET("/fail", func(echo.Context) error { return io.ErrNoProgress })
	w := ask(s, http.MethodGet, "/panic", "")
	golden(t, "internal", w)
	golden(t, "internal", ask(s, http.MethodGet, "/fail", ""))
	if !strings.Contains(log.String(), "the insides") || !strings.Contains(log.String(), `"error":"multiple Read calls`) ||
		strings.Count(log.String(), `"level":"ERROR","msg":"request.served"`) != 2 {
		t.Errorf("the log is %s", &log)
	}
}

func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	s := testServer(t, &log)
	s.Mount("/pay/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	if w := ask(s, http.MethodGet, "/pay/co_secrettoken", ""); w.Body.String() != "/pay/co_secrettoken" {
		t.Errorf("mounted handler: %d %s", w.Code, w.Body)
	}
	ask(s, http.MethodPost, "/api/v1/payments?token=querysecret", `{"chain":"bodysecret"}`, "Authorization",
		"Bearer ck_live_headersecret")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || strings.Contains(log.String(), "secret") {
		t.Fatalf("the log is %s", &log)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msg": "request.served", "request_id": "req_test", "method": "POST", "route": "/api/v1/payments", "path": "/api/v1/payments",
		"status": 400.0, "code": "invalid_request", "remote_ip": "192.0.2.1",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

// TestRequestsAreCounted: by the route and never by the path, and everything that has no route under one name.
func TestRequestsAreCounted(t *testing.T) {
	metrics := telemetry.NewMetrics()
	c := newCounter(t, storetest.SQLite(t), func(o *Options) { o.Metrics = metrics })
	c.Mount("/pay/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	_, key := c.merchant(t, "a", false)
	c.ask(key, "GET", "/api/v1/payments/pay_0k3mzq8r5v7w2x9y4b6c1d0efg", "")
	c.ask(key, "GET", "/api/v1/payments/pay_1k3mzq8r5v7w2x9y4b6c1d0efg", "")
	c.ask("", "GET", "/api/v1/assets", "")
	c.ask(key, "HEAD", "/api/v1/assets", "")
	c.ask(key, "PUT", "/api/v1/assets", "{}")
	c.ask("", "GET", "/pay/co_token", "")
	for _, path := range []string{"/api/v1/none", "/wp-admin/x", "/"} {
		c.ask("", "GET", path, "")
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "ctrip_api_requests_total{") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`ctrip_api_requests_total{code="200",method="GET",route="/"} 1`,
		`ctrip_api_requests_total{code="200",method="GET",route="/api/v1/assets"} 1`,
		`ctrip_api_requests_total{code="401",method="GET",route="/api/v1/assets"} 1`,
		`ctrip_api_requests_total{code="404",method="GET",route="/api/v1/payments/:id"} 2`,
		`ctrip_api_requests_total{code="404",method="GET",route="unmatched"} 2`,
		`ctrip_api_requests_total{code="405",method="PUT",route="/api/v1/assets"} 1`,
		`ctrip_api_requests_total{code="418",method="GET",route="/pay/*"} 1`,
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBodyLimit(t *testing.T) {
	s := testServer(t, io.Discard)
	big := `{"chain":"` + strings.Repeat("x", maxBody) + `"}`
	golden(t, "body_too_large", ask(s, http.MethodPost, "/api/v1/payments", big))
	// no Content-Length
	r := httptest.NewRequest(http.MethodPost, "/api/v1/payments", io.MultiReader(strings.NewReader(big)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "req_test")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	golden(t, "body_too_large", w)
}

func TestReference(t *testing.T) {
	s := testServer(t, io.Discard)
	w := ask(s, http.MethodGet, "/openapi.yaml", "")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), OpenAPI()) || w.Header().Get("Content-Type") != "application/yaml" {
		t.Errorf("/openapi.yaml: %d %s", w.Code, w.Header())
	}
	w = ask(s, http.MethodGet, "/docs", "")
	page := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Security-Policy") != reference.Policy {
		t.Errorf("/docs: %d %s", w.Code, w.Header())
	}
	for _, op := range s.spec.Operations() {
		if !strings.Contains(page, `<article id="`+op.ID+`">`) {
			t.Errorf("/docs lacks %s", op.ID)
		}
	}
	for name := range s.spec.Document().Components.Schemas {
		if !strings.Contains(page, `id="schema-`+name+`"`) {
			t.Errorf("/docs lacks %s", name)
		}
	}
	for _, k := range kinds {
		if !strings.Contains(page, `id="problem-`+string(k.code)+`"`) {
			t.Errorf("/docs lacks %s", k.code)
		}
	}
	script := `<script src="/docs/reference.js" defer></script>`
	if strings.Count(page, script) != 1 {
		t.Error("/docs lacks its script")
	}
	page = strings.Replace(page, script, "", 1) // nothing else runs, and nothing comes from elsewhere
	for _, ban := range []string{"<script", "style=", "src=", "@import", "ZgotmplZ", "&lt;code"} {
		if strings.Contains(page+string(reference.CSS()), ban) {
			t.Errorf("/docs holds %q", ban)
		}
	}
	for part := range strings.SplitSeq(page, `href="#`) {
		if anchor, _, ok := strings.Cut(part, `"`); ok && !strings.HasPrefix(part, "<!doctype") &&
			!strings.Contains(page, `id="`+anchor+`"`) {
			t.Errorf("/docs links to #%s, which is not there", anchor)
		}
	}
	if w := ask(s, http.MethodGet, "/docs/reference.css", ""); w.Code != 200 ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("style sheet: %d %s", w.Code, w.Header())
	}
	if w := ask(s, http.MethodGet, "/docs/reference.js", ""); w.Code != 200 ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("script: %d %s", w.Code, w.Header())
	}
}
