package reference

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
)

// builder reads the parts of a [Page] out of a file.
type builder struct {
	spec *openapi.Spec
	doc  *openapi3.T
}

var methodOrder = []string{http.MethodPost, http.MethodGet, http.MethodPatch, http.MethodDelete}

func (b builder) group(tag *openapi3.Tag) group {
	g := group{Name: tag.Name, About: tag.Description}
	for _, path := range slices.Sorted(maps.Keys(b.doc.Paths.Map())) {
		item := b.doc.Paths.Value(path)
		for _, method := range methodOrder {
			if op := item.GetOperation(method); op != nil && slices.Contains(op.Tags, tag.Name) {
				g.Operations = append(g.Operations, b.operation(method, path, item, op))
			}
		}
	}
	return g
}

func (b builder) operation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) operation {
	o := operation{
		ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, About: op.Description,
		Scopes: b.spec.Operation(method, path).Scopes,
	}
	url := path
	for _, ref := range append(slices.Clone(item.Parameters), op.Parameters...) {
		p := ref.Value
		row := b.row(p.Name, p.Schema, p.Required)
		row.In, row.About = p.In, p.Description
		o.Parameters = append(o.Parameters, row)
		if p.In == openapi3.ParameterInPath {
			url = strings.ReplaceAll(url, "{"+p.Name+"}", row.Example)
		}
	}
	if op.RequestBody != nil {
		ref := op.RequestBody.Value.Content.Get("application/json").Schema
		o.BodySchema, o.BodyRequired, o.Body = schemaName(ref), op.RequestBody.Value.Required, b.fields(ref.Value)
	}
	o.Curl = curl(method, url, op)
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		a, example := answerOf(status, op.Responses.Value(status).Value)
		o.Answers = append(o.Answers, a)
		if status < "300" && example != "" {
			o.AnswerExample = example
		}
	}
	return o
}

// curl is a command that makes the request, with the example of its body.
func curl(method, url string, op *openapi3.Operation) string {
	words := []string{"curl"}
	if method != http.MethodGet {
		words = append(words, "-X "+method)
	}
	token := "$API_KEY"
	if op.Security != nil {
		token = "$OPERATOR_TOKEN"
	}
	words = append(words, `"$API_URL`+url+`"`, `-H "Authorization: Bearer `+token+`"`)
	if op.RequestBody == nil {
		return strings.Join(words, " ")
	}
	if body := op.RequestBody.Value.Content.Get("application/json").Schema.Value; len(body.Properties) > 0 {
		quoted := strings.ReplaceAll(pretty(body, body.Example), "'", `'\''`)
		words = append(words, "\\\n  -H 'Content-Type: application/json'", "\\\n  -d '"+quoted+"'")
	}
	return strings.Join(words, " ")
}

// answerOf is a row of the table of answers, with the example of its JSON body, "" where it has none.
func answerOf(status string, res *openapi3.Response) (a answer, example string) {
	a = answer{Status: status}
	if res.Description != nil {
		a.About = *res.Description
	}
	for kind, media := range res.Content {
		if strings.HasSuffix(kind, "json") {
			a.Schema, example = schemaName(media.Schema), pretty(media.Schema.Value, media.Schema.Value.Example)
		}
	}
	if csv := res.Content["text/csv"]; csv != nil {
		a.About += " As CSV with `Accept: text/csv`: " + lowerFirst(csv.Schema.Value.Description)
	}
	return a, example
}

// lowerFirst puts a sentence behind a colon.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// fields are an object's properties: the required ones in their order, then the others.
func (b builder) fields(schema *openapi3.Schema) []row {
	var rows []row
	required := slices.Clone(schema.Required)
	for _, name := range keys(schema, schema.Properties) {
		row := b.row(name, schema.Properties[name], slices.Contains(required, name))
		if slices.Contains(b.spec.Alternatives(schema), name) {
			row.Limits = append(row.Limits, "exactly one of "+strings.Join(b.spec.Alternatives(schema), ", "))
		}
		rows = append(rows, row)
	}
	return rows
}

func (b builder) row(name string, ref *openapi3.SchemaRef, required bool) row {
	schema := ref.Value
	r := row{
		Name: name, Required: required, About: schema.Description, Link: schemaName(ref),
		Type: strings.TrimPrefix(strings.TrimPrefix(openapi.Kind(schema), "an "), "a "),
	}
	if schema.Items != nil {
		r.Type, r.Link = "list", schemaName(schema.Items)
	}
	if !schema.Type.Is(openapi3.TypeObject) && r.Link == "" || schema.Type.Is(openapi3.TypeString) {
		r.Example = openapi.Example(schema)
	}
	limit := func(ok bool, format string, args ...any) {
		if ok {
			r.Limits = append(r.Limits, fmt.Sprintf(format, args...))
		}
	}
	limit(schema.Nullable, "may be null")
	limit(schema.Min != nil && schema.Max != nil, "%s to %s", bound(schema.Min), bound(schema.Max))
	limit(schema.MaxLength != nil, "at most %s characters", bound(schema.MaxLength))
	limit(schema.MaxItems != nil, "at most %s items", bound(schema.MaxItems))
	limit(schema.MaxProps != nil, "at most %s entries", bound(schema.MaxProps))
	limit(schema.Default != nil, "default %v", schema.Default)
	if schema.Enum != nil && len(schema.Enum) <= 6 {
		limit(true, "%s", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(schema.Enum), "[]")), ", "))
	}
	return r
}

func bound[T float64 | uint64](v *T) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*v), 'f', -1, 64)
}

func schemaName(ref *openapi3.SchemaRef) string {
	name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/")
	if !ok {
		return ""
	}
	return name
}
