package webhook_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func compile(t *testing.T, kind webhook.EventType) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(webhook.Schema(kind)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:///"+string(kind), doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///" + string(kind))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instance(t *testing.T, body []byte) map[string]any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func TestGoldenBodiesFitTheirSchemas(t *testing.T) {
	bodies := goldenBodies(t)
	for _, kind := range webhook.EventTypes() {
		t.Run(string(kind), func(t *testing.T) {
			s := compile(t, kind)
			for other, body := range bodies {
				err := s.Validate(instance(t, body))
				if other == string(kind) && err != nil {
					t.Error(err)
				}
				if other != string(kind) && err == nil {
					t.Errorf("also takes a body of %s", other)
				}
			}
		})
	}
}

// newer are members that bodies do not have which were stored before there were any.
var newer = []string{"transfers_new", "transfers_total", "totals", "order_current", "replaces",
	"replaced_by", "doubts", "test", "amount_received_decimal", "updated_at", "redirect_url", "payment_uri"}

// Every object of every body takes members that come later, and every one of today's is required, but for newer ones.
func TestSchemasAreOpenAndComplete(t *testing.T) {
	for name, body := range goldenBodies(t) {
		s := compile(t, webhook.EventType(name))
		root := instance(t, body)
		tried := 0
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch v := v.(type) {
			case []any:
				for _, item := range v {
					walk(path+"[]", item)
				}
			case map[string]any:
				if strings.HasSuffix(path, ".metadata") {
					return
				}
				v["unheard_of"] = "x"
				if err := s.Validate(root); err != nil {
					t.Errorf("%s: %s refuses a member of the future: %v", name, path, err)
				}
				delete(v, "unheard_of")
				for key, old := range maps.Clone(v) {
					tried++
					delete(v, key)
					if s.Validate(root) == nil && !slices.Contains(newer, key) {
						t.Errorf("%s: %s.%s is not required", name, path, key)
					}
					for _, wrong := range []any{map[string]any{}, json.Number("-1"), json.Number("1.5"), "\x00", true} {
						if _, flag := old.(bool); flag && wrong == any(true) {
							continue
						}
						if _, text := wrong.(string); text &&
							(key == "order_id" || key == "symbol" || key == "chain" || key == "disabled_reason") {
							continue // free text; control characters are refused where it comes in
						}
						if _, object := wrong.(map[string]any); object && key == "metadata" {
							continue
						}
						v[key] = wrong
						if s.Validate(root) == nil {
							t.Errorf("%s: %s.%s takes %v", name, path, key, wrong)
						}
					}
					v[key] = old
					walk(path+"."+key, old)
				}
			}
		}
		walk("$", root)
		if err := s.Validate(root); err != nil || tried < 10 {
			t.Fatalf("%s: %d members tried, at the end %v", name, tried, err)
		}
	}
}

func TestSchemaValues(t *testing.T) {
	s := compile(t, webhook.PaymentConfirmed)
	transferList := func(n int) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = instance(t,
				mustEncode(t,
					webhook.PaymentConfirmed))["data"].(map[string]any)["payment"].(map[string]any)["transfers"].([]any)[0]
		}
		return list
	}
	set := func(path string, v any) func(map[string]any) {
		return func(root map[string]any) {
			keys := strings.Split(path, ".")
			m := root
			for _, k := range keys[:len(keys)-1] {
				if list, ok := m[k].([]any); ok {
					m = list[0].(map[string]any)
				} else {
					m = m[k].(map[string]any)
				}
			}
			m[keys[len(keys)-1]] = v
		}
	}
	for _, c := range []struct {
		name string
		set  func(map[string]any)
		ok   bool
	}{
		{"2^256-1", set("data.payment.amount", "115792089237316195423570985008687907853269984665640564039457584007913129639935"), true},
		{"zero", set("data.payment.amount_received", "0"), true},
		{"leading zero", set("data.payment.amount", "01"), false},
		{"empty amount", set("data.payment.amount", ""), false},
		{"79 digits", set("data.payment.amount", strings.Repeat("9", 79)), false},
		{"exponent", set("data.payment.amount", "1e6"), false},
		{"fraction", set("data.payment.amount", "1.0"), false},
		{"newline after the digits", set("data.payment.amount", "1\n"), false},
		{"decimal without whole part", set("data.payment.amount_decimal", ".5"), false},
		{"short address", set("data.payment.address", deposit[:41]), false},
		{"address without 0x", set("data.payment.address", deposit[2:]+"ab"), false},
		{"native asset", set("data.payment.asset.contract", nil), true},
		{"short hash", set("data.payment.transfers.block_hash", hash("a")[:65]), false},
		{"null hash from a block", set("data.payment.transfers.tx_hash", nil), false},
		{"null sender from a block", set("data.payment.transfers.from", nil), false},
		{"hash from a balance", set("data.payment.transfers.source", "balance"), true},
		{"a source of the future", set("data.payment.transfers.source", "guess"), true},
		{"a source that is no word", set("data.payment.transfers.source", "A guess"), false},
		{"unknown transfer status", set("data.payment.transfers.status", "final"), false},
		{"unknown status", set("data.payment.status", "paid"), false},
		{"null order", set("data.payment.order_id", nil), true},
		{"long order", set("data.payment.order_id", strings.Repeat("x", 256)), false},
		{"not confirmed", set("data.payment.confirmed_at", nil), true},
		{"seconds only", set("created_at", "2026-11-23T10:00:00Z"), false},
		{"offset", set("created_at", "2026-11-23T10:00:00.123+00:00"), false},
		{"sequence 0", set("data.payment.sequence", json.Number("0")), false},
		{"metadata with a number", set("data.payment.metadata", map[string]any{"a": json.Number("1")}), false},
		{"empty metadata", set("data.payment.metadata", map[string]any{}), true},
		{"null metadata", set("data.payment.metadata", nil), false},
		{"20 transfers", set("data.payment.transfers", transferList(20)), true},
		{"21 transfers", set("data.payment.transfers", transferList(21)), false},
		{"nonce in capitals", set("nonce", strings.Repeat("A", 32)), false},
		{"id of another kind", set("id", id("pay", "1")), false},
		{"id with a dot", set("id", id("evt", ".")), false},
		{"another version", set("api_version", "2026-12-01"), false},
		{"another type", set("type", "payment.created"), false},
		{"retracts an event", set("data.retracts", []any{id("evt", "2")}), true},
		{"retracts a payment", set("data.retracts", []any{id("pay", "2")}), false},
		{"javascript link", set("data.payment.checkout_url", "javascript:alert(1)"), false},
	} {
		root := instance(t, mustEncode(t, webhook.PaymentConfirmed))
		c.set(root)
		if err := s.Validate(root); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func mustEncode(t testing.TB, kind webhook.EventType) []byte {
	t.Helper()
	b, err := webhook.Encode(sample(kind))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The files refer to defs.json by relative name: a directory of them works in any validator.
func TestSchemaFiles(t *testing.T) {
	c := jsonschema.NewCompiler()
	names, err := fs.Glob(webhook.SchemaFS(), "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := fs.ReadFile(webhook.SchemaFS(), name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("mem:///"+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	if len(names) != len(webhook.EventTypes())+1 {
		t.Errorf("%d files for %d types", len(names), len(webhook.EventTypes()))
	}
	for kind, body := range goldenBodies(t) {
		s, err := c.Compile("mem:///" + kind + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(instance(t, body)); err != nil {
			t.Error(err)
		}
	}
	if webhook.Schema("payment.teleported") != nil || webhook.Schema("defs") != nil {
		t.Error("a schema for an unknown type")
	}
}
