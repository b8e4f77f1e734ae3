package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/contract"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestGenerated runs the generator again: the code in the repository is what openapi.yaml says.
func TestGenerated(t *testing.T) {
	for config, file := range map[string]string{"oapi-types.yaml": "types.gen.go", "oapi-codegen.yaml": "server.gen.go"} {
		out := filepath.Join(t.TempDir(), file)
		cmd := testkit.Go(t.Context(), "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen", "-config", config,
			"-o", out, "openapi.yaml")
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

// TestRequestsAreClosedAndAnswersOpen: a request holds what the file names and nothing else, while an answer may get
// members that today's clients do not know. Every object says what it must hold, and shows an example; what a request
// may hold is bounded, and every pattern of a request has words.
func TestRequestsAreClosedAndAnswersOpen(t *testing.T) {
	s := loadSpec(t)
	for name, ref := range s.Document().Components.Schemas {
		if ref.Value.Example == nil {
			t.Errorf("%s has no example", name)
		}
	}
	for _, item := range s.Document().Paths.Map() {
		for _, op := range item.Operations() {
			for _, p := range append(slices.Clone(op.Parameters), item.Parameters...) {
				if p.Value.In != openapi3.ParameterInPath {
					bounded(t, op.OperationID+"?"+p.Value.Name, p.Value.Schema.Value)
				}
				if p.Value.Description == "" || openapi.Example(p.Value.Schema.Value) == "" {
					t.Errorf("%s of %s has no description or example", p.Value.Name, op.OperationID)
				}
			}
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content.Get("application/json").Schema.Value
				bounded(t, op.OperationID, schema)
				objects(t, op.OperationID, schema, true)
			}
			for status, answer := range op.Responses.Map() {
				for _, media := range answer.Value.Content {
					objects(t, op.OperationID+" "+status, media.Schema.Value, false)
				}
			}
			if op.Summary == "" || len(op.Tags) != 1 || op.Responses.Default() != nil {
				t.Errorf("%s: one tag, a summary, and every answer by its status", op.OperationID)
			}
		}
	}
}

// objects checks that every object of a schema is closed, or that every one is open, and has what it requires.
func objects(t *testing.T, at string, s *openapi3.Schema, closed bool) {
	t.Helper()
	if s.Type.Is(openapi3.TypeObject) {
		more := s.AdditionalProperties
		if is := more.Has != nil && !*more.Has; more.Schema == nil && is != closed {
			t.Errorf("%s: closed is %t, want %t", at, is, closed)
		}
		for _, name := range s.Required {
			if s.Properties[name] == nil {
				t.Errorf("%s requires %s, which it does not have", at, name)
			}
		}
	}
	for name, p := range s.Properties {
		objects(t, at+"."+name, p.Value, closed)
	}
	for _, inner := range s.AllOf {
		objects(t, at, inner.Value, closed)
	}
	if s.Items != nil {
		objects(t, at+"[]", s.Items.Value, closed)
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

// TestExamples: every schema, parameter, header and answer shows a good value, and each fits: what the library holds
// against its schema when the file is loaded, and the problem of each answer has the answer's status and one of its
// codes.
func TestExamples(t *testing.T) {
	s := loadSpec(t)
	contract.Close(s.Document())
	for name, ref := range s.Document().Components.Schemas {
		shown(t, name, ref)
	}
	for name, ref := range s.Document().Components.Headers {
		shown(t, "header "+name, ref.Value.Schema)
	}
	for name, ref := range s.Document().Components.Parameters {
		shown(t, "parameter "+name, ref.Value.Schema)
	}
	for _, op := range s.Operations() {
		for _, p := range append(slices.Clone(op.Route.Operation.Parameters), op.Route.PathItem.Parameters...) {
			shown(t, op.ID+"?"+p.Value.Name, p.Value.Schema)
		}
		for status, answer := range op.Route.Operation.Responses.Map() {
			at := op.ID + " " + status
			for _, h := range answer.Value.Headers {
				shown(t, at, h.Value.Schema)
			}
			for kind, media := range answer.Value.Content {
				if kind != "application/problem+json" {
					shown(t, at, media.Schema)
					continue
				}
				example, ok := media.Example.(map[string]any)
				if !ok || fmt.Sprint(example["status"]) != status ||
					!strings.Contains(*answer.Value.Description, "`"+fmt.Sprint(example["code"])+"`") {
					t.Errorf("%s: the example is %v", at, media.Example)
					continue
				}
				if p := NewProblem(Code(fmt.Sprint(example["code"])), ""); p.Title != example["title"] ||
					p.Type != example["type"] {
					t.Errorf("%s: the example is %v, the code has %+v", at, example, p)
				}
			}
		}
	}
	for _, row := range []struct {
		path    string
		columns []string
	}{{"/api/v1/payments", payments.Columns}, {"/api/v1/deliveries", deliveryColumns}} {
		answer := s.Document().Paths.Value(row.path).Get.Responses.Value("200").Value
		example := answer.Content.Get("text/csv").Schema.Value.Example
		rows, err := csv.NewReader(strings.NewReader(fmt.Sprint(example))).ReadAll()
		if err != nil || len(rows) != 2 || !slices.Equal(rows[0], row.columns) {
			t.Errorf("%s: the example is %q, %v", row.path, rows, err)
		}
	}
	if _, ok := openCursor(exampleCursor, 2); !ok || !strings.Contains(string(openAPI), exampleCursor) {
		t.Error("the example of a cursor is none")
	}
}

// shown finds what has no example of its own, of its items or of its fields.
func shown(t *testing.T, at string, ref *openapi3.SchemaRef) {
	t.Helper()
	s := ref.Value
	for name, p := range s.Properties {
		if p.Ref == "" {
			shown(t, at+"."+name, p)
		}
	}
	switch {
	case s.Example != nil:
		if err := s.VisitJSON(s.Example); err != nil {
			t.Errorf("the example of %s: %v", at, err)
		}
	case s.Items != nil:
		shown(t, at+"[]", s.Items)
	case len(s.AllOf) == 1:
		shown(t, at, s.AllOf[0])
	case len(s.Enum) != 1:
		t.Errorf("%s has no example", at)
	}
}

// TestWebhooks: each event's body is described by the schema that is published, and its example is the golden body of
// the package webhook, which fits.
func TestWebhooks(t *testing.T) {
	server := testServer(t, io.Discard)
	sent, err := server.spec.Webhooks()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for _, kind := range webhook.EventTypes() {
		event := sent[string(kind)].Post
		body := event.RequestBody.Content["application/json"]
		published := ask(server, http.MethodGet, body.Schema.Ref, "")
		if published.Code != http.StatusOK || !bytes.Equal(published.Body.Bytes(), webhook.Schema(kind)) {
			t.Errorf("%s: %s answers %d", kind, body.Schema.Ref, published.Code)
			continue
		}
		document, err := jsonschema.UnmarshalJSON(published.Body)
		if err == nil {
			err = compiler.AddResource("/schemas/"+string(kind)+".json", document)
		}
		if err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile("/schemas/" + string(kind) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		golden, err := os.ReadFile(filepath.Join("../../webhook/testdata", string(kind)+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(golden, &want); err != nil {
			t.Fatal(err)
		}
		example, err := jsonschema.UnmarshalJSON(bytes.NewReader(body.Example))
		if err == nil {
			err = schema.Validate(example)
		}
		var got any
		if err == nil {
			err = json.Unmarshal(body.Example, &got)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the example %s does not fit or is not the golden body: %v", kind, body.Example, err)
		}
		if len(event.Parameters) < 9 || event.Responses["2XX"].Description == "" ||
			event.Responses["default"].Description == "" || event.OperationID == "" {
			t.Errorf("%s: %+v", kind, event)
		}
		for _, p := range event.Parameters {
			if p.In != openapi3.ParameterInHeader || p.Description == "" || p.Schema.Value.Example == nil {
				t.Errorf("%s: %+v", kind, p)
			}
		}
	}
}

// TestWordsAgree: the file lists the same statuses, scopes and event types as the code.
func TestWordsAgree(t *testing.T) {
	s := loadSpec(t)
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
		for _, v := range s.Document().Components.Schemas[name].Value.Enum {
			got = append(got, v.(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: openapi.yaml has %v, the code %v", name, got, want)
		}
	}
	for _, op := range s.Operations() {
		for _, scope := range op.Scopes {
			if scope != operatorRead && scope != operatorOperate && !slices.Contains(models.Scopes, models.Scope(scope)) {
				t.Errorf("%s needs scope %q, which does not exist", op.ID, scope)
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
