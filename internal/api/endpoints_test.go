package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestEndpointOverREST(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		made := c.ask(key, "POST", "/api/v1/webhook_endpoints",
			`{"url":"https://shop.example/hooks","events":["payment.*"],"headers":{"X-Shop":"hunter2hunter2"},"timeout":5}`)
		e := decoded[WebhookEndpoint](t, made, http.StatusCreated)
		if e.Secret == nil || e.Timeout == nil || *e.Timeout != 5 || e.Headers["X-Shop"] != "[redacted]" ||
			e.Status != models.EndpointEnabled {
			t.Fatalf("%s", made.Body)
		}
		if _, err := webhook.ParseSecret(*e.Secret); err != nil {
			t.Fatal(err)
		}
		path := "/api/v1/webhook_endpoints/" + e.ID
		got := c.ask(key, "GET", path, "")
		if strings.Contains(got.Body.String(), *e.Secret) || strings.Contains(got.Body.String(), "hunter2") ||
			got.Header().Get("ETag") != made.Header().Get("ETag") {
			t.Fatalf("%s %s", got.Header(), got.Body)
		}
		if list := decoded[WebhookEndpointList](t, c.ask(key, "GET", "/api/v1/webhook_endpoints", ""),
			http.StatusOK); len(list.Data) != 1 {
			t.Fatalf("%d endpoints are listed", len(list.Data))
		}
		changed := c.ask(key, "PATCH", path, `{"description":"Main","timeout":null}`, "If-Match", got.Header().Get("ETag"))
		if v := decoded[WebhookEndpoint](t, changed, http.StatusOK); v.Description != "Main" || v.Timeout != nil ||
			changed.Header().Get("ETag") == got.Header().Get("ETag") {
			t.Fatalf("%s", changed.Body)
		}
		if w := c.ask(key, "PATCH", path, `{"description":"Lost"}`, "If-Match",
			got.Header().Get("ETag")); w.Code != http.StatusPreconditionFailed {
			t.Fatalf("an old version was changed: %d", w.Code)
		}
		rotated := decoded[WebhookEndpoint](t, c.ask(key, "POST", path+"/rotate_secret", `{"overlap_seconds":60}`),
			http.StatusOK)
		if rotated.Secret == nil || *rotated.Secret == *e.Secret || len(rotated.Secrets) != 2 {
			t.Fatalf("%+v", rotated)
		}
		if v := decoded[WebhookEndpoint](t, c.ask(key, "POST", path+"/disable", `{"reason":"holidays"}`),
			http.StatusOK); v.Status != models.EndpointDisabled || *v.DisabledReason != "holidays" {
			t.Fatalf("%+v", v)
		}
		decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"1"}`),
			http.StatusCreated)
		held := decoded[DeliveryList](t, c.ask(key, "GET", "/api/v1/deliveries?endpoint_id="+e.ID+"&state=held", ""),
			http.StatusOK)
		if len(held.Data) != 1 || held.Data[0].EventType != "payment.created" {
			t.Fatalf("%+v", held)
		}
		if w := c.ask(key, "POST", "/api/v1/deliveries/"+held.Data[0].ID+"/redeliver", ""); w.Code != http.StatusConflict ||
			!strings.Contains(w.Body.String(), "endpoint_disabled") {
			t.Fatalf("redelivered to a disabled endpoint: %d %s", w.Code, w.Body)
		}
		decoded[WebhookEndpoint](t, c.ask(key, "POST", path+"/enable", ""), http.StatusOK)
		detail := decoded[DeliveryDetail](t, c.ask(key, "GET", "/api/v1/deliveries/"+held.Data[0].ID, ""), http.StatusOK)
		if detail.State != models.DeliveryPending || detail.AttemptLog == nil {
			t.Fatalf("%+v", detail)
		}
		if d := decoded[Delivery](t, c.ask(key, "POST", "/api/v1/deliveries/"+held.Data[0].ID+"/redeliver", ""),
			http.StatusAccepted); d.EventID != held.Data[0].EventID {
			t.Fatalf("%+v", d)
		}
		if w := c.ask(key, "DELETE", path, ""); w.Code != http.StatusNoContent {
			t.Fatalf("delete: %d %s", w.Code, w.Body)
		}
		if w := c.ask(key, "GET", path, ""); w.Code != http.StatusNotFound {
			t.Fatalf("a deleted endpoint: %d", w.Code)
		}
	})
}

// TestPublicDocuments: schemas and public keys are there for everybody, and hold nothing else.
func TestPublicDocuments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		var index struct{ Schemas []string }
		if err := json.Unmarshal(ask(c, "GET", "/schemas", "").Body.Bytes(), &index); err != nil ||
			len(index.Schemas) != len(webhook.EventTypes()) {
			t.Fatalf("%+v, %v", index, err)
		}
		for _, name := range index.Schemas {
			w := ask(c, "GET", "/schemas/"+name, "")
			if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) ||
				w.Header().Get("Content-Type") != "application/schema+json" {
				t.Errorf("%s: %d %s", name, w.Code, w.Header())
			}
		}
		if w := ask(c, "GET", "/schemas/payment.exploded.json", ""); w.Code != http.StatusNotFound {
			t.Errorf("an unknown schema: %d", w.Code)
		}
		if w := ask(c, "GET", "/.well-known/webhook-keys.json", ""); w.Code != http.StatusOK ||
			strings.TrimSpace(w.Body.String()) != `{"keys":[]}` {
			t.Errorf("no keys: %d %s", w.Code, w.Body)
		}
		e := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
			`{"url":"https://shop.example/hooks"}`), http.StatusCreated)
		if e.Ed25519 {
			t.Error("nobody asked for Ed25519")
		}
		if e = decoded[WebhookEndpoint](t, c.ask(key, "PATCH", "/api/v1/webhook_endpoints/"+e.ID, `{"ed25519":true}`),
			http.StatusOK); !e.Ed25519 {
			t.Error("Ed25519 is not on")
		}
		w := ask(c, "GET", "/.well-known/webhook-keys.json", "")
		if keys, err := webhook.ParseKeySet(w.Body.Bytes()); err != nil || len(keys) != 1 ||
			strings.Contains(w.Body.String(), "whsk_") {
			t.Errorf("%s, %v", w.Body, err)
		}
		// a replaced key is gone everywhere after 5 minutes
		if got := w.Header().Get("Cache-Control"); got != "public, max-age=300" {
			t.Errorf("Cache-Control: %s", got)
		}
	})
}

func TestEndpointURLsThatAreRefused(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	for _, url := range []string{
		"http://169.254.169.254/latest", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/",
		"https://user:pass@shop.example/", "https://shop.example:8443/", "https://metadata.internal/", "ftp://shop.example/", "not a url",
	} {
		w := c.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"`+url+`"}`)
		p := decoded[Problem](t, w, http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Field != "url" || strings.HasPrefix(p.Errors[0].Message, "url ") {
			t.Errorf("%s: %s", url, w.Body)
		}
	}
}

