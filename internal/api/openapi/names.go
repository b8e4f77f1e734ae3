package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/models"
)

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
	return "[" + strconv.Quote(models.Clip(name)) + "]"
}

// nearest is the known word, of a sorted list, that a typing mistake was meant to be, or "".
func nearest(name string, known []string) string {
	best, distance := "", 3
	name = strings.ToLower(models.Clip(name))
	for _, k := range known {
		if d := edits(name, k); d < distance && d < len(k)-1 {
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

// Example is a good value in a form that can be typed: a string as it is, everything else as JSON.
func Example(s *openapi3.Schema) string {
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

// Kind is the type of a schema in words, with its article: "a whole number".
func Kind(s *openapi3.Schema) string {
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
