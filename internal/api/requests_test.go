package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// stranger is a second merchant, whose things no answer to the first one may show.
type stranger struct {
	ids   map[string]string // by resource
	marks []string          // texts that stand in his rows alone
}

// fuzzedCounter is the server that every fuzzed request goes to, with what the requests are made of.
type fuzzedCounter struct {
	*counter
	routes     []string
	merchantID string            // who asks
	key        string            // his
	mine       map[string]string // his things, by resource
	other      stranger
}

func newFuzzedCounter(t testing.TB) *fuzzedCounter {
	t.Helper()
	c := newCounter(t, storetest.SQLite(t), func(o *Options) { o.Limits.Rate, o.Limits.Burst = 1e9, 1e9 })
	f := &fuzzedCounter{counter: c}
	for route, op := range c.spec.operations {
		if op.id != "testWebhookEndpoint" { // it waits for a worker, and none runs here
			f.routes = append(f.routes, route)
		}
	}
	slices.Sort(f.routes)
	f.merchantID, f.key = c.merchant(t, "a", false)
	f.mine = f.things(t, f.key, "mine")
	otherID, theirs := c.merchant(t, "b", false)
	f.other.ids = f.things(t, theirs, "strangers-mark")
	f.other.ids["merchants"] = otherID
	f.other.marks = append(slices.Collect(maps.Values(f.other.ids)), "strangers-mark")
	return f
}

