package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// stranger is a second merchant, whose things no answer to the first one may show, and no request of his may change.
type stranger struct {
	key   string
	ids   map[string]string // by resource
	marks []string          // texts that stand in his rows alone
	rows  string            // his things, as they were after the last request of somebody who may change them
}

// fuzzedCounter is the server that every fuzzed request goes to, with what the requests are made of.
type fuzzedCounter struct {
	*counter
	operations map[string]*openapi.Operation // by route
	routes     []string
	merchantID string            // who asks
	key        string            // his
	worked     int               // deliveries
	changed    int               // requests that changed something
	mine       map[string]string // his things, by resource
	other      stranger
	token      string // of a checkout page of his
	visitor    visitor
	worst      worstRequest
	worstText  string
}

func newFuzzedCounter(t testing.TB) *fuzzedCounter {
	t.Helper()
	var o Options
	c := newCounter(t, storetest.Postgres(t), func(given *Options) {
		given.Limits.Rate, given.Limits.Burst = 1e9, 1e9
		o = *given
	})
	mountPages(t, c.Server, o)
	f := &fuzzedCounter{counter: c, operations: routesOf(c.Server)}
	f.routes = slices.Sorted(maps.Keys(f.operations))
	c.store.OnCommit(f.work)
	f.merchantID, f.key = c.merchant(t, "a", false)
	f.mine = f.things(t, f.key, "mine")
	provider := decoded[ChainStatus](t, f.ask(operatorToken, "GET", "/admin/v1/chains/ethereum", ""), http.StatusOK)
	f.mine["chains"], f.mine["provider"] = "ethereum", provider.Providers[0].Provider
	otherID, theirs := c.merchant(t, "b", false)
	f.other.ids = f.things(t, theirs, "strangers-mark")
	f.other.ids["merchants"] = otherID
	f.mine["doubts"] = insertDoubt(t, c.store, f.merchantID, f.mine["doubted"])
	f.other.ids["doubts"] = insertDoubt(t, c.store, otherID, f.other.ids["doubted"])
	f.other.marks = append(slices.Collect(maps.Values(f.other.ids)), "strangers-mark")
	f.other.key = theirs
	f.other.rows = f.strangersRows()
	mine, err := c.store.Payment(t.Context(), f.merchantID, f.mine["payments"])
	if err != nil {
		t.Fatal(err)
	}
	f.token, f.visitor = mine.Token, signIn(t, c.Server, f.key)
	return f
}

// work is a worker that answers for the receivers: delivered, failed and dead in turn.
func (f *fuzzedCounter) work(ds []models.Delivery) {
	for _, d := range ds {
		v := store.Verdict{RequestJSON: "{}", ResponseJSON: "{}", Before: d.Attempts, At: testNow(),
			NextAttemptAt: testNow().Add(time.Hour)}
		v.Attempt = models.Attempt{
			ID: models.NewID(models.PrefixAttempt, testNow()), DeliveryID: d.ID, EventID: d.EventID, EndpointID: d.EndpointID,
			MerchantID: d.MerchantID, Number: d.Attempts + 1, Generation: d.Generation, Class: "server_error", StatusCode: 500,
			StartedAt: testNow(),
		}
		switch f.worked++; f.worked % 3 {
		case 0:
			v.State, v.Class, v.StatusCode = models.DeliveryDelivered, "delivered", 200
		case 1:
			v.State = models.DeliveryPending
		case 2:
			v.State, v.DeadReason = models.DeliveryDead, "attempts exhausted"
		}
		if _, err := f.store.Record(context.Background(), []store.Verdict{v}, outbox.Sweep); err != nil {
			f.t.Errorf("record: %v", err)
		}
	}
}

// strangersRows are the things of the second merchant as he sees them, but for when his key was last used.
func (f *fuzzedCounter) strangersRows() string {
	var all strings.Builder
	paths := []string{"webhook_endpoints", "payments?limit=100", "deliveries?limit=100", "events?limit=100", "merchant"}
	for _, resource := range []string{"webhook_endpoints", "payments", "deliveries", "events", "replays"} {
		paths = append(paths, resource+"/"+f.other.ids[resource])
	}
	for _, path := range paths {
		w := ask(f.counter, "GET", "/api/v1/"+path, "", "Authorization", "Bearer "+f.other.key)
		if w.Code == http.StatusTooManyRequests {
			return "" // the operator gave him a limit
		}
		all.WriteString(w.Body.String())
	}
	return all.String()
}

