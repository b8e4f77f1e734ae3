package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// sentWebhook is what x-webhooks says of one event: a path item of OpenAPI, whose schema lies in a document of its own.
type sentWebhook struct {
	Post struct {
		OperationID string                `json:"operationId"`
		Summary     string                `json:"summary"`
		Parameters  []*openapi3.Parameter `json:"parameters"`
		RequestBody struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
				Example json.RawMessage `json:"example"`
			} `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string `json:"description"`
		} `json:"responses"`
	} `json:"post"`
}

// webhooks reads x-webhooks: every event type, and nothing else.
func (s *spec) webhooks() (map[string]sentWebhook, error) {
	raw, err := json.Marshal(s.doc.Extensions["x-webhooks"])
	if err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: x-webhooks: %w", err)
	}
	sent := make(map[string]sentWebhook)
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: x-webhooks: %w", err)
	}
	types := s.doc.Components.Schemas["EventType"].Value.Enum
	for _, t := range types {
		if _, ok := sent[fmt.Sprint(t)]; !ok {
			return nil, fmt.Errorf("api: openapi.yaml: x-webhooks does not describe %v", t)
		}
	}
	if len(sent) != len(types) {
		return nil, fmt.Errorf("api: openapi.yaml: x-webhooks describes %d events, and there are %d", len(sent), len(types))
	}
	return sent, nil
}

// referenceEvents draws the requests that endpoints get. Headers and expected answers are those of every event.
func (s *spec) referenceEvents(page *referencePage) error {
	sent, err := s.webhooks()
	if err != nil {
		return err
	}
	for _, v := range s.doc.Components.Schemas["EventType"].Value.Enum {
		name := fmt.Sprint(v)
		event := sent[name].Post
		body := event.RequestBody.Content["application/json"]
		var example any
		if err := json.Unmarshal(body.Example, &example); err != nil {
			return fmt.Errorf("api: openapi.yaml: the example of %s: %w", name, err)
		}
		page.Events = append(page.Events, referenceEvent{
			Name: name, About: event.Summary, Schema: body.Schema.Ref, Example: pretty(s.doc.Components.Schemas["Event"].Value, example),
		})
		if page.Sent != nil {
			continue
		}
		for _, p := range event.Parameters {
			row := s.row(p.Name, p.Schema, p.Required)
			row.About = p.Description
			page.Sent = append(page.Sent, row)
		}
		for _, status := range slices.Sorted(maps.Keys(event.Responses)) {
			page.Expected = append(page.Expected, referenceAnswer{Status: status, About: event.Responses[status].Description})
		}
	}
	return nil
}
