package contract_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit/contract"
)

const file = `
openapi: 3.0.3
info: {title: t, version: v1}
paths:
  /api/v1/things/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      responses:
        '200':
          description: A thing.
          content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: string}}}}}
        '404': {description: 'Code: ` + "`not_found`" + `.', content: {application/problem+json: {schema: {$ref: '#/components/schemas/Problem'}}}}
        '429': {description: 'Code: ` + "`rate_limited`" + `.', headers: {Retry-After: {schema: {type: integer}}}, content: {application/problem+json: {schema: {$ref: '#/components/schemas/Problem'}}}}
    delete:
      responses: {'204': {description: Gone.}}
components:
  schemas:
    Problem: {type: object, required: [code], properties: {code: {type: string}}}
`

func TestCheck(t *testing.T) {
	c, err := contract.New([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	good := func() contract.Answer {
		h := http.Header{"Content-Type": {"application/json"}}
		for _, name := range []string{"X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} {
			h.Set(name, "1")
		}
		return contract.Answer{Method: "GET", Target: "/api/v1/things/a%20b?x=y", Status: 200, Header: h,
			Body: []byte(`{"id":"a b"}`)}
	}
	problem := func(status int, code string) contract.Answer {
		a := good()
		a.Status, a.Body = status, []byte(`{"code":"`+code+`"}`)
		a.Header.Set("Content-Type", "application/problem+json")
		return a
	}
	with := func(a contract.Answer, f func(*contract.Answer)) contract.Answer {
		f(&a)
		return a
	}
	for name, q := range map[string]struct {
		answer contract.Answer
		want   string // "" is as it should be
	}{
		"good":                {good(), ""},
		"good problem":        {problem(404, "not_found"), ""},
		"another host's page": {contract.Answer{Method: "GET", Target: "/docs", Status: 200}, ""},
		"no such route":       {with(problem(404, "x"), func(a *contract.Answer) { a.Target = "/api/v1/none" }), ""},
		"status":              {problem(418, "x"), "status is not supported"},
		"body":                {with(good(), func(a *contract.Answer) { a.Body = []byte(`{"id":7}`) }), "value must be a string"},
		"unknown field":       {with(good(), func(a *contract.Answer) { a.Body = []byte(`{"id":"a","secret":"x"}`) }), "secret"},
		"no request id":       {with(good(), func(a *contract.Answer) { a.Header.Del("X-Request-Id") }), "lacks X-Request-Id"},
		"no rate":             {with(good(), func(a *contract.Answer) { a.Header.Del("RateLimit-Reset") }), "lacks RateLimit-Reset"},
		"undescribed header":  {with(good(), func(a *contract.Answer) { a.Header.Set("ETag", `"1"`) }), "has ETag"},
		"code":                {problem(404, "conflict"), "has the code conflict"},
		"no wait":             {problem(429, "rate_limited"), "lacks Retry-After"},
		"a bad wait":          {with(problem(429, "rate_limited"), func(a *contract.Answer) { a.Header.Set("Retry-After", "soon") }), "Retry-After"},
		"type of an error":    {with(problem(404, "not_found"), func(a *contract.Answer) { a.Header.Set("Content-Type", "text/plain") }), `of type "text/plain"`},
		"no good value": {with(problem(404, "not_found"), func(a *contract.Answer) {
			a.Body = []byte(`{"code":"not_found","errors":[{"field":"x","message":"y"}]}`)
		}), "without its fault or a good value"},
		"beside the file": {with(good(), func(a *contract.Answer) { a.Target = "/api/v1/none" }), "is not in the file"},
		"body of nothing": {with(good(), func(a *contract.Answer) { a.Method, a.Status = "DELETE", 204 }), "has a body"},
	} {
		err := c.Check(q.answer)
		if (err == nil) != (q.want == "") || err != nil && !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s: %v, want %q", name, err, q.want)
		}
	}
}

// TestTransportAndHandler: both let an answer through unchanged and report it.
func TestTransportAndHandler(t *testing.T) {
	c, err := contract.New([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 2)
	report := func(err error) { said <- err.Error() }
	server := httptest.NewServer(c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "tea")
	}), report))
	defer server.Close()
	client := &http.Client{Transport: c.Transport(http.DefaultTransport, report)}
	res, err := client.Get(server.URL + "/api/v1/things/a")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "tea" || res.StatusCode != http.StatusTeapot {
		t.Errorf("%d %s, %v", res.StatusCode, body, err)
	}
	if a, b := <-said, <-said; !strings.Contains(a, "418") || !strings.Contains(b, "418") {
		t.Errorf("%s; %s", a, b)
	}
}