func TestKeysOverREST(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false, models.ScopePaymentsRead, models.ScopeKeysWrite)
		made := decoded[APIKey](t, c.ask(key, "POST", "/api/v1/api_keys", `{"name":"Reader","scopes":["payments:read"]}`),
			http.StatusCreated)
		if made.Key == nil || c.ask(*made.Key, "GET", "/api/v1/payments", "").Code != http.StatusOK {
			t.Fatalf("%+v", made)
		}
		if w := c.ask(key, "POST", "/api/v1/api_keys",
			`{"name":"Writer","scopes":["payments:write"]}`); w.Code != http.StatusUnprocessableEntity {
			t.Fatalf("a key granted what it does not have: %d %s", w.Code, w.Body)
		}
		list := c.ask(key, "GET", "/api/v1/api_keys", "")
		if keys := decoded[APIKeyList](t, list, http.StatusOK); len(keys.Data) != 2 ||
			strings.Contains(list.Body.String(), *made.Key) {
			t.Fatalf("%s", list.Body)
		}
		if w := c.ask(key, "DELETE", "/api/v1/api_keys/"+made.ID, ""); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := c.ask(*made.Key, "GET", "/api/v1/payments", ""); w.Code != http.StatusUnauthorized {
			t.Fatalf("a revoked key: %d", w.Code)
		}
	})
}