// things makes one of everything that a merchant can have.
func (f *fuzzedCounter) things(t testing.TB, key, mark string) map[string]string {
	t.Helper()
	e := decoded[WebhookEndpoint](t, f.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/`+mark+
		`","description":"`+mark+`"}`), http.StatusCreated)
	p := decoded[Payment](t, f.ask(key, "POST", "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"1","order_id":"`+mark+`"}`), http.StatusCreated)
	d := decoded[DeliveryList](t, f.ask(key, "GET", "/api/v1/deliveries", ""), http.StatusOK).Data[0]
	k := decoded[APIKeyList](t, f.ask(key, "GET", "/api/v1/api_keys", ""), http.StatusOK).Data[0]
	r := decoded[Replay](t, f.ask(key, "POST", "/api/v1/webhook_endpoints/"+e.ID+"/replay", ""), http.StatusAccepted)
	doubted := decoded[Payment](t, f.ask(key, "POST", "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"1"}`), http.StatusCreated)
	return map[string]string{"doubted": doubted.ID, "merchants": f.merchantID, "replays": *r.ID, "payments": p.ID,
		"events": d.EventID, "webhook_endpoints": e.ID, "deliveries": d.ID, "api_keys": k.ID}
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
	return pick[any](d, nil, true, 0, -1, 1.5, 1e300, "", " ", "null", "\x00", "a\nb", "\xff", "a\xc0\x80b",
		"\u202egnp.exe", "𝕏",
		"'; DROP TABLE payments; --", "../../etc/passwd",
		strings.Repeat("x", 70_000), strings.Repeat("9", 80), "0x"+strings.Repeat("f", 40), "-0", "1e3",
		"2026-11-23T10:00:00Z", "http://169.254.169.254/",
		"https://[::ffff:127.0.0.1]/", []any{}, []any{nil}, map[string]any{}, map[string]any{"": nil},
		json.Number("18446744073709551616"))
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
	return pick(d, "ethereum", "native", "1", "0.5", "payment.confirmed", "*", "https://shop.example/hooks",
		strings.Repeat("a", d.n(300)), "mine", "10.0.0.0/8")
}

// good are values that a field of that name is accepted with.
var good = map[string][]any{
	"chain": {"ethereum"}, "asset": {"native", "USDC", usdc, "ETH"}, "amount": {"1", "1500000", max256}, "amount_decimal": {"1", "0.5", "0.000001"},
	"order_id": {"A-17", "<&>", "支付", "mine"}, "metadata": {map[string]any{"cart": "9"}, map[string]any{}}, "redirect_url": {"https://shop.example/thanks"},
	"url": {"https://shop.example/mine", "https://shop.example:443/hooks?a=b"}, "events": {[]any{"*"}, []any{"payment.*"}, []any{"payment.confirmed", "endpoint.disabled"}},
	"headers": {map[string]any{"X-Shop": "9"}}, "secret": {"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "a-secret-of-our-own-32-bytes-long"},
	"ca_pem": {nil}, "client_cert": {nil}, "spki_pins": {[]any{}}, "event_type": {"payment.confirmed", "webhook.test"}, "sign_with": {"current"},
	"scopes": {[]any{"payments:read"}, []any{"webhooks:read", "webhooks:write"}}, "expires_at": {"2036-11-23T10:00:00Z"},
	"start_block": {1, 2}, "from": {1}, "to": {1, 2}, "yes": {true}, "reason": {"the network began anew"},
	"created_after": {"2020-11-23T10:00:00Z"}, "created_before": {"2036-11-23T10:00:00Z"},
}

// named is a good value of a field two times in three, where one is known.
func (d *dice) named(name string, s *openapi3.Schema, depth int) any {
	if from := good[name]; from != nil && !d.one(3) {
		return pick(d, from...)
	}
	return d.value(s, depth)
}

func (d *dice) object(s *openapi3.Schema, depth int) map[string]any {
	o := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if (slices.Contains(s.Required, name) && !d.one(15)) || d.one(2) {
			o[name] = d.named(name, s.Properties[name].Value, depth+1)
		}
	}
	if o["amount"] != nil && o["amount_decimal"] != nil && !d.one(10) { // one of them is asked for
		delete(o, pick(d, "amount", "amount_decimal"))
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
	route, method, target, body, idempotencyKey, cookie string
	operator                                            bool
	page                                                bool // for people
}

// filters are the query parameters that hold an id, by resource.
var filters = map[string]string{"payment_id": "payments", "event_id": "events", "after": "events",
	"endpoint_id": "webhook_endpoints"}

func (f *fuzzedCounter) request(d *dice) request {
	if d.one(4) {
		return f.pageRequest(d)
	}
	method, path, _ := strings.Cut(pick(d, f.routes...), " ")
	op := f.operations[method+" "+path]
	resource := strings.Split(path, "/")[3]
	id := pick(d, f.mine[resource], f.mine[resource], f.other.ids[resource],
		pick(d, slices.Sorted(maps.Values(f.other.ids))...), fmt.Sprint(d.odd()), "x")
	if strings.Trim(id, "./ ") == "" {
		id = "x"
	}
	if len(id) > 4000 {
		id = id[:4000]
	}
	query := make(url.Values)
	for _, name := range slices.Sorted(maps.Keys(op.Query)) {
		if d.one(3) {
			value := fmt.Sprint(d.named(name, op.Query[name].Schema.Value, 0))
			if resource := filters[name]; resource != "" {
				value = pick(d, value, f.mine[resource], f.mine[resource], f.other.ids[resource])
			}
			if name == "provider" {
				value = pick(d, value, f.mine[name], f.mine[name])
			}
			query.Set(name, value)
		}
	}
	if d.one(20) {
		query.Set("unknown", fmt.Sprint(d.odd()))
	}
	r := request{route: method + " " + path, method: method,
		target:   strings.NewReplacer(":id", url.PathEscape(id), ":name", url.PathEscape(id)).Replace(path),
		operator: forOperator(op.Scopes) && !d.one(10)}
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	if b := op.Route.Operation.RequestBody; b != nil && !d.one(10) {
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
		r.idempotencyKey = pick(d, "a", "b", strings.Repeat("k", 256), "\t", "\xff")
	}
	return r
}

// FuzzRequests sends requests that are made of the OpenAPI file, and spoilt here and there, to the real server. There
// is never a 5xx, every answer is one that the file allows, and none shows a thing of another merchant.
func FuzzRequests(f *testing.F) {
	for i := range 40 {
		f.Add([]byte{byte(i), byte(7 * i), byte(31 * i)})
	}
	c := newFuzzedCounter(f)
	f.Cleanup(func() { f.Logf("the worst input: %s", c.worstText) })
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDice(b)
		for range 1 + d.n(6) {
			c.send(t, c.request(d))
		}
	})
}

// send asks for one thing and holds the answer, and what became of the second merchant's rows, against what is allowed.
func (f *fuzzedCounter) send(t testing.TB, r request) *httptest.ResponseRecorder {
	t.Helper()
	if r.page {
		return f.sendPage(t, r)
	}
	f.t = t
	var headers []string
	if r.idempotencyKey != "" {
		headers = append(headers, "Idempotency-Key", r.idempotencyKey)
	}
	key := f.key
	if r.operator {
		key = operatorToken
	}
	if strings.HasSuffix(r.target, "/chains/ethereum/accept") && f.changed%2 == 0 {
		halt(t, f.store, 1)
		defer func() {
			err := f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.AcceptReorg(t.Context(), 1) })
			if err != nil {
				t.Error(err)
			}
		}()
	}
	w := f.watch(t, r, func() *httptest.ResponseRecorder { return f.ask(key, r.method, r.target, r.body, headers...) })
	if w.Code >= 500 {
		t.Errorf("%s %s %.300s: %d %s", r.method, r.target, r.body, w.Code, w.Body)
	}
	for _, mark := range f.other.marks {
		if !r.operator && strings.Contains(w.Body.String(), mark) && !strings.Contains(r.target+r.body, mark) {
			t.Errorf("%s %s %.300s shows %s of another merchant: %s", r.method, r.target, r.body, mark, w.Body)
		}
	}
	if r.method == http.MethodPost && strings.HasSuffix(r.route, "/reset") && w.Code < 300 { // its scanner goes on
		if err := saveCursor(t.Context(), f.store, config.Chain{ChainID: 1, Name: "ethereum"}); err != nil {
			t.Error(err)
		}
	}
	// under a small limit, on a clock that stands, everything after it would be refused
	if r.route == "PATCH /admin/v1/merchants/:id" && w.Code < 300 {
		for _, id := range []string{f.merchantID, f.other.ids["merchants"]} {
			body := `{"limits":{"requests_per_second":null,"webhook_endpoints":null,"api_keys":null,"open_payments":null}}`
			if w := f.ask(operatorToken, "PATCH", "/admin/v1/merchants/"+id, body); w.Code != http.StatusOK {
				t.Errorf("limits of %s: %d %s", id, w.Code, w.Body)
			}
		}
	}
	if r.method != http.MethodGet && w.Code < 300 {
		now := f.strangersRows()
		if !r.operator && now != f.other.rows && now != "" && f.other.rows != "" {
			t.Errorf("%s %s %.300s: %d, and the rows of another merchant were\n%s\nand are\n%s", r.method, r.target, r.body,
				w.Code, f.other.rows, now)
		}
		f.other.rows = now
		if r.route == "POST /admin/v1/webhook_endpoints/:id/pause" && f.changed%4 != 0 { // it cannot be deleted
			for _, id := range []string{f.mine["webhook_endpoints"], f.other.ids["webhook_endpoints"]} {
				f.ask(operatorToken, "POST", "/admin/v1/webhook_endpoints/"+id+"/resume", "")
			}
			f.other.rows = f.strangersRows()
		}
		if f.changed++; f.changed%300 == 0 {
			f.tidy(t)
		}
		f.renew(t)
	}
	return w
}

// tidy takes most of the first merchant's things away, so that a long run does not end at his limits.
func (f *fuzzedCounter) tidy(t testing.TB) {
	t.Helper()
	for _, e := range decoded[WebhookEndpointList](t, f.ask(f.key, "GET", "/api/v1/webhook_endpoints?limit=100", ""),
		http.StatusOK).Data {
		f.ask(f.key, "DELETE", "/api/v1/webhook_endpoints/"+e.ID, "")
	}
	for _, p := range decoded[PaymentList](t, f.ask(f.key, "GET", "/api/v1/payments?status=pending&limit=100", ""),
		http.StatusOK).Data {
		f.ask(f.key, "POST", "/api/v1/payments/"+p.ID+"/cancel", "")
	}
	for _, k := range decoded[APIKeyList](t, f.ask(f.key, "GET", "/api/v1/api_keys?limit=100", ""), http.StatusOK).Data {
		f.ask(f.key, "DELETE", "/api/v1/api_keys/"+k.ID, "") // the last one is his own
	}
}

// renew gives the merchant who asks new things, when one of his was deleted.
func (f *fuzzedCounter) renew(t testing.TB) {
	t.Helper()
	if w := f.ask(f.key, "GET", "/api/v1/merchant", ""); w.Code == http.StatusUnauthorized { // it was his key
		f.key = f.counter.key(t, f.merchantID, false)
		f.visitor = signIn(t, f.Server, f.key)
		f.mine["api_keys"] = decoded[APIKeyList](t, f.ask(f.key, "GET", "/api/v1/api_keys", ""), http.StatusOK).Data[0].ID
	}
	if w := f.ask(f.key, "GET", "/api/v1/webhook_endpoints/"+f.mine["webhook_endpoints"],
		""); w.Code == http.StatusNotFound {
		w = f.ask(f.key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/mine"}`)
		if w.Code == http.StatusCreated { // he may have as many as he can
			f.mine["webhook_endpoints"] = decoded[WebhookEndpoint](t, w, http.StatusCreated).ID
		}
	}
	if f.changed%5 == 0 { // most things of an endpoint that is off are refused, and so is sending a pending delivery again
		f.ask(f.key, "POST", "/api/v1/webhook_endpoints/"+f.mine["webhook_endpoints"]+"/enable", "")
		state := []string{"dead", "delivered", "pending"}[f.changed/5%3]
		if all := decoded[DeliveryList](t, f.ask(f.key, "GET", "/api/v1/deliveries?limit=1&state="+state, ""),
			http.StatusOK).Data; len(all) > 0 {
			f.mine["deliveries"] = all[0].ID
		}
	}
	if d, err := f.store.Doubt(t.Context(), f.mine["doubts"]); err != nil || d.Status != models.DoubtOpen {
		f.mine["doubts"] = insertDoubt(t, f.store, f.merchantID, f.mine["doubted"])
	}
	p := f.ask(f.key, "GET", "/api/v1/payments/"+f.mine["payments"], "")
	if p.Code == http.StatusOK && decoded[Payment](t, p, http.StatusOK).Status != "pending" {
		if p = f.ask(f.key, "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"native","amount":"1"}`); p.Code == http.StatusCreated {
			f.mine["payments"] = decoded[Payment](t, p, http.StatusCreated).ID
		}
	}
}
