package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/models"
)

// validator holds requests against the OpenAPI file.
type validator struct {
	spec    *spec
	options *openapi3filter.Options
}

func newValidator(s *spec) *validator {
	return &validator{spec: s, options: &openapi3filter.Options{
		MultiError:          true,
		SkipSettingDefaults: true,
		AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc, // the auth middleware does that
		SchemaValidationOptions: []openapi3.SchemaValidationOption{
			openapi3.WithStringFormatValidator("uint256", openapi3.NewCallbackValidator(checkUint256)),
			openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
				_, err := time.Parse(time.RFC3339, s)
				return err
			})),
		},
	}}
}

// checkUint256 accepts 1…2^256−1 in decimal digits; its error says which of the rules is broken.
func checkUint256(s string) error {
	a, err := models.ParseAmount(s)
	switch {
	case errors.Is(err, models.ErrAmountNegative):
		return errors.New("must not be negative")
	case errors.Is(err, models.ErrAmountRange):
		return errors.New("must be at most 2^256-1, the largest number that a chain can hold")
	case err != nil:
		return errors.New("must be a whole number of base units in decimal digits, without leading zeros")
	case a.Sign() == 0:
		return errors.New("must be more than zero")
	}
	return nil
}

// middleware answers requests that do not match the file by a problem. The body is read here, at most maxBody bytes,
// and put back for the handler.
func (v *validator) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op, ok := v.spec.operations[c.Request().Method+" "+c.Path()]
		if !ok {
			return Internal(fmt.Errorf("api: route %s %s is not in openapi.yaml", c.Request().Method, c.Path()))
		}
		params := make(map[string]string)
		for i, name := range c.ParamNames() {
			params[name] = c.ParamValues()[i]
		}
		if err := v.check(c.Request(), op, params); err != nil {
			return err
		}
		return next(c)
	}
}

// check returns a *Problem, or the error of reading the body.
func (v *validator) check(r *http.Request, op *operation, params map[string]string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return unreadable(err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))

	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return NewProblem(CodeInvalidRequest, "The query string is malformed.")
	}
	faults := queryFaults(op, query)
	for name, p := range op.header {
		if len(r.Header.Values(name)) > 1 {
			faults = append(faults, FieldError{Field: name, Message: "must be given once", Example: exampleOf(p.Schema.Value)})
		}
	}

	var value any
	var schema *openapi3.Schema
	spec := op.route.Operation.RequestBody
	switch {
	case len(body) == 0:
	case spec == nil:
		return NewProblem(CodeInvalidRequest, "This request takes no body.")
	default:
		if p := checkMediaType(r.Header); p != nil {
			return p
		}
		var p *Problem
		if value, p = decodeJSON(body); p != nil {
			return p
		}
		schema = spec.Value.Content.Get("application/json").Schema.Value
	}

	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, QueryParams: query, Route: op.route, Options: v.options,
	})
	r.Body = io.NopCloser(bytes.NewReader(body))
	t := translation{body: value}
	t.add(err)
	if t.other != nil {
		return Internal(t.other)
	}
	if len(body) == 0 && t.bodyMissing {
		return NewProblem(CodeInvalidRequest, "A JSON body is needed.")
	}
	faults = append(faults, t.faults...)
	if schema != nil {
		own := ownRules{spec: v.spec}
		own.walk(schema, value, "")
		faults = append(faults, own.faults...)
	}
	if len(faults) == 0 {
		return nil
	}
	return Invalid(onePerField(faults)...)
}

// unreadable tells a body that is too large from one that did not arrive.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return NewProblem(CodeInvalidRequest, "The body did not arrive in full.").Because(err)
}

// queryFaults finds what the library lets pass: parameters that the route does not know, and repeated ones.
func queryFaults(op *operation, query url.Values) []FieldError {
	var faults []FieldError
	for name, values := range query {
		p, known := op.query[name]
		switch {
		case !known:
			faults = append(faults, unknownParameter(op, name))
		case len(values) > 1:
			faults = append(faults, FieldError{Field: name, Message: "must be given once", Example: exampleOf(p.Schema.Value)})
		case !utf8.ValidString(values[0]):
			faults = append(faults, FieldError{Field: name, Message: "must be UTF-8", Example: exampleOf(p.Schema.Value)})
		case hasControl(values[0], false):
			faults = append(faults, FieldError{Field: name, Message: "must not contain control characters", Example: exampleOf(p.Schema.Value)})
		}
	}
	return faults
}

// unknownParameter tells what was meant, or what there is.
func unknownParameter(op *operation, name string) FieldError {
	f := FieldError{Field: fieldName(name), Message: "is not a parameter of this request"}
	known := slices.Sorted(maps.Keys(op.query))
	if meant := nearest(name, known); meant != "" {
		f.Message, f.Example = f.Message+"; did you mean "+meant+"?", exampleOf(op.query[meant].Schema.Value)
	} else if len(known) > 0 {
		f.Message += ", which takes " + strings.Join(known, ", ")
		f.Example = known[0] + "=" + exampleOf(op.query[known[0]].Schema.Value)
	} else {
		f.Message += ", which takes none"
		f.Example = op.route.Path
	}
	return f
}

// onePerField sorts faults by field and keeps the first that was found of each.
func onePerField(faults []FieldError) []FieldError {
	slices.SortStableFunc(faults, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	return slices.CompactFunc(faults, func(a, b FieldError) bool { return a.Field == b.Field })
}
