package api

import (
	"context"
	"io"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3filter"
)

// keepsContract holds an answer of the real server against the OpenAPI file: its status, headers and body. Every request of
// the tests that use a counter goes through here.
func (c *counter) keepsContract(method, target string, w *httptest.ResponseRecorder) {
	c.t.Helper()
	path, _, _ := strings.Cut(target, "?")
	for route, op := range c.spec.operations {
		m, pattern, _ := strings.Cut(route, " ")
		if m != method || !slices.EqualFunc(strings.Split(pattern, "/"), strings.Split(path, "/"), func(p, s string) bool { return p == s || p == ":id" && s != "" }) {
			continue
		}
		err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: httptest.NewRequest(method, target, nil), Route: op.route},
			Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(strings.NewReader(w.Body.String())),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			c.t.Errorf("%s %s answers %d, which the OpenAPI file does not allow: %v", method, target, w.Code, err)
		}
		return
	}
	c.t.Errorf("%s %s is not in the OpenAPI file", method, target)
}
