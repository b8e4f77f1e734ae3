package reference

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// keys are an object's names: what its schema requires in that order, then the rest by the alphabet.
func keys[V any](schema *openapi3.Schema, object map[string]V) []string {
	var names []string
	if schema != nil {
		for _, name := range schema.Required {
			if _, ok := object[name]; ok {
				names = append(names, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// pretty writes an example as indented JSON with the keys in the order of the schema.
func pretty(schema *openapi3.Schema, v any) string {
	var b strings.Builder
	writeExample(&b, schema, v, "")
	return b.String()
}

func writeExample(b *strings.Builder, schema *openapi3.Schema, v any, indent string) {
	deeper := indent + "  "
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString("{}")
			return
		}
		for i, name := range keys(schema, v) {
			b.WriteString(map[bool]string{true: "{\n", false: ",\n"}[i == 0] + deeper + strconv.Quote(name) + ": ")
			var inner *openapi3.Schema
			if schema != nil && schema.Properties[name] != nil {
				inner = schema.Properties[name].Value
			}
			writeExample(b, inner, v[name], deeper)
		}
		b.WriteString("\n" + indent + "}")
	case []any:
		if len(v) == 0 {
			b.WriteString("[]")
			return
		}
		for i, item := range v {
			b.WriteString(map[bool]string{true: "[\n", false: ",\n"}[i == 0] + deeper)
			var inner *openapi3.Schema
			if schema != nil && schema.Items != nil {
				inner = schema.Items.Value
			}
			writeExample(b, inner, item, deeper)
		}
		b.WriteString("\n" + indent + "]")
	default:
		var one bytes.Buffer
		enc := json.NewEncoder(&one)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			one.WriteString("null")
		}
		b.WriteString(strings.TrimSpace(one.String()))
	}
}
