package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestFront: a browser that opens the gateway finds a page whose links lead somewhere, a program the same as JSON; the
// OpenAPI file as JSON says what it says as YAML.
func TestFront(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	w := ask(c, "GET", "/", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("a browser gets %d %s", w.Code, w.Header())
	}
	for _, link := range []string{"/docs", "/portal", "/openapi.json", "/openapi.yaml", "/schemas",
		"/docs/reference.css"} {
		if !strings.Contains(w.Body.String(), `"`+link+`"`) {
			t.Errorf("the page does not lead to %s", link)
		}
		if got := ask(c, "GET", link, ""); got.Code == http.StatusNotFound && link != "/portal" {
			t.Errorf("%s: %d", link, got.Code)
		}
	}
	var front map[string]string
	w = ask(c, "GET", "/", "")
	if err := json.Unmarshal(w.Body.Bytes(), &front); err != nil || w.Code != http.StatusOK ||
		front["openapi"] != "/openapi.json" {
		t.Errorf("a program gets %d %s", w.Code, w.Body)
	}
	var asJSON, asYAML any
	if err := json.Unmarshal(ask(c, "GET", "/openapi.json", "").Body.Bytes(), &asJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(ask(c, "GET", "/openapi.yaml", "").Body.Bytes(), &asYAML); err != nil {
		t.Fatal(err)
	}
	if got, want := operationsOf(asJSON), operationsOf(asYAML); len(want) < 30 || !reflect.DeepEqual(got, want) {
		t.Errorf("operations as JSON %v, as YAML %v", got, want)
	}
}

// operationsOf are the operation ids of an OpenAPI document, by path and method.
func operationsOf(document any) map[string]any {
	ids := map[string]any{}
	for path, methods := range document.(map[string]any)["paths"].(map[string]any) {
		for method, operation := range methods.(map[string]any) {
			if operation, ok := operation.(map[string]any); ok {
				ids[method+" "+path] = operation["operationId"]
			}
		}
	}
	return ids
}

// TestAmountInWholeUnits: who writes whole units into amount is told of the field that takes them.
func TestAmountInWholeUnits(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	for _, amount := range []string{"0.01", "12.5", ".5", "1,5"} {
		w := c.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"`+amount+`"}`)
		if !strings.Contains(w.Body.String(), "amount_decimal") {
			t.Errorf("%s: %d %s", amount, w.Code, w.Body)
		}
	}
}

// TestTestKeysMakeTestKeys: a test key need not say that its keys are test keys.
func TestTestKeysMakeTestKeys(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", true)
	w := c.ask(key, "POST", "/api/v1/api_keys", `{"name":"child","scopes":["payments:read"]}`)
	made := decoded[APIKey](t, w, http.StatusCreated)
	if !made.Test || made.Key == nil || !strings.HasPrefix(*made.Key, "ck_test_") {
		t.Errorf("%+v", made)
	}
}
