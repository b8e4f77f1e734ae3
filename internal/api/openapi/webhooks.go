package openapi

import (
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

// Webhook is what x-webhooks says of one event: a path item of OpenAPI whose schema is a document of its own.
type Webhook struct {
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

// Webhooks reads x-webhooks: every event type, and nothing else.
func (s *Spec) Webhooks() (map[string]Webhook, error) {
	raw, err := json.Marshal(s.doc.Extensions["x-webhooks"])
	if err != nil {
		return nil, fmt.Errorf("openapi: x-webhooks: %w", err)
	}
	sent := make(map[string]Webhook)
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, fmt.Errorf("openapi: x-webhooks: %w", err)
	}
	types := s.doc.Components.Schemas["EventType"].Value.Enum
	for _, t := range types {
		if _, ok := sent[fmt.Sprint(t)]; !ok {
			return nil, fmt.Errorf("openapi: x-webhooks does not describe %v", t)
		}
	}
	if len(sent) != len(types) {
		return nil, fmt.Errorf("openapi: x-webhooks describes %d events, and there are %d", len(sent), len(types))
	}
	return sent, nil
}
