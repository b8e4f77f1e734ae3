package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// liveMark stands in everything that is live, and in nothing else.
const liveMark = "live-mark"

// modesWalk asks every route of the OpenAPI file with keys of both modes.
type modesWalk struct {
	*fuzzedCounter
	endpoints *endpoints.Service
	merchant  string
	full      map[models.Mode]string                  // a key with every scope
	alone     map[models.Mode]map[models.Scope]string // keys with one each
	made      int
}

func newModesWalk(t *testing.T, s *store.Store) *modesWalk {
	t.Helper()
	w := &modesWalk{full: make(map[models.Mode]string), alone: make(map[models.Mode]map[models.Scope]string)}
	c := newCounter(t, s, func(o *Options) {
		o.Limits.Rate, o.Limits.Burst = 1e9, 1e9
		w.endpoints = o.Endpoints
	})
	w.fuzzedCounter = &fuzzedCounter{counter: c, operations: routesOf(c.Server)}
	s.OnCommit(w.work)
	w.merchant, w.full[models.ModeLive] = c.merchant(t, "a", false)
	w.allow(10_000)
	for _, mode := range []models.Mode{models.ModeLive, models.ModeTest} {
		test := mode == models.ModeTest
		if test {
			w.full[mode] = w.newKey(test, "test", models.Scopes).secret
		}
		w.alone[mode] = make(map[models.Scope]string)
		for _, scope := range models.Scopes {
			w.alone[mode][scope] = c.key(t, w.merchant, test, scope)
		}
	}
	return w
}

