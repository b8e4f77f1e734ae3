package api

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestGenerated runs the generator again: the code in the repository is what openapi.yaml says.
func TestGenerated(t *testing.T) {
	for config, file := range map[string]string{"oapi-types.yaml": "types.gen.go", "oapi-codegen.yaml": "server.gen.go"} {
		out := filepath.Join(t.TempDir(), file)
		cmd := exec.CommandContext(t.Context(), "go", "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen", "-config", config, "-o", out, "openapi.yaml")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: run go generate ./internal/api", file)
		}
	}
}

// TestSchemasAreClosed: every object says what it may hold, what it must, and shows an example; what a request may hold
// is bounded, and every pattern of a request has words.
func TestSchemasAreClosed(t *testing.T) {
	s, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range s.doc.Components.Schemas {
		if ref.Value.Example == nil {
			t.Errorf("%s has no example", name)
		}
		closed(t, name, ref.Value)
	}
	for _, item := range s.doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, p := range append(slices.Clone(op.Parameters), item.Parameters...) {
				if p.Value.In != openapi3.ParameterInPath {
					bounded(t, op.OperationID+"?"+p.Value.Name, p.Value.Schema.Value)
				}
				if p.Value.Description == "" || exampleOf(p.Value.Schema.Value) == "" {
					t.Errorf("%s of %s has no description or example", p.Value.Name, op.OperationID)
				}
			}
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content.Get("application/json").Schema.Value
				bounded(t, op.OperationID, schema)
			}
			if op.Summary == "" || len(op.Tags) != 1 || op.Responses.Default() != nil {
				t.Errorf("%s: one tag, a summary, and every answer by its status", op.OperationID)
			}
		}
	}
}

func closed(t *testing.T, at string, s *openapi3.Schema) {
	if s.Type.Is(openapi3.TypeObject) {
		if allowed := s.AdditionalProperties.Has; s.AdditionalProperties.Schema == nil && (allowed == nil || *allowed) {
			t.Errorf("%s is open", at)
		}
		for _, name := range s.Required {
			if s.Properties[name] == nil {
				t.Errorf("%s requires %s, which it does not have", at, name)
			}
		}
		for name, p := range s.Properties {
			closed(t, at+"."+name, p.Value)
		}
	}
	if s.Items != nil {
		closed(t, at+"[]", s.Items.Value)
	}
}

func bounded(t *testing.T, at string, s *openapi3.Schema) {
	switch {
	case s.Type.Is(openapi3.TypeString):
		if s.MaxLength == nil && s.Enum == nil && s.Format != "date-time" {
			t.Errorf("%s has no greatest length", at)
		}
		if s.Pattern != "" && s.Format != "uint256" && s.Extensions["x-message"] == nil {
			t.Errorf("%s has a pattern without x-message", at)
		}
	case s.Type.Is(openapi3.TypeInteger):
		if s.Min == nil || s.Max == nil {
			t.Errorf("%s is unbounded", at)
		}
	case s.Type.Is(openapi3.TypeArray):
		if s.MaxItems == nil {
			t.Errorf("%s has no greatest length", at)
		}
		bounded(t, at+"[]", s.Items.Value)
	case s.Type.Is(openapi3.TypeObject):
		for name, p := range s.Properties {
			bounded(t, at+"."+name, p.Value)
		}
		if more := s.AdditionalProperties.Schema; more != nil {
			if s.MaxProps == nil || s.Extensions["x-key-max-length"] == nil {
				t.Errorf("%s has no greatest size", at)
			}
			bounded(t, at+".*", more.Value)
		}
	}
}

// TestWordsAgree: the file lists the same statuses, scopes and event types as the code.
func TestWordsAgree(t *testing.T) {
	s, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	var events, patterns []string
	for _, e := range webhook.EventTypes() {
		events = append(events, string(e))
	}
	patterns = append([]string{webhook.PatternAll, webhook.PatternPayments}, events...)
	for name, want := range map[string][]string{
		"EventType": events, "EventPattern": patterns, "PaymentStatus": words(models.PaymentStatuses),
		"DeliveryState": words(models.DeliveryStates), "Scope": words(models.Scopes),
		"EndpointStatus": {string(models.EndpointEnabled), string(models.EndpointDisabled), string(models.EndpointPaused)},
	} {
		var got []string
		for _, v := range s.doc.Components.Schemas[name].Value.Enum {
			got = append(got, v.(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: openapi.yaml has %v, the code %v", name, got, want)
		}
	}
	for _, op := range s.operations {
		for _, scope := range op.scopes {
			if scope != operatorRead && scope != operatorOperate && !slices.Contains(models.Scopes, models.Scope(scope)) {
				t.Errorf("%s needs scope %q, which does not exist", op.id, scope)
			}
		}
	}
	described := string(openAPI)
	for _, k := range kinds {
		if k.code != CodeMethodNotAllowed && !strings.Contains(described, "`"+string(k.code)+"`") {
			t.Errorf("no answer of openapi.yaml names the code %s", k.code)
		}
	}
}

func words[T ~string](list []T) []string {
	var out []string
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}
