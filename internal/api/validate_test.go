package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const goodPayment = `{"chain":"ethereum","asset":"USDC","amount":"1500000"}`

// with is a good payment with one more or one other field.
func with(field string) string { return goodPayment[:len(goodPayment)-1] + "," + field + "}" }

func paying(amount string) string {
	return `{"chain":"ethereum","asset":"USDC","amount":` + amount + `}`
}

func TestBadRequests(t *testing.T) {
	s := testServer(t, io.Discard)
	long := strings.Repeat("9", 79)
	const over = "115792089237316195423570985008687907853269984665640564039457584007913129639936" // 2^256
	payment := func(name, body string, status int, headers ...string) {
		t.Run(name, func(t *testing.T) {
			w := ask(s, http.MethodPost, "/api/v1/payments", body, headers...)
			if w.Code != status {
				t.Errorf("status %d, want %d", w.Code, status)
			}
			golden(t, name, w)
		})
	}
	payment("no_body", "", 400)
	payment("not_json", `{"chain":`, 400)
	payment("syntax_error", "{\n  \"chain\": \"ethereum\",\n  nope\n}", 400)
	payment("trailing_garbage", goodPayment+"\n{}", 400)
	payment("duplicate_key", with(`"metadata":{"cart":"1","cart":"2"}`), 400)
	payment("not_utf8", with("\"order_id\":\"caf\xe9\""), 400)
	payment("half_a_surrogate", with(`"order_id":"\ud83d"`), 400)
	payment("no_content_type", goodPayment, 415, "Content-Type", "")
	payment("form", "chain=ethereum", 415, "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded")
	payment("latin1", goodPayment, 415, "Content-Type", "", "Content-Type", "application/json; charset=latin1")
	payment("compressed", goodPayment, 415, "Content-Encoding", "gzip")
	payment("not_an_object", `["ethereum"]`, 400)
	payment("null_body", `null`, 400)
	payment("empty_object", `{}`, 400)
	payment("amount_number", paying(`1500000`), 400)
	payment("amount_null", paying(`null`), 400)
	payment("amount_negative", paying(`"-5"`), 400)
	payment("amount_zero", paying(`"0"`), 400)
	payment("amount_decimal_point", paying(`"1.5"`), 400)
	payment("amount_2_256", paying(`"`+over+`"`), 400)
	payment("amount_too_long", paying(`"`+long+`"`), 400)
	payment("amount_twice", with(`"amount_decimal":"1.5"`), 400)
	payment("amount_decimal_negative", `{"chain":"ethereum","asset":"USDC","amount_decimal":"-1"}`, 400)
	payment("unknown_field", with(`"oder_id":"A-17"`), 400)
	payment("unknown_field_by_case", with(`"Metadata":{}`), 400)
	payment("expires_too_soon", with(`"expires_in":59`), 400)
	payment("expires_fraction", with(`"expires_in":90.5`), 400)
	payment("expires_exponent", with(`"expires_in":1e3`), 400)
	payment("expires_overflow", with(`"expires_in":1e400`), 400)
	payment("metadata_nested", with(`"metadata":{"cart":{"id":9}}`), 400)
	payment("metadata_long_key", with(`"metadata":{"`+strings.Repeat("k", 41)+`":"v"}`), 400)
	payment("control_characters", with(`"order_id":"A\u0000","metadata":{"a\nb":"x","c":"\u0007"}`), 400)
	payment("redirect_script", with(`"redirect_url":"javascript:alert(1)"`), 400)
	payment("everything_wrong",
		`{"chain":7,"asset":"","amount":"0x10","order_id":"","expires_in":"soon","tolerance_bps":1001,"metadata":{"cart":9},"color":"red"}`, 400)
	payment("idempotency_key_empty", goodPayment, 400, "Idempotency-Key", " ")
	payment("idempotency_key_long", goodPayment, 400, "Idempotency-Key", strings.Repeat("k", 256))
	payment("idempotency_key_twice", goodPayment, 400, "Idempotency-Key", "a", "Idempotency-Key", "b")

	for _, c := range []struct{ name, method, target, body string }{
		{"limit_over_100", "GET", "/api/v1/payments?limit=101", ""},
		{"limit_zero", "GET", "/api/v1/payments?limit=0", ""},
		{"limit_word", "GET", "/api/v1/payments?limit=all", ""},
		{"limit_empty", "GET", "/api/v1/payments?limit=", ""},
		{"unknown_parameter", "GET", "/api/v1/payments?stauts=pending&page=2", ""},
		{"repeated_parameter", "GET", "/api/v1/payments?status=pending&status=expired", ""},
		{"status_unknown", "GET", "/api/v1/payments?status=paid", ""},
		{"created_after_date", "GET", "/api/v1/payments?created_after=2026-11-23", ""},
		{"cursor_malformed", "GET", "/api/v1/payments?cursor=%20%27", ""},
		{"query_malformed", "GET", "/api/v1/payments?status=%zz", ""},
		{"query_control", "GET", "/api/v1/payments?order_id=a%00b", ""},
		{"parameter_of_another_route", "GET", "/api/v1/assets?limit=5", ""},
		{"id_of_another_kind", "GET", "/api/v1/deliveries?endpoint_id=pay_0k3mzq8r5v7w2x9y4b6c1d0efg", ""},
		{"body_on_get", "GET", "/api/v1/assets", "{}"},
		{"action_with_field", "POST", "/api/v1/payments/pay_1/cancel", `{"reason":"x"}`},
		{"patch_nothing", "PATCH", "/api/v1/webhook_endpoints/we_1", `{}`},
		{"patch_url_null", "PATCH", "/api/v1/webhook_endpoints/we_1", `{"url":null,"client_cert":{"cert_pem":"x"}}`},
		{"endpoint_wrong", "POST", "/api/v1/webhook_endpoints", `{"url":"https://x.example","events":["payment.*","payment.paid","payment.*"],"secret":"short","timeout":31,"spki_pins":["zz"]}`},
		{"rotate_overlap", "POST", "/api/v1/webhook_endpoints/we_1/rotate_secret", `{"overlap_seconds":604801}`},
		{"key_scopes", "POST", "/api/v1/api_keys", `{"name":"x","scopes":["payments:read","admin"],"expires_at":"tomorrow"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(s, c.method, c.target, c.body)
			if w.Code != http.StatusBadRequest {
				t.Errorf("status %d", w.Code)
			}
			golden(t, c.name, w)
		})
	}
}

func TestEmptyIdempotencyKey(t *testing.T) {
	s := testServer(t, io.Discard)
	r := httptest.NewRequest(http.MethodPost, "/api/v1/payments", strings.NewReader(goodPayment))
	r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {""}}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"Idempotency-Key"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestGoodRequests(t *testing.T) {
	s := testServer(t, io.Discard)
	const most = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/api/v1/payments", goodPayment},
		{"POST", "/api/v1/payments", paying(`"` + most + `"`)},
		{"POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount_decimal":"0.000000000000000001"}`},
		{"POST", "/api/v1/payments", with(`"metadata":{"Käse":"🧀 \ud83e\uddc0 \\ud83d"},"order_id":"<&>"`)},
		{"POST", "/api/v1/payments/pay_1/cancel", ""},
		{"POST", "/api/v1/payments/pay_1/cancel", "{}"},
		// rules, and so 422, not 400
		{"POST", "/api/v1/webhook_endpoints", `{"url":"http://10.0.0.1\u0000","ca_pem":"-----BEGIN\r\n\tx"}`},
		{"PATCH", "/api/v1/webhook_endpoints/we_1", `{"max_in_flight":null,"ca_pem":null,"client_cert":null}`},
		{"POST", "/api/v1/webhook_endpoints/we_1/test", `{}`},
		{"GET", "/api/v1/payments?limit=100&status=pending&chain=base&order_id=A%26B&created_after=2026-11-23T10:00:00%2B02:00", ""},
		{"GET", "/api/v1/events?after=", ""},
		{"GET", "/api/v1/events?after=0&type=payment.confirmed&payment_id=pay_unknown", ""},
		{"GET", "/api/v1/payments/whatever", ""},
		{"DELETE", "/api/v1/api_keys/key_1", ""},
	} {
		w := ask(s, c.method, c.target, c.body, "If-Match", `"3"`)
		if w.Code != http.StatusOK || w.Body.String() != c.body {
			t.Errorf("%s %s %s: %d %s", c.method, c.target, c.body, w.Code, w.Body)
		}
	}
}

// FuzzPaymentBody: any body is either let through or answered by a 4xx.
func FuzzPaymentBody(f *testing.F) {
	s := testServer(f, io.Discard)
	for _, seed := range []string{goodPayment, "", "{}", "null", `{"metadata":{"a.b":7}}`, with(`"expires_in":1e400`),
		with(`"x":[{"y":1}]`)} {
		f.Add(seed, "limit=5")
	}
	f.Fuzz(func(t *testing.T, body, query string) {
		r := ask(s, http.MethodPost, "/api/v1/payments", body)
		if r.Code != http.StatusOK && (r.Code < 400 || r.Code > 499) {
			t.Errorf("%q: %d %s", body, r.Code, r.Body)
		}
		if strings.ContainsAny(query, " \t\r\n#") ||
			strings.ContainsFunc(query, func(c rune) bool { return c < ' ' || c > '~' }) {
			return
		}
		if r := ask(s, http.MethodGet, "/api/v1/payments?"+query, ""); r.Code != http.StatusOK &&
			r.Code != http.StatusBadRequest {
			t.Errorf("%q: %d %s", query, r.Code, r.Body)
		}
	})
}