// allow gives the merchant a limit of endpoints and keys.
func (w *modesWalk) allow(n int) {
	limit := &n
	err := w.store.InTx(w.t.Context(), func(tx *store.Tx) error {
		_, err := w.access.ChangeMerchant(w.t.Context(), tx, models.Actor{Name: "operator"}, w.merchant,
			access.MerchantChange{MaxKeys: &limit, MaxEndpoints: &limit})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

type walkedKey struct{ id, secret string }

// newKey makes a key with the live key that has every scope.
func (w *modesWalk) newKey(test bool, name string, scopes []models.Scope) walkedKey {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"name": name, "test": test, "scopes": scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	k := decoded[APIKey](w.t, w.ask(w.full[models.ModeLive], "POST", "/api/v1/api_keys", string(body)), http.StatusCreated)
	return walkedKey{k.ID, *k.Key}
}

// objects makes one of everything in a mode, by resource. The endpoint of both gets live events here.
func (w *modesWalk) objects(mode models.Mode) map[string]string {
	w.t.Helper()
	key, chain, mark := w.full[models.ModeLive], "ethereum", liveMark
	if mode == models.ModeTest {
		key, chain, mark = w.full[mode], "sepolia", "test-mark"
	}
	w.made++
	e := decoded[WebhookEndpoint](w.t, w.ask(key, "POST", "/api/v1/webhook_endpoints", fmt.Sprintf(
		`{"url":"https://shop.example/%s/%d","headers":{"X-Token":"%s"}}`, mark, w.made, mark)), http.StatusCreated)
	if mode == models.ModeBoth {
		if err := w.store.InTx(w.t.Context(), func(tx *store.Tx) error {
			_, err := w.endpoints.SetMode(w.t.Context(), tx, models.System, w.merchant, e.ID, mode)
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	p := decoded[Payment](w.t, w.ask(key, "POST", "/api/v1/payments", fmt.Sprintf(
		`{"chain":"%s","asset":"native","amount":"1","order_id":"%s-%d"}`, chain, mark, w.made)), http.StatusCreated)
	d := decoded[DeliveryList](w.t, w.ask(key, "GET", "/api/v1/deliveries?endpoint_id="+e.ID, ""), http.StatusOK).Data[0]
	r := decoded[Replay](w.t, w.ask(key, "POST", "/api/v1/webhook_endpoints/"+e.ID+"/replay", ""), http.StatusAccepted)
	k := w.newKey(mode == models.ModeTest, mark, []models.Scope{models.ScopeKeysWrite})
	return map[string]string{"payments": p.ID, "events": d.EventID, "webhook_endpoints": e.ID, "deliveries": d.ID,
		"api_keys": k.id, "replays": *r.ID}
}

// request asks for an operation: body is the operation's own for the mode, or the example of the file.
func (w *modesWalk) request(op *openapi.Operation, key string, mode models.Mode, id string,
	headers ...string) *httptest.ResponseRecorder {
	body := map[string]string{
		"createPayment": fmt.Sprintf(`{"chain":"%s","asset":"native","amount":"1"}`,
			map[models.Mode]string{models.ModeLive: "ethereum", models.ModeTest: "sepolia"}[mode]),
		"createWebhookEndpoint": fmt.Sprintf(`{"url":"https://shop.example/made","mode":"%s"}`, mode),
		"createApiKey":          fmt.Sprintf(`{"name":"k","scopes":["keys:write"],"test":%v}`, mode == models.ModeTest),
		"updateWebhookEndpoint": `{"description":"changed"}`,
		"testWebhookEndpoint":   `{}`,
		"createPortalLink":      fmt.Sprintf(`{"scopes":["payments:read"],"test":%v}`, mode == models.ModeTest),
	}[op.ID]
	if b := op.Route.Operation.RequestBody; body == "" && b != nil && len(b.Value.Content) > 0 {
		example, err := json.Marshal(b.Value.Content["application/json"].Schema.Value.Example)
		if err != nil {
			w.t.Fatal(err)
		}
		if body = string(example); body == "null" {
			body = ""
		}
	}
	return w.ask(key, op.Method, strings.ReplaceAll(op.Path, "{id}", id), body, headers...)
}

// reached reports whether an answer says that the caller may do this, although perhaps not now.
func reached(w *httptest.ResponseRecorder) bool { return w.Code < 300 || w.Code == http.StatusConflict }

// resource is the kind of thing that a path names, "" where it names none.
func resource(op *openapi.Operation) string {
	if !strings.Contains(op.Path, "{id}") {
		return ""
	}
	return strings.Split(strings.TrimPrefix(op.Path, "/api/v1/"), "/")[0]
}

// merchantsOperations are the operations of the file that are not the operator's, by path.
func (w *modesWalk) merchantsOperations() []*openapi.Operation {
	var all []*openapi.Operation
	for _, route := range slices.Sorted(maps.Keys(w.operations)) {
		if op := w.operations[route]; !forOperator(op.Scopes) {
			all = append(all, op)
		}
	}
	slices.SortFunc(all, func(a, b *openapi.Operation) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return all
}

// TestTestKeysReachNothingLive: whatever a test key asks of whatever route, nothing live is shown, and nothing live
// changes. Lists are asked with everything live as a filter, and as CSV.
func TestTestKeysReachNothingLive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newModesWalk(t, s)
		things := map[models.Mode]map[string]string{}
		for _, mode := range models.Modes {
			things[mode] = w.objects(mode)
		}
		hidden := []string{liveMark}
		for _, mode := range []models.Mode{models.ModeLive, models.ModeBoth} {
			hidden = slices.AppendSeq(hidden, maps.Values(things[mode]))
		}
		shown, err := s.APIKeyByID(t.Context(), things[models.ModeTest]["api_keys"])
		if err != nil || shown.CreatedBy == nil {
			t.Fatalf("%+v, %v", shown, err)
		}
		hidden = append(hidden, *shown.CreatedBy)
		before := w.rows(things)
		look := func(op *openapi.Operation, what string, got *httptest.ResponseRecorder) {
			t.Helper()
			for _, mark := range hidden {
				if strings.Contains(got.Body.String(), mark) && !strings.Contains(what, mark) {
					t.Errorf("%s %s: %d shows %s: %s", op.ID, what, got.Code, mark, got.Body)
				}
			}
		}
		for _, op := range w.merchantsOperations() {
			keys := append(slices.Collect(maps.Values(w.alone[models.ModeTest])), w.full[models.ModeTest])
			for _, key := range keys {
				for _, mode := range []models.Mode{models.ModeLive, models.ModeBoth} {
					id := things[mode][resource(op)]
					got := w.request(op, key, models.ModeTest, id)
					look(op, id, got)
					if id != "" && got.Code != http.StatusNotFound && got.Code != http.StatusForbidden {
						t.Errorf("%s of %s by a test key: %d %s", op.ID, mode, got.Code, got.Body)
					}
				}
			}
			for name := range op.Query {
				for _, id := range things[models.ModeLive] {
					query := "?" + name + "=" + id
					got := w.ask(w.full[models.ModeTest], op.Method, op.Path+query, "")
					look(op, query, got)
				}
			}
			look(op, "as CSV", w.request(op, w.full[models.ModeTest], models.ModeTest, things[models.ModeTest][resource(op)],
				"Accept", "text/csv"))
		}
		if after := w.rows(things); after != before {
			t.Errorf("something live changed:\n%s\nwas\n%s", after, before)
		}
	})
}

// rows are the live things as a live key sees them.
func (w *modesWalk) rows(things map[models.Mode]map[string]string) string {
	w.t.Helper()
	var all strings.Builder
	for _, mode := range []models.Mode{models.ModeLive, models.ModeBoth} {
		for _, kind := range slices.Sorted(maps.Keys(things[mode])) {
			if kind == "api_keys" {
				k, err := w.store.APIKeyByID(w.t.Context(), things[mode][kind])
				if err != nil {
					w.t.Fatal(err)
				}
				fmt.Fprintln(&all, k.ID, k.RevokedAt)
				continue
			}
			got := w.ask(w.full[models.ModeLive], "GET", "/api/v1/"+kind+"/"+things[mode][kind], "")
			if got.Code != http.StatusOK {
				w.t.Fatalf("%s: %d %s", kind, got.Code, got.Body)
			}
			fmt.Fprintln(&all, got.Body)
		}
		secrets, err := w.store.Secrets(w.t.Context(), things[mode]["webhook_endpoints"], testNow())
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintln(&all, secrets)
	}
	return all.String()
}

// tableMark begins the table in docs/security.md, and tableEnd ends it.
const (
	tableMark = "<!-- go test ./internal/api -run TestModesAndScopes -update -->\n"
	tableEnd  = "<!-- end -->"
)

// TestModesAndScopes asks every route with each scope alone, by live keys and by test keys, for things of every mode,
// and holds what was let through against the table in docs/security.md.
func TestModesAndScopes(t *testing.T) {
	w := newModesWalk(t, storetest.SQLite(t))
	var table strings.Builder
	table.WriteString("| route | scope | a live key reaches | a test key reaches |\n|---|---|---|---|\n")
	for _, op := range w.merchantsOperations() {
		var scopes []string
		reach := map[models.Mode][]string{}
		for _, mode := range []models.Mode{models.ModeLive, models.ModeTest} {
			let := w.scopesOf(op, mode)
			if mode == models.ModeTest && !slices.Equal(let, scopes) && op.ID != "updateMerchant" {
				t.Errorf("%s: %v let a live key in, %v a test key", op.ID, scopes, let)
			}
			if op.ID != "updateMerchant" || mode == models.ModeLive { // no test key is let in
				scopes = let
			}
			reach[mode] = w.reach(op, mode)
		}
		if len(op.Scopes) > 0 && !slices.Equal(scopes, op.Scopes) {
			t.Errorf("%s: the file says %v, these were let in: %v", op.ID, op.Scopes, scopes)
		}
		if got := strings.Join(reach[models.ModeTest], " "); got != "test" && op.ID != "getMerchant" &&
			op.ID != "updateMerchant" {
			t.Errorf("%s: a test key reaches %s", op.ID, got)
		}
		scope := "any"
		if len(scopes) < len(models.Scopes) {
			scope = "`" + strings.Join(scopes, "`, `") + "`"
		}
		if op.ID == "createPortalLink" {
			scope = "those of the link"
		}
		fmt.Fprintf(&table, "| `%s %s` | %s | %s | %s |\n", op.Method, op.Path, scope,
			strings.Join(reach[models.ModeLive], ", "), strings.Join(reach[models.ModeTest], ", "))
	}
	const page = "../../docs/security.md"
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	of := regexp.MustCompile("(?s)" + regexp.QuoteMeta(tableMark) + ".*?" + regexp.QuoteMeta(tableEnd))
	if !of.Match(doc) {
		t.Fatalf("%s has no place for the table", page)
	}
	want := of.ReplaceAllLiteral(doc, []byte(tableMark+table.String()+tableEnd))
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(want) != string(doc) {
		t.Errorf("%s is not what is: run with -update. It is\n%s", page, table.String())
	}
}

// scopesOf are the scopes of which each alone lets a key of a mode do something with a thing of its own mode.
func (w *modesWalk) scopesOf(op *openapi.Operation, mode models.Mode) (let []string) {
	for _, scope := range models.Scopes {
		w.withObjects(mode, func(things map[string]string) {
			got := w.request(op, w.alone[mode][scope], mode, things[resource(op)])
			switch {
			case reached(got):
				let = append(let, string(scope))
			case got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), "insufficient_scope"):
				w.t.Errorf("%s with %s by a %s key: %d %s", op.ID, scope, mode, got.Code, got.Body)
			}
		})
	}
	return let
}

// reach are the modes of the things that a key of a mode with every scope reaches by an operation.
func (w *modesWalk) reach(op *openapi.Operation, mode models.Mode) (modes []string) {
	if op.ID == "getMerchant" {
		return []string{"its own"}
	}
	if op.ID == "updateMerchant" {
		if got := w.request(op, w.full[mode], mode, ""); reached(got) != (mode == models.ModeLive) {
			w.t.Errorf("%s by a %s key: %d %s", op.ID, mode, got.Code, got.Body)
		}
		return map[models.Mode][]string{models.ModeLive: {"its own"}, models.ModeTest: {"nothing"}}[mode]
	}
	for _, of := range models.Modes {
		if of == models.ModeBoth && !strings.Contains(op.Path, "webhook_endpoints") {
			continue
		}
		w.withObjects(of, func(things map[string]string) {
			yes := false
			if op.Method == "GET" && resource(op) == "" {
				things["assets"] = map[models.Mode]string{models.ModeLive: "ethereum", models.ModeTest: "sepolia"}[of]
				yes = w.listed(w.full[mode], op.Path, things[strings.TrimPrefix(op.Path, "/api/v1/")])
			} else {
				yes = reached(w.request(op, w.full[mode], of, things[resource(op)]))
			}
			if yes {
				modes = append(modes, string(of))
			}
		})
	}
	return modes
}

// listed reports whether a list shows something, on whatever page.
func (w *modesWalk) listed(key, path, what string) bool {
	cursor := ""
	for {
		got := w.ask(key, "GET", path+cursor, "")
		if strings.Contains(got.Body.String(), what) {
			return true
		}
		var page struct {
			NextCursor *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(got.Body.Bytes(), &page); err != nil || got.Code != http.StatusOK {
			w.t.Fatalf("%s: %d %s", path, got.Code, got.Body)
		}
		if page.NextCursor == nil {
			return false
		}
		cursor = "?limit=100&cursor=" + *page.NextCursor
	}
}

// withObjects hands f fresh things of a mode.
func (w *modesWalk) withObjects(mode models.Mode, f func(things map[string]string)) {
	things := w.objects(mode)
	f(things)
	w.ask(w.full[models.ModeLive], "DELETE", "/api/v1/webhook_endpoints/"+things["webhook_endpoints"], "")
}
