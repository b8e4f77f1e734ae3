package openapi

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/models"
)

// MaxListed is how many faulty fields an [Error] lists; the others are only counted.
const MaxListed = 50

// finding is a faulty field. Its message and example are made only for the fields that an [Error] lists, so that a
// request costs what its size costs, however many faults it holds.
type finding struct {
	field    string
	describe func() (message, example string)
}

// fixed is a finding whose message does not depend on the value.
func fixed(field, message string, s *openapi3.Schema) finding {
	return finding{field, func() (string, string) { return message, Example(s) }}
}

// maxVisited is how many items of a list the library is given to check. Each faulty one costs it a kilobyte or two.
const maxVisited = 1000

// oversized finds lists that are far longer than their schema allows; their items are not looked at.
func oversized(schema *openapi3.Schema, value any, at string) []finding {
	var findings []finding
	switch v := value.(type) {
	case []any:
		if most := schema.MaxItems; most != nil && uint64(len(v)) > *most && len(v) > maxVisited {
			return []finding{{cmp.Or(at, "body"), func() (string, string) {
				return "must have at most " + count(*most, "item") + ", and has " + strconv.Itoa(len(v)), Example(schema)
			}}}
		}
	case map[string]any:
		for name, property := range schema.Properties {
			if inner, ok := v[name]; ok {
				findings = append(findings, oversized(property.Value, inner, join(at, name))...)
			}
		}
	}
	return findings
}

// list describes the first [MaxListed] faulty fields in the order of their names, each by the first finding about it,
// and counts all of them.
func list(findings []finding) (fields []models.FieldError, count int) {
	slices.SortStableFunc(findings, func(a, b finding) int { return strings.Compare(a.field, b.field) })
	findings = slices.CompactFunc(findings, func(a, b finding) bool { return a.field == b.field })
	for _, f := range findings[:min(len(findings), MaxListed)] {
		message, example := f.describe()
		fields = append(fields, models.FieldError{Field: f.field, Message: message, Example: example})
	}
	return fields, len(findings)
}
