package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestFormsSayWhatTheSchemasSay changes events of every type in every place, in many ways, and holds each body against
// the schema with a library that knows all of JSON Schema: we refuse what it refuses. What it lets pass we let pass,
// but for numbers that are written as no plain whole ones.
func TestFormsSayWhatTheSchemasSay(t *testing.T) {
	m, err := New()
	if err != nil {
		t.Fatal(err)
	}
	tried, refused := 0, 0
	for _, typ := range webhook.EventTypes() {
		schema := library(t, typ)
		for _, body := range bodies(t, typ) {
			deep := func(string) bool { return true }
			var doc any
			if err := json.Unmarshal(body, &doc); err != nil {
				t.Fatal(err)
			}
			if err := m.forms[typ].check(body); err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			if typ != webhook.PaymentCreated { // the payment is the same in all
				deep = func(name string) bool { return name != "payment" }
			}
			change(doc, deep, func(what string) {
				changed, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(changed))
				if err != nil {
					t.Fatal(err)
				}
				theirs, ours := schema.Validate(value), m.forms[typ].check(changed)
				plain := strings.HasSuffix(what, "= 1.5") || !strings.Contains(what, "e+")
				if (theirs == nil) != (ours == nil) && (theirs != nil || plain) {
					t.Errorf("%s with %s: the schema says %v, and we %v", typ, what, theirs, ours)
				}
				tried++
				if ours != nil {
					refused++
				}
			})
		}
	}
	if tried < 5000 || refused < 3000 || refused == tried {
		t.Errorf("%d bodies tried, %d refused", tried, refused)
	}
}

