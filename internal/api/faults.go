package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// translation turns the library's errors into faults that a merchant can act on.
type translation struct {
	body        any
	faults      []FieldError
	bodyMissing bool
	other       error // one that is not about the request
}

func (t *translation) add(err error) {
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

func (t *translation) addRequest(err *openapi3filter.RequestError) {
	if p := err.Parameter; p != nil {
		f := FieldError{Field: p.Name, Example: exampleOf(p.Schema.Value)}
		var schema *openapi3.SchemaError
		switch {
		case errors.Is(err, openapi3filter.ErrInvalidRequired):
			f.Message = "is required"
		case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
			f.Message = "must not be empty"
		case errors.As(err.Err, &schema):
			f.Message = message(schema)
		default:
			f.Message = "must be " + article(p.Schema.Value)
		}
		t.faults = append(t.faults, f)
		return
	}
	if errors.Is(err.Err, openapi3filter.ErrInvalidRequired) {
		t.bodyMissing = true
		return
	}
	t.add(err.Err)
}

func (t *translation) addSchema(err *openapi3.SchemaError) {
	pointer := err.JSONPointer()
	switch err.SchemaField {
	case "properties": // each unknown name is an error of its own, and none says which
		object, _ := err.Value.(map[string]any)
		at := path(t.body, pointer)
		for name := range object {
			if err.Schema.Properties[name] == nil {
				known := make([]string, 0, len(err.Schema.Properties))
				for k := range err.Schema.Properties {
					known = append(known, k)
				}
				f := FieldError{Field: join(at, name), Message: "is not a field of this request", Example: exampleOf(err.Schema)}
				if meant := nearest(name, known); meant != "" {
					f.Message, f.Example = f.Message+"; did you mean "+meant+"?", exampleOf(err.Schema.Properties[meant].Value)
				}
				t.faults = append(t.faults, f)
			}
		}
	case "required":
		f := FieldError{Field: path(t.body, pointer), Message: "is required"}
		if p := err.Schema.Properties[pointer[len(pointer)-1]]; p != nil {
			f.Example = exampleOf(p.Value)
		}
		t.faults = append(t.faults, f)
	default:
		f := FieldError{Field: path(t.body, pointer), Message: message(err), Example: exampleOf(err.Schema)}
		if f.Field == "" {
			f.Field = "body"
		}
		t.faults = append(t.faults, f)
	}
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
		if n, ok := err.Value.(float64); ok && s.Type.Is(openapi3.TypeInteger) && n != float64(int64(n)) {
			return "must be a whole number"
		}
		if _, ok := err.Value.(json.Number); ok && (s.Type.Is(openapi3.TypeInteger) || s.Type.Is(openapi3.TypeNumber)) {
			return "is out of range"
		}
		return "must be " + article(s) + ", not " + kindOf(err.Value)
	case "nullable":
		return "must be " + article(s) + ", not null"
	case "enum":
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprint(v))
		}
		if len(values) == 1 {
			return "must be " + values[0]
		}
		return "must be one of " + strings.Join(values, ", ")
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
	case "pattern":
		if m, ok := s.Extensions["x-message"].(string); ok {
			return m
		}
		return "must match " + s.Pattern
	case "format":
		if s.Format == "date-time" {
			return "must be a time in RFC 3339, with its zone"
		}
	case "minItems":
		return "must have at least " + count(s.MinItems, "item")
	case "maxItems":
		return "must have at most " + count(*s.MaxItems, "item")
	case "uniqueItems":
		return "must not have the same item twice"
	case "minProperties":
		return "must have at least " + count(s.MinProps, "field")
	case "maxProperties":
		return "must have at most " + count(*s.MaxProps, "entry")
	}
	return "is not valid: " + err.Reason
}

// ownRules are the rules of openapi.yaml that the library does not know, most of them under x-.
type ownRules struct {
	spec   *spec
	faults []FieldError
}

