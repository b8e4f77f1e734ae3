package api

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// brokenTexts are no texts for Postgres: they hold NUL, or are not UTF-8 (a lone byte, an overlong form, a surrogate,
// a character cut short).
var brokenTexts = []string{"\x00", "a\x00b", "pay_\x00", "\xff", "a\xc0\x80b", "\xed\xa0\x80", "\xe2\x82"}

// TestBrokenTextIsNoFault sends what is no text in each path, query, header and cursor of each route, with a key and
// without: the answer is never a 5xx, and a path that holds it is 404, or 400.
func TestBrokenTextIsNoFault(t *testing.T) {
	var o Options
	c := newCounter(t, storetest.Postgres(t), func(given *Options) {
		given.Limits.Rate, given.Limits.Burst = 1e9, 1e9
		o = *given
	})
	mountPages(t, c.Server, o)
	_, key := c.merchant(t, "a", false)
	session := signIn(t, c.Server, key)
	parameter := regexp.MustCompile(`[:{][a-z_]+}?`)
	tried := 0
	send := func(method, target string, want []int, headers ...string) {
		t.Helper()
		for _, auth := range [][]string{nil, {"Authorization", "Bearer " + key}, {"Authorization", "Bearer " + operatorToken},
			{"Cookie", session.cookie, "Sec-Fetch-Site", "same-origin"}} {
			tried++
			w := ask(c.Server, method, target, "", append(auth, headers...)...)
			if w.Code >= 500 || want != nil && w.Code != want[0] && w.Code != want[1] {
				t.Errorf("%s %q %q: %d %.300s", method, target, append(auth, headers...), w.Code, w.Body)
			}
		}
	}
	everything := func(method, path string, query []string) {
		t.Helper()
		filled := parameter.ReplaceAllString(path, "x")
		for _, broken := range brokenTexts {
			escaped := url.PathEscape(broken)
			send(method, strings.TrimSuffix(filled, "/")+"/"+escaped, []int{404, 400})
			if filled != path {
				send(method, parameter.ReplaceAllString(path, escaped), []int{404, 400})
			}
			for _, name := range append(query, "unknown") {
				send(method, filled+"?"+name+"="+url.QueryEscape(broken), nil)
			}
			send(method, filled+"?"+url.QueryEscape(broken)+"=1", nil)
			for _, cursor := range []string{"1 " + broken, broken + " pay_1", "9223372036854775807 pay_1", "-1 pay_1"} {
				sealed := base64.RawURLEncoding.EncodeToString([]byte(cursor))
				send(method, filled+"?cursor="+sealed, nil)
				send(method, filled+"?after="+sealed, nil)
			}
			for _, header := range []string{"Idempotency-Key", "If-Match", "X-Request-Id", "Accept", "User-Agent", "Origin",
				"Authorization", "Cookie", "X-Forwarded-For", "Traceparent", "Content-Type"} {
				if strings.HasPrefix(broken, "a") {
					send(method, filled, nil, header, broken)
				}
			}
		}
	}
	for route, op := range routesOf(c.Server) {
		method, path, _ := strings.Cut(route, " ")
		var query []string
		for name := range op.Query {
			query = append(query, name)
		}
		everything(method, path, query)
	}
	for _, route := range pages {
		method, path, _ := strings.Cut(route, " ")
		everything(method, path, pageQuery)
	}
	if tried < 8_000 {
		t.Errorf("only %d requests were tried", tried)
	}
	form := url.Values{"key": {"ck_live_\x00\xff"}, "csrf": {"\x00"}}.Encode()
	for _, path := range []string{"/portal/sign-in", "/portal/sign-out", "/portal/deliveries/x/redeliver"} {
		w := ask(c.Server, "POST", path, form, "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded",
			"Sec-Fetch-Site", "same-origin", "Cookie", session.cookie)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("a form of no text at %s: %d", path, w.Code)
		}
	}
}
