package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestSpellings: what the HTTP and JSON specifications let a client write in several ways is understood in all of them.
func TestSpellings(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	const body = `{"chain":"ethereum","asset":"native","amount":"1"}`
	for _, q := range []struct {
		method, target, body string
		headers              []string
		status               int
	}{
		{"GET", "/api/v1/merchant", "", []string{"Authorization", "bearer " + key}, 200},
		{"GET", "/api/v1/merchant", "", []string{"Authorization", "BEARER  " + key}, 200},
		{"GET", "/api/v1/merchant", "", []string{"Authorization", key}, 401},
		{"GET", "/api/v1/merchant", "", []string{"Authorization", "Basic " + key}, 401},
		{"POST", "/api/v1/payments", body, []string{"Authorization", "Bearer " + key, "Content-Type", "", "Content-Type", "APPLICATION/JSON ; charset=UTF-8"}, 201},
		{"POST", "/api/v1/payments", body, []string{"Authorization", "Bearer " + key, "Content-Encoding", "identity"}, 201},
		{"POST", "/api/v1/payments", strings.Replace(body, "native", "0xA0B86991C6218B36C1D19D4A2E9EB0CE3606EB48", 1), []string{"Authorization", "Bearer " + key}, 201},
		{"POST", "/api/v1/payments", strings.Replace(body, "native", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", 1), []string{"Authorization", "Bearer " + key}, 201},
		{"POST", "/api/v1/payments", strings.Replace(body, "native", "uSdC", 1), []string{"Authorization", "Bearer " + key}, 201},
	} {
		w := ask(c, q.method, q.target, q.body, q.headers...)
		if w.Code != q.status {
			t.Errorf("%s %s %s %v: %d %s", q.method, q.target, q.body, q.headers, w.Code, w.Body)
		}
		if strings.Contains(strings.ToLower(q.body), "0xa0b8") &&
			!strings.Contains(w.Body.String(), `"contract":"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"`) {
			t.Errorf("the contract is not in EIP-55 spelling: %s", w.Body)
		}
	}
	marked := decoded[Problem](t, c.ask(key, "POST", "/api/v1/payments", "\uFEFF"+body), http.StatusBadRequest)
	if marked.Code != CodeInvalidJSON || !strings.Contains(marked.Detail, "byte order mark") {
		t.Errorf("%+v", marked)
	}
}

// TestHeadIsGet: HEAD says what GET would, without a body.
func TestHeadIsGet(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	server := httptest.NewServer(c.Server)
	defer server.Close()
	for path, want := range map[string]int{"/api/v1/payments": 200, "/api/v1/payments/pay_1": 404, "/api/v1/nothing": 404,
		"/api/v1/payments/pay_1/cancel": 405} {
		r, err := http.NewRequest(http.MethodHead, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want || len(body) > 0 || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d with %d bytes, %v", path, res.StatusCode, len(body), err)
		}
	}
}

func TestWantsCSV(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/csv": true, "text/csv; charset=utf-8": true, "TEXT/CSV": true, "application/json, text/csv": false, "text/csv, application/json": true,
		"text/csv;q=0, application/json": false, "text/csv;q=0": false, "text/csv;q=0.1, application/json;q=0.9": false, "application/json;q=0.1, text/csv": true,
		"text/html, text/csv;q=0.9, */*;q=0.1": true, "text/csv;q=x": false, "text/html": false,
	} {
		if got := wantsCSV(accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

// TestHarmless: no text of a merchant begins a formula in a spreadsheet, and any other stays as it was.
func TestHarmless(t *testing.T) {
	for _, s := range []string{"=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "＝1", "＋1", "－1", "＠x"} {
		if got := payments.Cell(&s); got != "'"+s {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, s := range []string{"", "A-17", "a=b", "'=1", "Käse", "0x-", " x", "\xff"} {
		if got := payments.Cell(&s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	if payments.Cell(nil) != "" {
		t.Error("nothing became something")
	}
}

// TestIfMatch: any of several versions, or any at all; what is no ETag is refused by name.
func TestIfMatch(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	e := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
		`{"url":"https://shop.example/hooks"}`), http.StatusCreated)
	path := "/api/v1/webhook_endpoints/" + e.ID
	for i, q := range []struct {
		ifMatch string
		status  int
	}{{`"7", "1"`, 200}, {`*`, 200}, {`"1"`, 412}, {`W/"3"`, 412}, {`"3"`, 200}, {`4`, 400}, {`"4`, 400}, {`"4" "5"`, 400},
		{`*,"4"`, 400}, {`""`, 412}} {
		w := c.ask(key, "PATCH", path, fmt.Sprintf(`{"description":"%d"}`, i), "If-Match", q.ifMatch)
		if w.Code != q.status {
			t.Errorf("If-Match %s: %d %s", q.ifMatch, w.Code, w.Body)
		}
		if q.status == http.StatusBadRequest {
			if p := decoded[Problem](t, w, q.status); len(p.Errors) != 1 || p.Errors[0].Field != "If-Match" ||
				p.Errors[0].Example != `"3"` {
				t.Errorf("%+v", p)
			}
		}
	}
	if w := c.ask(key, "DELETE", path, "", "If-Match", `"1"`); w.Code != http.StatusPreconditionFailed {
		t.Errorf("an old version was deleted: %d", w.Code)
	}
}

// TestOddQueries: what a database could stumble over is told as a fault of the caller's, or finds nothing.
func TestOddQueries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		for query, want := range map[string]int{
			"order_id=%ff": 400, "order_id=%ed%a0%80": 400, "order_id=%00": 400, "order_id=%EF%BF%BE": 200, "order_id=" + strings.Repeat("%F0%9F%A7%80", 255): 200,
			"created_after=0000-01-01T00:00:00Z": 200, "created_before=9999-12-31T23:59:59.999999999Z": 200, "created_after=2026-11-23T10:00:00-23:59": 200,
			"cursor=" + sealCursor("1", "pay_1"): 200, "cursor=" + sealCursor("1", "pay_\x00"): 400, "cursor=" + sealCursor("1", "pay_\xff"): 400, "cursor=" + sealCursor("1", ""): 400,
			"cursor=" + sealCursor("9223372036854775807", "pay_1"): 400, "cursor=" + sealCursor("-9223372036854775808", "pay_1"): 400, "cursor=" + sealCursor("253402300799999999", "pay_1"): 200,
		} {
			if w := c.ask(key, "GET", "/api/v1/payments?"+query, ""); w.Code != want {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
		}
		for after, want := range map[string]int{
			"": 200, "0": 200, "1": 400, sealCursor("0", "0"): 200, sealCursor("18446744073709551615", "9223372036854775807"): 200, sealCursor("18446744073709551616", "1"): 400,
			sealCursor("+1", "1"): 400, sealCursor("0", "-1"): 200, "evt_00000000000000000000000000": 200,
		} {
			if w := c.ask(key, "GET", "/api/v1/events?after="+after, ""); w.Code != want {
				t.Errorf("after %s: %d %s", after, w.Code, w.Body)
			}
		}
	})
}
