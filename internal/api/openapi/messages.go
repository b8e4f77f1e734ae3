package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// errorTranslator turns the library's errors into fields and messages that a merchant can act on.
type errorTranslator struct {
	body        any
	findings    []finding
	unknownIn   map[string]bool // paths of the objects whose unknown names are among the findings
	bodyMissing bool
	other       error // one that is not about the request
}

func (t *errorTranslator) add(err error) {
	var several openapi3.MultiError
	var request *openapi3filter.RequestError
	var schema *openapi3.SchemaError
	switch {
	case err == nil:
	case errors.As(err, &several) && !isOne(err):
		for _, e := range several {
			t.add(e)
		}
	case errors.As(err, &request):
		t.addRequest(request)
	case errors.As(err, &schema):
		t.addSchema(schema)
	default:
		t.other = err
	}
}

// isOne reports whether err itself is about one parameter, body or value, whatever it wraps.
func isOne(err error) bool {
	switch err.(type) {
	case *openapi3filter.RequestError, *openapi3.SchemaError:
		return true
	}
	return false
}

func (t *errorTranslator) addRequest(err *openapi3filter.RequestError) {
	if p := err.Parameter; p != nil {
		t.findings = append(t.findings, finding{p.Name, func() (string, string) {
			return parameterMessage(err), Example(p.Schema.Value)
		}})
		return
	}
	if errors.Is(err.Err, openapi3filter.ErrInvalidRequired) {
		t.bodyMissing = true
		return
	}
	t.add(err.Err)
}

// parameterMessage says what is wrong with a parameter of the path, the query or the header.
func parameterMessage(err *openapi3filter.RequestError) string {
	var schema *openapi3.SchemaError
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		return "is required"
	case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
		return "must not be empty"
	case errors.As(err.Err, &schema):
		return message(schema)
	}
	return "must be " + Kind(err.Parameter.Schema.Value)
}

func (t *errorTranslator) addSchema(err *openapi3.SchemaError) {
	pointer := err.JSONPointer()
	at := path(t.body, pointer)
	switch err.SchemaField {
	case "properties": // the library reports each unknown name by itself, but not which it is: an object is read once
		if t.unknownIn[at] {
			return
		}
		if t.unknownIn == nil {
			t.unknownIn = make(map[string]bool)
		}
		t.unknownIn[at] = true
		object, _ := err.Value.(map[string]any)
		t.findings = append(t.findings, unknownFields(err.Schema, object, at)...)
	case "required":
		t.findings = append(t.findings, finding{at, func() (string, string) {
			if p := err.Schema.Properties[pointer[len(pointer)-1]]; p != nil {
				return "is required", Example(p.Value)
			}
			return "is required", ""
		}})
	default:
		if at == "" {
			at = "body"
		}
		t.findings = append(t.findings, finding{at, func() (string, string) { return message(err), Example(err.Schema) }})
	}
}

// unknownFields are the names of an object that its schema does not have, each with the name that was probably meant.
func unknownFields(schema *openapi3.Schema, object map[string]any, at string) []finding {
	var findings []finding
	known := slices.Sorted(maps.Keys(schema.Properties))
	for name := range object {
		if schema.Properties[name] != nil {
			continue
		}
		findings = append(findings, finding{join(at, name), func() (string, string) {
			const unknown = "is not a field of this request"
			if meant := nearest(name, known); meant != "" {
				return unknown + "; did you mean " + meant + "?", Example(schema.Properties[meant].Value)
			}
			return unknown, Example(schema)
		}})
	}
	return findings
}

// message says what is wrong with a value, without repeating it.
func message(err *openapi3.SchemaError) string {
	s := err.Schema
	text, isText := err.Value.(string)
	if s.Format == "uint256" && isText {
		if e := checkUint256(text); e != nil {
			return e.Error()
		}
	}
	switch err.SchemaField {
	case "type":
		return typeMessage(s, err.Value)
	case "nullable":
		return "must be " + Kind(s) + ", not null"
	case "enum":
		return enumMessage(s.Enum)
	case "pattern":
		if m, ok := s.Extensions["x-message"].(string); ok {
			return m
		}
		return "must match " + s.Pattern
	case "format":
		if s.Format == "date-time" {
			return "must be a time in RFC 3339, with its zone"
		}
	case "uniqueItems":
		return "must not have the same item twice"
	}
	if m := sizeMessage(s, err.SchemaField, text); m != "" {
		return m
	}
	return "is not valid: " + err.Reason
}

// typeMessage is the message about a value of another type than the schema's.
func typeMessage(s *openapi3.Schema, value any) string {
	if n, ok := value.(float64); ok && s.Type.Is(openapi3.TypeInteger) && n != float64(int64(n)) {
		return "must be a whole number"
	}
	if _, ok := value.(json.Number); ok && (s.Type.Is(openapi3.TypeInteger) || s.Type.Is(openapi3.TypeNumber)) {
		return "is out of range"
	}
	return "must be " + Kind(s) + ", not " + kindOf(value)
}

func enumMessage(allowed []any) string {
	values := make([]string, len(allowed))
	for i, v := range allowed {
		values[i] = fmt.Sprint(v)
	}
	if len(values) == 1 {
		return "must be " + values[0]
	}
	return "must be one of " + strings.Join(values, ", ")
}

// sizeMessage is the message about a value that breaks a limit of its schema, "" for anything else.
func sizeMessage(s *openapi3.Schema, limit, text string) string {
	switch limit {
	case "minimum":
		return "must be at least " + number(*s.Min)
	case "maximum":
		return "must be at most " + number(*s.Max)
	case "minLength":
		if text == "" {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters, and has %d", s.MinLength, utf8.RuneCountInString(text))
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters, and has %d", *s.MaxLength, utf8.RuneCountInString(text))
	case "minItems":
		return "must have at least " + count(s.MinItems, "item")
	case "maxItems":
		return "must have at most " + count(*s.MaxItems, "item")
	case "minProperties":
		return "must have at least " + count(s.MinProps, "field")
	case "maxProperties":
		return "must have at most " + count(*s.MaxProps, "entry")
	}
	return ""
}
