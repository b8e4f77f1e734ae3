package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed reference.html
var referenceHTML string

//go:embed reference.css
var referenceCSS []byte

// pagePolicy lets the reference page load its own style sheet, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type (
	referencePage struct {
		Title, Version string
		About          string
		Groups         []referenceGroup
		Sent           []referenceRow // the headers of a webhook
		Expected       []referenceAnswer
		Events         []referenceEvent
		Problems       []referenceProblem
		Schemas        []referenceSchema
	}
	referenceGroup struct {
		Name       string
		About      string
		Operations []referenceOperation
	}
	referenceOperation struct {
		ID, Method, Path, Summary string
		Scopes                    []string
		About                     string
		Parameters                []referenceRow
		BodySchema                string
		BodyRequired              bool
		Body                      []referenceRow
		Curl                      string
		Answers                   []referenceAnswer
		AnswerExample             string
	}
	referenceAnswer struct {
		Status, Schema string
		About          string
	}
	referenceRow struct {
		Name, Type, Link, In, Example string
		Required                      bool
		Limits                        []string
		About                         string
	}
	referenceEvent struct {
		Name, About, Schema, Example string
	}
	referenceProblem struct {
		Code   Code
		Status int
		Title  string
	}
	referenceSchema struct {
		Name, Type, Example string
		About               string
		Values              []string
		Fields              []referenceRow
	}
)

// renderReference draws the page once; it is the same for everybody.
func renderReference(s *spec) ([]byte, error) {
	t, err := template.New("reference").Funcs(template.FuncMap{"prose": prose}).Parse(referenceHTML)
	if err != nil {
		return nil, fmt.Errorf("api: reference page: %w", err)
	}
	page, err := s.referencePage()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, fmt.Errorf("api: reference page: %w", err)
	}
	return b.Bytes(), nil
}

// referencePage is all that the reference says, in the order in which it says it.
func (s *spec) referencePage() (referencePage, error) {
	page := referencePage{Title: s.doc.Info.Title, Version: s.doc.Info.Version, About: s.doc.Info.Description}
	for _, tag := range s.doc.Tags {
		page.Groups = append(page.Groups, s.referenceGroup(tag))
	}
	for _, k := range kinds {
		page.Problems = append(page.Problems, referenceProblem{k.code, k.status, k.title})
	}
	if err := s.referenceEvents(&page); err != nil {
		return referencePage{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.doc.Components.Schemas)) {
		schema := s.doc.Components.Schemas[name].Value
		r := referenceSchema{Name: name, Type: article(schema), About: schema.Description, Fields: s.fields(schema)}
		for _, v := range schema.Enum {
			r.Values = append(r.Values, fmt.Sprint(v))
		}
		if schema.Type.Is(openapi3.TypeObject) {
			r.Example = pretty(schema, schema.Example)
		}
		page.Schemas = append(page.Schemas, r)
	}
	return page, nil
}

var methodOrder = []string{http.MethodPost, http.MethodGet, http.MethodPatch, http.MethodDelete}

func (s *spec) referenceGroup(tag *openapi3.Tag) referenceGroup {
	g := referenceGroup{Name: tag.Name, About: tag.Description}
	for _, path := range slices.Sorted(maps.Keys(s.doc.Paths.Map())) {
		item := s.doc.Paths.Value(path)
		for _, method := range methodOrder {
			if op := item.GetOperation(method); op != nil && slices.Contains(op.Tags, tag.Name) {
				g.Operations = append(g.Operations, s.referenceOperation(method, path, item, op))
			}
		}
	}
	return g
}

func (s *spec) referenceOperation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) referenceOperation {
	r := referenceOperation{
		ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, About: op.Description,
		Scopes: s.operations[method+" "+echoPath(path)].scopes,
	}
	url := path
	for _, ref := range append(slices.Clone(item.Parameters), op.Parameters...) {
		p := ref.Value
		row := s.row(p.Name, p.Schema, p.Required)
		row.In, row.About = p.In, p.Description
		r.Parameters = append(r.Parameters, row)
		if p.In == openapi3.ParameterInPath {
			url = strings.ReplaceAll(url, "{"+p.Name+"}", row.Example)
		}
	}
	curl := []string{"curl"}
	if method != http.MethodGet {
		curl = append(curl, "-X "+method)
	}
	bearer := "$API_KEY"
	if op.Security != nil {
		bearer = "$OPERATOR_TOKEN"
	}
	curl = append(curl, `"$API_URL`+url+`"`, `-H "Authorization: Bearer `+bearer+`"`)
	if op.RequestBody != nil {
		ref := op.RequestBody.Value.Content.Get("application/json").Schema
		r.BodySchema, r.BodyRequired, r.Body = schemaName(ref), op.RequestBody.Value.Required, s.fields(ref.Value)
		if len(ref.Value.Properties) > 0 {
			curl = append(curl, "\\\n  -H 'Content-Type: application/json'", "\\\n  -d '"+strings.ReplaceAll(pretty(ref.Value, ref.Value.Example), "'", `'\''`)+"'")
		}
	}
	r.Curl = strings.Join(curl, " ")
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		answer := op.Responses.Value(status).Value
		a := referenceAnswer{Status: status}
		if answer.Description != nil {
			a.About = *answer.Description
		}
		for kind, media := range answer.Content {
			if !strings.HasSuffix(kind, "json") {
				continue
			}
			a.Schema = schemaName(media.Schema)
			if status < "300" {
				r.AnswerExample = pretty(media.Schema.Value, media.Schema.Value.Example)
			}
		}
		if csv := answer.Content["text/csv"]; csv != nil {
			a.About += " As CSV with `Accept: text/csv`: " + lowerFirst(csv.Schema.Value.Description)
		}
		r.Answers = append(r.Answers, a)
	}
	return r
}

// lowerFirst puts a sentence behind a colon.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// fields are an object's properties: the required ones in their order, then the others.
func (s *spec) fields(schema *openapi3.Schema) []referenceRow {
	var rows []referenceRow
	required := slices.Clone(schema.Required)
	for _, name := range keys(schema, schema.Properties) {
		row := s.row(name, schema.Properties[name], slices.Contains(required, name))
		if slices.Contains(s.alternatives[schema], name) {
			row.Limits = append(row.Limits, "exactly one of "+strings.Join(s.alternatives[schema], ", "))
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *spec) row(name string, ref *openapi3.SchemaRef, required bool) referenceRow {
	schema := ref.Value
	r := referenceRow{Name: name, Required: required, Type: strings.TrimPrefix(strings.TrimPrefix(article(schema), "an "), "a "), About: schema.Description, Link: schemaName(ref)}
	if schema.Items != nil {
		r.Type, r.Link = "list", schemaName(schema.Items)
	}
	if !schema.Type.Is(openapi3.TypeObject) && r.Link == "" || schema.Type.Is(openapi3.TypeString) {
		r.Example = exampleOf(schema)
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

var codeSpan = regexp.MustCompile("`([^`]+)`")

// prose turns the little Markdown of openapi.yaml, paragraphs and code spans, into HTML.
func prose(s string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if paragraph != "" {
			b.WriteString("<p>" + codeSpan.ReplaceAllString(html.EscapeString(paragraph), "<code>$1</code>") + "</p>")
		}
	}
	return template.HTML(b.String())
}