func (o *ownRules) fault(schema *openapi3.Schema, field, format string, args ...any) {
	if field == "" {
		field = "body"
	}
	o.faults = append(o.faults, FieldError{Field: field, Message: fmt.Sprintf(format, args...), Example: exampleOf(schema)})
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (o *ownRules) walk(schema *openapi3.Schema, value any, at string) {
	switch v := value.(type) {
	case string:
		multiline := schema.Extensions["x-multiline"] == true
		if schema.Extensions["x-control-characters"] == nil && hasControl(v, multiline) {
			o.fault(schema, at, "must not contain control characters")
		}
	case json.Number:
		if schema.Type.Is(openapi3.TypeInteger) && !wholeNumber.MatchString(v.String()) {
			o.fault(schema, at, "must be a whole number in plain digits")
		}
	case []any:
		if schema.Items != nil {
			for i, item := range v {
				o.walk(schema.Items.Value, item, fmt.Sprintf("%s[%d]", at, i))
			}
		}
	case map[string]any:
		o.object(schema, v, at)
	}
}

func (o *ownRules) object(schema *openapi3.Schema, object map[string]any, at string) {
	if names := o.spec.alternatives[schema]; names != nil {
		var given []string
		for _, n := range names {
			if _, ok := object[n]; ok {
				given = append(given, n)
			}
		}
		if len(given) == 0 {
			o.fault(schema.Properties[names[0]].Value, join(at, names[0]), "is required, or %s in its place", strings.Join(names[1:], " or "))
		}
		for _, n := range given[min(1, len(given)):] {
			o.fault(schema.Properties[n].Value, join(at, n), "must not be given together with %s", given[0])
		}
	}
	longest, limited := schema.Extensions["x-key-max-length"].(float64)
	for name, value := range object {
		field := join(at, name)
		if property := schema.Properties[name]; property != nil {
			o.walk(property.Value, value, field)
			continue
		}
		more := schema.AdditionalProperties.Schema
		if more == nil {
			continue // unknown, which the library has told
		}
		switch n := utf8.RuneCountInString(name); {
		case name == "":
			o.fault(schema, field, "must not have an empty name")
		case limited && n > int(longest):
			o.fault(schema, field, "must have a name of at most %d characters, and its name has %d", int(longest), n)
		case hasControl(name, false):
			o.fault(schema, field, "must not have control characters in its name")
		default:
			o.walk(more.Value, value, field)
		}
	}
}

// hasControl finds control characters; in a multiline text, line ends and tabs are none.
func hasControl(s string, multiline bool) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && (!multiline || !strings.ContainsRune("\n\r\t", r))
	})
}

// path writes a JSON pointer into body as a person would: metadata.cart, events[1].
func path(body any, pointer []string) string {
	at := ""
	for _, step := range pointer {
		switch v := body.(type) {
		case []any:
			at += "[" + step + "]"
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				body = nil
				continue
			}
			body = v[i]
		case map[string]any:
			at, body = join(at, step), v[step]
		default:
			at = join(at, step)
		}
	}
	return at
}

func join(at, name string) string {
	name = fieldName(name)
	if at == "" || strings.HasPrefix(name, "[") {
		return at + name
	}
	return at + "." + name
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// fieldName is a name as it is, or quoted and shortened when it could be mistaken for something else.
func fieldName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "[" + strconv.Quote(clip(name)) + "]"
}

// nearest is the known word that a typing mistake was meant to be, or "".
func nearest(name string, known []string) string {
	sort.Strings(known)
	best, distance := "", 3
	for _, k := range known {
		if d := edits(strings.ToLower(clip(name)), k); d < distance && d < len(k)-1 {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// exampleOf is a good value in a form that can be typed: a string as it is, everything else as JSON.
func exampleOf(s *openapi3.Schema) string {
	switch v := s.Example.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

func article(s *openapi3.Schema) string {
	switch types := s.Type.Slice(); {
	case slices.Contains(types, openapi3.TypeInteger):
		return "a whole number"
	case slices.Contains(types, openapi3.TypeNumber):
		return "a number"
	case slices.Contains(types, openapi3.TypeArray):
		return "a list"
	case slices.Contains(types, openapi3.TypeObject):
		return "an object"
	case slices.Contains(types, openapi3.TypeBoolean):
		return "true or false"
	}
	return "a string"
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

func count(n uint64, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