// TestEveryRouteKeepsItsDoor walks every route of the OpenAPI file: without a key it is 401, with a key that lacks the
// scope 403, and with another merchant's id 404.
func TestEveryRouteNeedsItsCredential(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, mine := c.merchant(t, "a", false)
	otherID, theirs := c.merchant(t, "b", false)
	endpoint := decoded[WebhookEndpoint](t, c.ask(theirs, "POST", "/api/v1/webhook_endpoints",
		`{"url":"https://shop.example/hooks"}`), http.StatusCreated)
	payment := decoded[Payment](t, c.ask(theirs, "POST", "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"1","order_id":"theirs"}`), http.StatusCreated)
	delivery := decoded[DeliveryList](t, c.ask(theirs, "GET", "/api/v1/deliveries", ""), http.StatusOK).Data[0]
	apiKey := decoded[APIKeyList](t, c.ask(theirs, "GET", "/api/v1/api_keys", ""), http.StatusOK).Data[0]
	replay := decoded[Replay](t, c.ask(theirs, "POST", "/api/v1/webhook_endpoints/"+endpoint.ID+"/replay", ""),
		http.StatusAccepted)
	ids := map[string]string{"replays": *replay.ID, "payments": payment.ID, "events": delivery.EventID,
		"webhook_endpoints": endpoint.ID, "deliveries": delivery.ID, "api_keys": apiKey.ID}
	lacking := make(map[string]string) // a key that has every scope but one
	for i, scope := range models.Scopes {
		rest := append(append([]models.Scope{}, models.Scopes[:i]...), models.Scopes[i+1:]...)
		lacking[string(scope)] = c.key(t, otherID, false, rest...)
	}
	walked := 0
	for route, op := range routesOf(c.Server) {
		method, path, _ := strings.Cut(route, " ")
		if forOperator(op.Scopes) {
			if w := c.ask(theirs, method, strings.Replace(path, ":id", endpoint.ID, 1), ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with a merchant's key: %d", route, w.Code)
			}
			continue
		}
		resource := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")[0]
		target := strings.Replace(path, ":id", ids[resource], 1)
		body := ""
		if method == "PATCH" {
			body = `{"description":"mine now"}`
			if resource == "payments" {
				body = `{"metadata":{"cart":"mine now"}}`
			}
		}
		if w := c.ask("", method, target, body); w.Code != http.StatusUnauthorized ||
			w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a key: %d", route, w.Code)
		}
		for _, scope := range op.Scopes {
			if w := c.ask(lacking[scope], method, target, body); w.Code != http.StatusForbidden {
				t.Errorf("%s without %s: %d", route, scope, w.Code)
			}
		}
		if strings.Contains(path, ":id") {
			walked++
			w := c.ask(mine, method, target, body)
			if w.Code != http.StatusNotFound {
				t.Errorf("%s with another merchant's id: %d %s", route, w.Code, w.Body)
			}
			// What is another's is told in the same words as what is nowhere.
			nowhere := c.ask(mine, method, strings.Replace(path, ":id", ids[resource][:len(ids[resource])-26]+
				strings.Repeat("0", 26), 1), body)
			if nowhere.Code != w.Code || nowhere.Body.String() != w.Body.String() {
				t.Errorf("%s: %s is not %s", route, w.Body, nowhere.Body)
			}
			continue
		}
		if method != "GET" {
			continue
		}
		// Lists show nothing of him, also where they are asked for what is his, as JSON or as CSV.
		queries := []string{""}
		for name, id := range map[string]string{"endpoint_id": endpoint.ID, "event_id": delivery.EventID,
			"payment_id": payment.ID, "after": delivery.EventID, "order_id": "theirs"} {
			if op.Query[name] != nil {
				queries = append(queries, "?"+name+"="+id)
			}
		}
		for _, query := range queries {
			for _, accept := range []string{"application/json", "text/csv"} {
				w := c.ask(mine, method, target+query, "", "Accept", accept)
				if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
					t.Errorf("%s%s: %d", route, query, w.Code)
				}
				for _, id := range slices.Concat(slices.Collect(maps.Values(ids)), []string{otherID, payment.Address}) {
					if strings.Contains(w.Body.String(), id) {
						t.Errorf("%s%s as %s shows %s of another merchant", route, query, accept, id)
					}
				}
			}
		}
	}
	if walked < 10 {
		t.Fatalf("only %d routes name a thing", walked)
	}
}

// TestHowLongATestWaits: as long as the endpoint's own timeout, or the deployment's, and a little longer, but well
// within the time that the request has.
func TestHowLongATestWaits(t *testing.T) {
	own := 2000
	for _, c := range []struct {
		deployment time.Duration
		endpoint   *int
		request    time.Duration
		want       time.Duration
	}{
		{10 * time.Second, nil, 30 * time.Second, 10*time.Second + testPatience},
		{25 * time.Second, nil, 30 * time.Second, 20 * time.Second},
		{25 * time.Second, nil, 0, maxTestWait},
		{25 * time.Second, &own, 30 * time.Second, 2*time.Second + testPatience},
		{25 * time.Second, &own, 3 * time.Second, 2 * time.Second},
	} {
		h := &handlers{timeout: c.deployment, limits: config.API{Timeout: c.request}}
		if got := h.testWait(models.Endpoint{TimeoutMS: c.endpoint}); got != c.want {
			t.Errorf("%s with %v: %s, want %s", c.deployment, c.endpoint, got, c.want)
		}
	}
}