// things makes one of everything that a merchant can have.
func (f *fuzzedCounter) things(t testing.TB, key, mark string) map[string]string {
	t.Helper()
	e := decoded[WebhookEndpoint](t, f.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/`+mark+`","description":"`+mark+`"}`), http.StatusCreated)
	p := decoded[Payment](t, f.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"1","order_id":"`+mark+`"}`), http.StatusCreated)
	d := decoded[DeliveryList](t, f.ask(key, "GET", "/api/v1/deliveries", ""), http.StatusOK).Data[0]
	k := decoded[APIKeyList](t, f.ask(key, "GET", "/api/v1/api_keys", ""), http.StatusOK).Data[0]
	r := decoded[Replay](t, f.ask(key, "POST", "/api/v1/webhook_endpoints/"+e.ID+"/replay", ""), http.StatusAccepted)
	return map[string]string{"merchants": f.merchantID, "replays": *r.ID, "payments": p.ID, "events": d.EventID, "webhook_endpoints": e.ID, "deliveries": d.ID, "api_keys": k.ID}
}

// dice make choices: as the fuzzer's bytes say, and at random, but always alike, when these are used up.
type dice struct {
	bytes []byte
	rest  *rand.Rand
}

func newDice(b []byte) *dice {
	var seed [32]byte
	copy(seed[:], b)
	return &dice{bytes: b, rest: rand.New(rand.NewChaCha8(seed))}
}

func (d *dice) n(n int) int {
	if len(d.bytes) == 0 {
		return d.rest.IntN(n)
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % n
}

// one is true once in n times.
func (d *dice) one(n int) bool { return d.n(n) == 0 }

func pick[T any](d *dice, from ...T) T { return from[d.n(len(from))] }

// odd are values that no schema asks for, or that lie on its edge.
func (d *dice) odd() any {
	return pick[any](d, nil, true, 0, -1, 1.5, 1e300, "", " ", "null", "\x00", "a\nb", "\u202egnp.exe", "𝕏", "'; DROP TABLE payments; --", "../../etc/passwd",
		strings.Repeat("x", 70_000), strings.Repeat("9", 80), "0x"+strings.Repeat("f", 40), "-0", "1e3", "2026-11-23T10:00:00Z", "http://169.254.169.254/",
		"https://[::ffff:127.0.0.1]/", []any{}, []any{nil}, map[string]any{}, map[string]any{"": nil}, json.Number("18446744073709551616"))
}

// value is one that the schema allows, most of the time.
func (d *dice) value(s *openapi3.Schema, depth int) any {
	if d.one(12) || depth > 6 {
		return d.odd()
	}
	if s.Example != nil && d.one(3) {
		return s.Example
	}
	if len(s.Enum) > 0 {
		return pick(d, s.Enum...)
	}
	for _, group := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf, s.AllOf} {
		if len(group) > 0 {
			return d.value(group[d.n(len(group))].Value, depth+1)
		}
	}
	switch {
	case s.Type.Is("object"):
		return d.object(s, depth)
	case s.Type.Is("array"):
		list := make([]any, d.n(4))
		for i := range list {
			list[i] = d.value(s.Items.Value, depth+1)
		}
		return list
	case s.Type.Is("boolean"):
		return d.one(2)
	case s.Type.Is("integer"), s.Type.Is("number"):
		from, to := 0.0, 1e6
		if s.Min != nil {
			from = *s.Min
		}
		if s.Max != nil {
			to = *s.Max
		}
		return pick(d, from, to, from-1, to+1, from+float64(d.n(256)))
	}
	return pick(d, "ethereum", "native", "1", "0.5", "payment.confirmed", "*", "https://shop.example/hooks", strings.Repeat("a", d.n(300)), "mine", "10.0.0.0/8")
}

func (d *dice) object(s *openapi3.Schema, depth int) map[string]any {
	o := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if (slices.Contains(s.Required, name) && !d.one(15)) || d.one(2) {
			o[name] = d.value(s.Properties[name].Value, depth+1)
		}
	}
	if more := s.AdditionalProperties.Schema; more != nil {
		for i := range d.n(4) {
			o[fmt.Sprintf("key%d", i)] = d.value(more.Value, depth+1)
		}
	}
	if d.one(15) {
		o["unknown"] = d.odd()
	}
	return o
}

// request is one that the dice made of an operation.
type request struct {
	method, target, body, idempotencyKey string
	operator                             bool
}

func (f *fuzzedCounter) request(d *dice) request {
	method, path, _ := strings.Cut(pick(d, f.routes...), " ")
	op := f.spec.operations[method+" "+path]
	resource := strings.Split(path, "/")[3]
	id := pick(d, f.mine[resource], f.mine[resource], f.other.ids[resource], pick(d, slices.Sorted(maps.Values(f.other.ids))...), fmt.Sprint(d.odd()), "x")
	if strings.Trim(id, "./ ") == "" {
		id = "x"
	}
	if len(id) > 4000 {
		id = id[:4000]
	}
	query := make(url.Values)
	for _, name := range slices.Sorted(maps.Keys(op.query)) {
		if d.one(3) {
			query.Set(name, pick(d, fmt.Sprint(d.value(op.query[name].Schema.Value, 0)), f.other.ids["payments"], f.other.ids["events"], f.other.ids["webhook_endpoints"]))
		}
	}
	if d.one(20) {
		query.Set("unknown", fmt.Sprint(d.odd()))
	}
	r := request{method: method, target: strings.Replace(path, ":id", url.PathEscape(id), 1), operator: forOperator(op.scopes) && !d.one(10)}
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	if b := op.route.Operation.RequestBody; b != nil && !d.one(10) {
		v := d.value(b.Value.Content.Get("application/json").Schema.Value, 0)
		raw, err := json.Marshal(v)
		if err != nil {
			f.t.Fatalf("%v of %v", err, v)
		}
		r.body = string(raw)
		if d.one(15) {
			r.body = r.body[:d.n(len(r.body)+1)]
		}
	}
	if d.one(4) {
		r.idempotencyKey = pick(d, "a", "b", strings.Repeat("k", 256), "\t")
	}
	return r
}

// FuzzRequests sends requests that are made of the OpenAPI file, and spoilt here and there, to the real server. There is
// never a 5xx, every answer is one that the file allows, and none shows a thing of another merchant.
func FuzzRequests(f *testing.F) {
	for i := range 40 {
		f.Add([]byte{byte(i), byte(7 * i), byte(31 * i)})
	}
	c := newFuzzedCounter(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c.t = t
		d := newDice(b)
		for range 1 + d.n(6) {
			r := c.request(d)
			var headers []string
			if r.idempotencyKey != "" {
				headers = append(headers, "Idempotency-Key", r.idempotencyKey)
			}
			key := c.key
			if r.operator {
				key = operatorToken
			}
			w := c.ask(key, r.method, r.target, r.body, headers...)
			if w.Code >= 500 {
				t.Errorf("%s %s %.300s: %d %s", r.method, r.target, r.body, w.Code, w.Body)
			}
			for _, mark := range c.other.marks {
				if !r.operator && strings.Contains(w.Body.String(), mark) && !strings.Contains(r.target+r.body, mark) {
					t.Errorf("%s %s %.300s shows %s of another merchant: %s", r.method, r.target, r.body, mark, w.Body)
				}
			}
			if r.method == http.MethodDelete && w.Code == http.StatusNoContent {
				c.renew(t)
			}
		}
	})
}

// renew gives the merchant who asks new things, when one of his was deleted.
func (f *fuzzedCounter) renew(t testing.TB) {
	t.Helper()
	if w := f.ask(f.key, "GET", "/api/v1/merchant", ""); w.Code != http.StatusOK { // it was his key
		f.key = f.counter.key(t, f.merchantID, false)
	}
	if w := f.ask(f.key, "GET", "/api/v1/webhook_endpoints/"+f.mine["webhook_endpoints"], ""); w.Code == http.StatusNotFound {
		e := decoded[WebhookEndpoint](t, f.ask(f.key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/mine"}`), http.StatusCreated)
		f.mine["webhook_endpoints"] = e.ID
	}
}
