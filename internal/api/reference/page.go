package reference

import (
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
)

// Problem is a kind of problem document, for the table of codes.
type Problem struct {
	Code   string
	Status int
	Title  string
}

// Page is all that the reference says, in the order in which it says it.
type Page struct {
	Title, Version string
	About          string
	Groups         []group
	Sent           []row // the headers of a webhook
	Expected       []answer
	Events         []event
	Problems       []Problem
	Schemas        []schema
}

type group struct {
	Name       string
	About      string
	Operations []operation
}

type operation struct {
	ID, Method, Path, Summary string
	Scopes                    []string
	About                     string
	Parameters                []row
	BodySchema                string
	BodyRequired              bool
	Body                      []row
	Curl                      string
	Answers                   []answer
	AnswerExample             string
}

type answer struct {
	Status, Schema string
	About          string
}

type row struct {
	Name, Type, Link, In, Example string
	Required                      bool
	Limits                        []string
	About                         string
}

type event struct {
	Name, About, Schema, Example string
}

type schema struct {
	Name, Type, Example string
	About               string
	Values              []string
	Fields              []row
}

// New collects what the reference says about a file; problems are the codes in the order of the page. The file must
// have tags, and describe in x-webhooks the event types of its schema EventType.
func New(spec *openapi.Spec, problems []Problem) (*Page, error) {
	b := builder{spec, spec.Document()}
	page := &Page{Title: b.doc.Info.Title, Version: b.doc.Info.Version, About: b.doc.Info.Description, Problems: problems}
	for _, tag := range b.doc.Tags {
		page.Groups = append(page.Groups, b.group(tag))
	}
	if err := b.addEvents(page); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.doc.Components.Schemas)) {
		page.Schemas = append(page.Schemas, b.schema(name, b.doc.Components.Schemas[name].Value))
	}
	return page, nil
}

func (b builder) schema(name string, s *openapi3.Schema) schema {
	shown := schema{Name: name, Type: openapi.Kind(s), About: s.Description, Fields: b.fields(s)}
	for _, v := range s.Enum {
		shown.Values = append(shown.Values, fmt.Sprint(v))
	}
	if s.Type.Is(openapi3.TypeObject) {
		shown.Example = pretty(s, s.Example)
	}
	return shown
}
