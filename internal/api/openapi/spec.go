package openapi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Spec is a parsed OpenAPI file.
type Spec struct {
	doc        *openapi3.T
	operations map[string]*Operation // by method, a space and the path as the file writes it
	// alternatives are the schemas that want exactly one of some fields: oneOf whose branches only require one field.
	// They are checked by our own rule, because the library stops at a failing oneOf and hides all other errors.
	alternatives map[*openapi3.Schema][]string
	options      *openapi3filter.Options
}

// Operation is one method of one path of the file.
type Operation struct {
	ID     string
	Method string
	Path   string   // as the file writes it: /api/v1/payments/{id}
	Scopes []string // x-scopes: what a key needs
	// Query and Header are its parameters by name.
	Query, Header map[string]*openapi3.Parameter
	// Route is the operation in the words of the library, with the whole document.
	Route *routers.Route
}

// Load reads a file and checks that it is one. Every operation must have x-scopes.
func Load(file []byte) (*Spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	s := &Spec{doc: doc, operations: make(map[string]*Operation), alternatives: make(map[*openapi3.Schema][]string),
		options: options()}
	if doc.Components != nil {
		for _, ref := range doc.Components.Schemas {
			s.takeAlternatives(ref.Value)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o, err := newOperation(&routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op})
			if err != nil {
				return nil, err
			}
			s.operations[method+" "+path] = o
		}
	}
	return s, nil
}

func newOperation(route *routers.Route) (*Operation, error) {
	op := route.Operation
	o := &Operation{
		ID: op.OperationID, Method: route.Method, Path: route.Path, Route: route,
		Query: make(map[string]*openapi3.Parameter), Header: make(map[string]*openapi3.Parameter),
	}
	scopes, ok := op.Extensions["x-scopes"].([]any)
	if !ok {
		return nil, fmt.Errorf("openapi: %s has no x-scopes", op.OperationID)
	}
	for _, scope := range scopes {
		o.Scopes = append(o.Scopes, fmt.Sprint(scope))
	}
	for _, p := range append(slices.Clone(op.Parameters), route.PathItem.Parameters...) {
		switch p.Value.In {
		case openapi3.ParameterInQuery:
			o.Query[p.Value.Name] = p.Value
		case openapi3.ParameterInHeader:
			o.Header[p.Value.Name] = p.Value
		}
	}
	return o, nil
}

// JSON is the OpenAPI file as JSON.
func (s *Spec) JSON() ([]byte, error) { return s.doc.MarshalJSON() }

// Document is the file in the words of the library. Callers do not change it.
func (s *Spec) Document() *openapi3.T { return s.doc }

// Operation returns the operation of a method and a path as the file writes it, nil where there is none.
func (s *Spec) Operation(method, path string) *Operation { return s.operations[method+" "+path] }

// Operations are all operations, sorted by path and method.
func (s *Spec) Operations() []*Operation {
	return slices.SortedFunc(maps.Values(s.operations), func(a, b *Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
}

// Alternatives are the fields of a schema of which a request gives exactly one, nil where the schema has none.
func (s *Spec) Alternatives(schema *openapi3.Schema) []string { return s.alternatives[schema] }

func (s *Spec) takeAlternatives(schema *openapi3.Schema) {
	var names []string
	for _, branch := range schema.OneOf {
		if len(branch.Value.Required) != 1 || branch.Value.Type != nil || len(branch.Value.Properties) > 0 {
			return
		}
		names = append(names, branch.Value.Required[0])
	}
	if names != nil {
		schema.OneOf = nil
		s.alternatives[schema] = names
	}
}
