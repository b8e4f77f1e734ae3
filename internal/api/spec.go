package api

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the OpenAPI file, as /openapi.yaml serves it.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// spec is the parsed file.
type spec struct {
	doc *openapi3.T
	// operations by method, a space and the route as Echo writes it.
	operations map[string]*operation
	// alternatives are the schemas that want exactly one of some fields: oneOf whose branches only require one field.
	// They are checked by our own rule, because the library stops at a failing oneOf and hides all other faults.
	alternatives map[*openapi3.Schema][]string
}

type operation struct {
	id     string
	scopes []string
	route  *routers.Route
	// query and header are its parameters by name.
	query, header map[string]*openapi3.Parameter
}

func loadSpec() (*spec, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openAPI)
	if err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	s := &spec{doc: doc, operations: make(map[string]*operation), alternatives: make(map[*openapi3.Schema][]string)}
	for _, ref := range doc.Components.Schemas {
		s.takeAlternatives(ref.Value)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := &operation{
				id: op.OperationID, query: make(map[string]*openapi3.Parameter), header: make(map[string]*openapi3.Parameter),
				route: &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op},
			}
			list, ok := op.Extensions["x-scopes"].([]any)
			if !ok {
				return nil, fmt.Errorf("api: openapi.yaml: %s has no x-scopes", op.OperationID)
			}
			for _, scope := range list {
				o.scopes = append(o.scopes, fmt.Sprint(scope))
			}
			for _, p := range append(op.Parameters, item.Parameters...) {
				switch p.Value.In {
				case openapi3.ParameterInQuery:
					o.query[p.Value.Name] = p.Value
				case openapi3.ParameterInHeader:
					o.header[p.Value.Name] = p.Value
				}
			}
			s.operations[method+" "+echoPath(path)] = o
		}
	}
	return s, nil
}

func (s *spec) takeAlternatives(schema *openapi3.Schema) {
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

// echoPath writes /a/{id} as Echo does: /a/:id.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
