package events

import (
	"bytes"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// Encoder holds the compiled schema of every event type. It is safe for concurrent use.
type Encoder struct {
	schemas map[webhook.EventType]*jsonschema.Schema
}

// New compiles the schemas.
func New() (*Encoder, error) {
	e := &Encoder{schemas: make(map[webhook.EventType]*jsonschema.Schema)}
	c := jsonschema.NewCompiler()
	for _, t := range webhook.EventTypes() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(webhook.Schema(t)))
		if err != nil {
			return nil, fmt.Errorf("events: schema of %s: %w", t, err)
		}
		url := "schema:///" + string(t)
		if err := c.AddResource(url, doc); err != nil {
			return nil, fmt.Errorf("events: schema of %s: %w", t, err)
		}
		if e.schemas[t], err = c.Compile(url); err != nil {
			return nil, fmt.Errorf("events: schema of %s: %w", t, err)
		}
	}
	return e, nil
}

// Encode returns the body of an event. The error names the event and the first thing that does not fit.
func (e *Encoder) Encode(ev webhook.Event) ([]byte, error) {
	schema, ok := e.schemas[ev.Type]
	if !ok {
		return nil, fmt.Errorf("events: %s: no schema for type %q", ev.ID, ev.Type)
	}
	body, err := webhook.Encode(ev)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("events: %s: %w", ev.ID, err)
	}
	if err := schema.Validate(doc); err != nil {
		return nil, fmt.Errorf("events: %s: %w", ev.ID, err)
	}
	return body, nil
}
