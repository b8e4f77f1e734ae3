package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// ownRules are the rules of the file that the library does not know, most of them under x-.
type ownRules struct {
	spec     *Spec
	findings []finding
}

func (o *ownRules) add(schema *openapi3.Schema, field, format string, args ...any) {
	if field == "" {
		field = "body"
	}
	o.findings = append(o.findings, finding{field, func() (string, string) {
		return fmt.Sprintf(format, args...), Example(schema)
	}})
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (o *ownRules) walk(schema *openapi3.Schema, value any, at string) {
	switch v := value.(type) {
	case string:
		multiline := schema.Extensions["x-multiline"] == true
		if schema.Extensions["x-control-characters"] == nil && hasControl(v, multiline) {
			o.add(schema, at, "must not contain control characters")
		}
	case json.Number:
		if schema.Type.Is(openapi3.TypeInteger) && !wholeNumber.MatchString(v.String()) {
			o.add(schema, at, "must be a whole number in plain digits")
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
			o.add(schema.Properties[names[0]].Value, join(at, names[0]), "is required, or %s in its place",
				strings.Join(names[1:], " or "))
		}
		for _, n := range given[min(1, len(given)):] {
			o.add(schema.Properties[n].Value, join(at, n), "must not be given together with %s", given[0])
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
			continue // unknown: the library has reported it
		}
		switch n := utf8.RuneCountInString(name); {
		case name == "":
			o.add(schema, field, "must not have an empty name")
		case limited && n > int(longest):
			o.add(schema, field, "must have a name of at most %d characters, and its name has %d", int(longest), n)
		case hasControl(name, false):
			o.add(schema, field, "must not have control characters in its name")
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