func library(t *testing.T, typ webhook.EventType) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(webhook.Schema(typ)))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema:///x", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema:///x")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// bodies are events of a type: the sample, and one with all that a payment may show.
func bodies(t *testing.T, typ webhook.EventType) [][]byte {
	t.Helper()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	e := webhook.Event{ID: "evt_" + strings.Repeat("0", 26), Type: typ, APIVersion: webhook.APIVersion,
		CreatedAt: webhook.At(at), Timestamp: at.Unix(), Nonce: strings.Repeat("a", 32),
		MerchantID: "mer_" + strings.Repeat("0", 26)}
	encode := func() []byte {
		b, err := webhook.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !typ.IsPayment() {
		reason := "gone"
		e.Data.Endpoint = &webhook.Endpoint{ID: "we_" + strings.Repeat("0", 26), URL: "https://shop.example",
			Status: "disabled", DisabledReason: &reason, SecretCreatedAt: webhook.AtPtr(&at)}
		return [][]byte{encode()}
	}
	e.Data = Sample(typ, at)
	sample := encode()
	p := e.Data.Payment
	other, contract, tx := "pay_"+strings.Repeat("1", 26), "0x"+strings.Repeat("A", 40), "0x"+strings.Repeat("b", 64)
	p.Replaces, p.ReplacedBy, p.Asset.Contract = &other, &other, &contract
	p.Metadata = map[string]string{"cart \"é\"": "\n9"}
	transfer := webhook.Transfer{TxHash: &tx, From: &contract, Amount: "1", BlockNumber: 1, BlockHash: tx,
		BlockTimestamp: webhook.At(at), Status: "seen", Source: "chain"}
	balance := transfer
	balance.TxHash, balance.From, balance.Source = nil, nil, "balance"
	p.Transfers = []webhook.Transfer{transfer, balance}
	p.Doubts = []webhook.Doubt{{ID: "dbt_" + strings.Repeat("0", 26), Kind: "hidden", Chain: "sepolia", ChainID: 1,
		Asset: p.Asset, Amount: "1", TxHash: &tx, BlockNumber: 1, BlockHash: tx, CreatedAt: webhook.At(at)}}
	return [][]byte{sample, encode()}
}

// values are what a member is changed into.
var values = []any{nil, true, "", "x", "é", "pending", "chain", "balance", "0", "007", "1.5", "-1", "https://x",
	"evt_" + strings.Repeat("0", 26), "pay_" + strings.Repeat("0", 26), "0x" + strings.Repeat("a", 40),
	"0x" + strings.Repeat("a", 64), "0x" + strings.Repeat("A", 64), "2026-11-23T12:00:00.000Z",
	"2026-13-23T12:00:00.000Z",
	strings.Repeat("9", 78), strings.Repeat("9", 79), strings.Repeat("é", 255), strings.Repeat("é", 256),
	strings.Repeat("x", 501),
	json.Number("0"), json.Number("-1"), json.Number("1"), json.Number("255"), json.Number("256"), json.Number("1.5"),
	json.Number("9007199254740991"), json.Number("9007199254740992"), json.Number("99999999999999999999"),
	json.Number("-99999999999999999999"), json.Number("1e+2"), []any{}, []any{"x"}, map[string]any{},
	map[string]any{"x": "y"},
}

// change calls f once for every change of a document, in every place but in members that are not deep, and undoes it.
func change(doc any, deep func(name string) bool, f func(what string)) {
	var walk func(v any, at string, set func(any))
	walk = func(v any, at string, set func(any)) {
		for _, other := range values {
			set(other)
			f(fmt.Sprintf("%s = %.40v", at, other))
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range []string{"more", "", strings.Repeat("é", 40), strings.Repeat("é", 41)} {
				v[name] = "x"
				f(at + " with one more")
				delete(v, name)
			}
			for name, was := range v {
				delete(v, name)
				f(at + " without " + name)
				v[name] = was
				if deep(name) {
					walk(was, at+"."+name, func(to any) { v[name] = to })
				}
			}
		case []any:
			if len(v) == 0 {
				return
			}
			set(append(append([]any{}, v...), v[0]))
			f(at + " with an item twice")
			set(repeated(v[0], 21))
			f(at + " with 21 items")
			set(v)
			for i, was := range v {
				walk(was, fmt.Sprintf("%s[%d]", at, i), func(to any) { v[i] = to })
			}
		}
	}
	root := doc.(map[string]any)
	for name, was := range root {
		delete(root, name)
		f("without " + name)
		root[name] = was
		walk(was, name, func(to any) { root[name] = to })
	}
	root["more"] = 1
	f("one more")
	delete(root, "more")
}

func repeated(v any, n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// TestFormRefusesWhatIsNoValue: text that is no JSON, that has a member twice or that is escaped past a pattern.
func TestFormRefusesWhatIsNoValue(t *testing.T) {
	m, err := New()
	if err != nil {
		t.Fatal(err)
	}
	body := bodies(t, webhook.PaymentCreated)[1]
	for name, bad := range map[string][]byte{
		"nothing":           nil,
		"cut":               body[:len(body)-1],
		"something after":   append(bytes.Clone(body), '1'),
		"a list":            []byte("[]"),
		"a member twice":    append(append([]byte{'{'}, `"type":"payment.created",`...), body[1:]...),
		"an escaped letter": bytes.Replace(body, []byte(`"pending"`), []byte(`"p\u0065nding!"`), 1),
	} {
		if err := m.forms[webhook.PaymentCreated].check(bad); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	same := bytes.Replace(body, []byte(`"pending"`), []byte("\t\"p\\u0065nding\" "), 1)
	if err := m.forms[webhook.PaymentCreated].check(same); err != nil {
		t.Errorf("the same in other bytes: %v", err)
	}
}

// TestUnknownKeywordsAreRefused: a schema that says more than a form can hold is no form.
func TestUnknownKeywordsAreRefused(t *testing.T) {
	for _, schema := range []string{`{"dependentRequired":{}}`, `{"type":"number"}`, `{"const":1}`,
		`{"properties":{"a":{"not":{}}}}`,
		`{"$ref":"#/$defs/none"}`, `{"$ref":"#/$defs/a","type":"object","$defs":{"a":{}}}`, `{"required":["a"]}`,
		`{"pattern":"("}`, `{"minimum":0.5}`, `[]`} {
		var doc any
		dec := json.NewDecoder(strings.NewReader(schema))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if _, err := compileForm(doc); err == nil {
			t.Errorf("%s was compiled", schema)
		}
	}
}

// BenchmarkPayment tells what an event of a payment costs, its check included.
func BenchmarkPayment(b *testing.B) {
	m, err := New()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	view := Sample(webhook.PaymentCreated, now).Payment
	p := Payment{Type: webhook.PaymentCreated, MerchantID: "mer_" + strings.Repeat("0", 26), View: *view}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Payment(p, now); err != nil {
			b.Fatal(err)
		}
	}
}
