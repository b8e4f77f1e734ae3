package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Contract is an OpenAPI file that answers are held against.
type Contract struct {
	doc        *openapi3.T
	operations []operation
}

type operation struct {
	pattern *regexp.Regexp
	route   *routers.Route
}

// New reads an OpenAPI file. Answers are held against it with every object closed, see [Close].
func New(file []byte) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	Close(doc)
	c := &Contract{doc: doc}
	for path, item := range doc.Paths.Map() {
		pattern, err := regexp.Compile("^" + regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path),
			"[^/]*") + "$")
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		for method, op := range item.Operations() {
			c.operations = append(c.operations, operation{pattern,
				&routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}})
		}
	}
	return c, nil
}

// Answer is what came back for a request.
type Answer struct {
	Method, Target string // the target as requested, with its query
	Status         int
	Header         http.Header
	Body           []byte
}

// governed are the paths whose every answer the file describes, or is a problem.
var governed = []string{"/api/", "/admin/"}

// Check returns what about an answer the file does not allow, nil when it is as it should be. What lies beside the API
// is not looked at.
func (c *Contract) Check(a Answer) error {
	path, _, _ := strings.Cut(a.Target, "?")
	if !slices.ContainsFunc(governed, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
		return nil
	}
	faults := common(a)
	if route := c.find(a.Method, path); route != nil {
		faults = append(faults, promised(route, a)...)
	} else {
		faults = append(faults, c.elsewhere(a)...)
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("contract: %s %s answers %d: %w", a.Method, a.Target, a.Status, errors.Join(faults...))
}

func (c *Contract) find(method, path string) *routers.Route {
	for _, op := range c.operations {
		if op.route.Method == method && op.pattern.MatchString(path) {
			return op.route
		}
	}
	return nil
}

// promised holds an answer against its operation.
func promised(route *routers.Route, a Answer) (faults []error) {
	target, err := url.Parse(a.Target)
	if err != nil {
		return []error{err}
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: &http.Request{Method: a.Method, URL: target},
			Route: route},
		Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		faults = append(faults, err)
	}
	answer := route.Operation.Responses.Value(strconv.Itoa(a.Status))
	if answer == nil {
		return faults // which has been said
	}
	for _, name := range []string{"ETag", "Idempotency-Replayed", "Retry-After", "Content-Disposition",
		"WWW-Authenticate"} {
		if a.Header.Get(name) != "" && answer.Value.Headers[name] == nil {
			faults = append(faults, fmt.Errorf("has %s, which the file does not describe", name))
		}
	}
	if len(answer.Value.Content) == 0 && len(a.Body) > 0 {
		faults = append(faults, errors.New("has a body, and should have none"))
	}
	if code := codeOf(a); code != "" && !strings.Contains(*answer.Value.Description, "`"+code+"`") {
		faults = append(faults, fmt.Errorf("has the code %s, which the file does not name for this status", code))
	}
	return faults
}

// elsewhere holds an answer where the file has no operation: only a problem can come.
func (c *Contract) elsewhere(a Answer) []error {
	switch {
	case a.Method == http.MethodOptions, a.Method == http.MethodHead:
		return nil
	case a.Status < 400:
		return []error{errors.New("is not in the file")}
	}
	var v any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return []error{err}
	}
	if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(v); err != nil {
		return []error{err}
	}
	return nil
}

// common is what every answer owes, whatever the operation.
func common(a Answer) (faults []error) {
	owes := func(when bool, names ...string) {
		for _, name := range names {
			if when && a.Header.Get(name) == "" {
				faults = append(faults, fmt.Errorf("lacks %s", name))
			}
		}
	}
	code := codeOf(a)
	owes(true, "X-Request-Id")
	owes(a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable ||
		code == "idempotency_in_progress", "Retry-After")
	owes(a.Status == http.StatusUnauthorized, "WWW-Authenticate")
	owes(a.Status == http.StatusMethodNotAllowed, "Allow")
	owes(a.Status < 300 && strings.HasPrefix(a.Target, "/api/v1/") && a.Method != http.MethodOptions, "RateLimit-Limit",
		"RateLimit-Remaining", "RateLimit-Reset")
	if a.Status >= 400 && len(a.Body) > 0 && a.Header.Get("Content-Type") != "application/problem+json" {
		faults = append(faults, fmt.Errorf("is an error of type %q", a.Header.Get("Content-Type")))
	}
	for _, f := range faultsOf(a) {
		if f.Field == "" || f.Message == "" || f.Example == "" {
			faults = append(faults, fmt.Errorf("names a faulty field without its fault or a good value: %+v", f))
		}
	}
	return faults
}

func codeOf(a Answer) string {
	var p struct {
		Code string `json:"code"`
	}
	if a.Status < 400 || json.Unmarshal(a.Body, &p) != nil {
		return ""
	}
	return p.Code
}

type faulty struct{ Field, Message, Example string }

func faultsOf(a Answer) []faulty {
	var p struct {
		Errors []faulty `json:"errors"`
	}
	if a.Status < 400 || json.Unmarshal(a.Body, &p) != nil {
		return nil
	}
	return p.Errors
}
