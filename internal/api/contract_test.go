package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit/contract"
)

// ServeHTTP holds every answer of the real server against the OpenAPI file: its status, headers and body. Every request
// of the tests goes through here.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.contract.Handler(c.Server, func(err error) { c.t.Error(err) }).ServeHTTP(w, r)
}

// held is a server whose errors are held against the OpenAPI file; what its handlers echo is not.
type held struct {
	*Server
	t        testing.TB
	contract *contract.Contract
}

func newContract(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.New(OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.contract.Handler(h.Server, func(err error) {
		if !strings.Contains(err.Error(), "answers 200") {
			h.t.Error(err)
		}
	}).ServeHTTP(w, r)
}
