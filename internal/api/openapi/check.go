package openapi

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/ctrip-gateway/ctrip/models"
)

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		MultiError:          true,
		SkipSettingDefaults: true,
		AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc, // internal/api authenticates before
		SchemaValidationOptions: []openapi3.SchemaValidationOption{
			openapi3.WithStringFormatValidator("uint256", openapi3.NewCallbackValidator(checkUint256)),
			openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
				_, err := time.Parse(time.RFC3339, s)
				return err
			})),
		},
	}
}

// isDecimal is what somebody writes who means whole units.
var isDecimal = regexp.MustCompile(`^[0-9]*[.,][0-9]+$`)

// shortest is a number as a message may repeat it.
func shortest(s string) string {
	if len(s) > 20 {
		return "1.5"
	}
	return s
}

// checkUint256 accepts 1…2^256−1 in decimal digits; its error says which of the rules is broken.
func checkUint256(s string) error {
	a, err := models.ParseAmount(s)
	switch {
	case errors.Is(err, models.ErrAmountNegative):
		return errors.New("must not be negative")
	case errors.Is(err, models.ErrAmountRange):
		return errors.New("must be at most 2^256-1, the largest number that a chain can hold")
	case err != nil && isDecimal.MatchString(s):
		return errors.New("must be a whole number of base units; for whole units such as " + shortest(s) +
			" use amount_decimal instead")
	case err != nil:
		return errors.New("must be a whole number of base units in decimal digits, without leading zeros")
	case a.Sign() == 0:
		return errors.New("must be more than zero")
	}
	return nil
}

// Check holds a request against an operation; params are the values of the path's parameters. It returns nil, an
// [*Error], an [*http.MaxBytesError] where the body is limited by [http.MaxBytesReader], or an error that is not about
// the request. The body can be read again afterwards.
func (s *Spec) Check(r *http.Request, op *Operation, params map[string]string) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("The query string is malformed.")
	}
	value, schema, err := bodyOf(r.Header, body, op)
	if err != nil {
		return err
	}
	if schema != nil {
		if findings := oversized(schema, value, ""); findings != nil {
			fields, count := list(findings)
			return &Error{Reason: ReasonInvalid, Fields: fields, Count: count}
		}
	}
	findings := append(queryFindings(op, query), headerFindings(op, r.Header)...)
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, QueryParams: query, Route: op.Route, Options: s.options,
	})
	r.Body = io.NopCloser(bytes.NewReader(body))
	t := errorTranslator{body: value}
	t.add(err)
	if t.other != nil {
		return t.other
	}
	if len(body) == 0 && t.bodyMissing {
		return invalid("A JSON body is needed.")
	}
	findings = append(findings, t.findings...)
	if schema != nil {
		own := ownRules{spec: s}
		own.walk(schema, value, "")
		findings = append(findings, own.findings...)
	}
	if len(findings) == 0 {
		return nil
	}
	fields, count := list(findings)
	return &Error{Reason: ReasonInvalid, Fields: fields, Count: count}
}

// ReadBody reads a request's body whole and puts it back. It returns an [*http.MaxBytesError] for one that is too
// large, and an [*Error] for one that did not arrive.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, err
	} else if err != nil {
		return nil, &Error{Reason: ReasonInvalid, Detail: "The body did not arrive in full.", Cause: err}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return body, nil
}

// bodyOf decodes a body and finds its schema; both are nil for an empty one.
func bodyOf(h http.Header, body []byte, op *Operation) (any, *openapi3.Schema, error) {
	if len(body) == 0 {
		return nil, nil, nil
	}
	described := op.Route.Operation.RequestBody
	if described == nil {
		return nil, nil, invalid("This request takes no body.")
	}
	if err := checkMediaType(h); err != nil {
		return nil, nil, err
	}
	value, err := decodeJSON(body)
	if err != nil {
		return nil, nil, err
	}
	return value, described.Value.Content.Get(jsonType).Schema.Value, nil
}

// headerFindings finds headers of the operation that are given twice, which the library lets pass.
func headerFindings(op *Operation, h http.Header) []finding {
	var findings []finding
	for name, p := range op.Header {
		if len(h.Values(name)) > 1 {
			findings = append(findings, fixed(name, "must be given once", p.Schema.Value))
		}
	}
	return findings
}

// queryFindings finds what the library lets pass: parameters that the route does not know, and repeated ones.
func queryFindings(op *Operation, query url.Values) []finding {
	var findings []finding
	known := slices.Sorted(maps.Keys(op.Query))
	for name, values := range query {
		p, ok := op.Query[name]
		switch {
		case !ok:
			findings = append(findings, finding{fieldName(name), func() (string, string) {
				return unknownParameter(op, known, name)
			}})
		case len(values) > 1:
			findings = append(findings, fixed(name, "must be given once", p.Schema.Value))
		case !utf8.ValidString(values[0]):
			findings = append(findings, fixed(name, "must be UTF-8", p.Schema.Value))
		case hasControl(values[0], false):
			findings = append(findings, fixed(name, "must not contain control characters", p.Schema.Value))
		}
	}
	return findings
}

// unknownParameter names the parameter that was probably meant, or the known ones.
func unknownParameter(op *Operation, known []string, name string) (message, example string) {
	const unknown = "is not a parameter of this request"
	if meant := nearest(name, known); meant != "" {
		return unknown + "; did you mean " + meant + "?", Example(op.Query[meant].Schema.Value)
	}
	if len(known) > 0 {
		return unknown + ", which takes " + strings.Join(known, ", "), known[0] + "=" +
			Example(op.Query[known[0]].Schema.Value)
	}
	return unknown + ", which takes none", op.Path
}
