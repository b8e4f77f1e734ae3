package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/web"
)

// pages are the routes of what people see, beside those of the OpenAPI file; {id} and {token} are filled in.
var pages = []string{
	"GET /pay/{token}", "GET /pay/{token}/status", "GET /assets/{asset}", "GET /portal", "GET /portal/",
	"POST /portal/sign-in", "POST /portal/sign-out", "GET /portal/payments", "GET /portal/payments/{payment}",
	"GET /portal/endpoints", "GET /portal/endpoints/new", "POST /portal/endpoints", "GET /portal/endpoints/{endpoint}",
	"GET /portal/endpoints/{endpoint}/edit", "POST /portal/endpoints/{endpoint}", "POST /portal/endpoints/{endpoint}/enable",
	"POST /portal/endpoints/{endpoint}/disable", "POST /portal/endpoints/{endpoint}/delete",
	"POST /portal/endpoints/{endpoint}/rotate", "POST /portal/endpoints/{endpoint}/test",
	"POST /portal/endpoints/{endpoint}/replay", "GET /portal/replays/{replay}", "POST /portal/replays/{replay}/cancel",
	"GET /portal/payments.csv", "POST /portal/payments/{payment}/cancel", "GET /portal/keys", "POST /portal/keys",
	"POST /portal/keys/{key}/revoke", "GET /portal/activity", "GET /portal/overview",
	"GET /portal/deliveries", "GET /portal/deliveries/{delivery}",
	"POST /portal/deliveries/{delivery}/redeliver", "GET /docs", "GET /docs/reference.css", "GET /docs/reference.js", "GET /openapi.yaml",
	"GET /", "GET /openapi.json",
	"GET /schemas", "GET /schemas/payment.confirmed.json", "GET /.well-known/webhook-keys.json",
}

// pageQuery are the parameters that the pages know.
var pageQuery = []string{"status", "order_id", "cursor", "state", "type", "endpoint", "event", "sent", "v", "chain",
	"from", "until", "before"}

// visitor is a browser with a session of the merchant who asks.
type visitor struct {
	cookie, csrf string
}

// mountPages puts checkout and portal beside the API, as the process does.
func mountPages(t testing.TB, s *Server, o Options) {
	t.Helper()
	site, err := web.New(web.Options{
		Store: o.Store, Payments: o.Payments, Endpoints: o.Endpoints, Redelivery: o.Redelivery,
		Chains: o.Chains, Access: o.Access, Links: o.Access, Sealer: o.Vault,
		Shares:    o.Shares,
		PublicURL: "https://pay.example", Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range web.Prefixes {
		s.Mount(prefix, site)
	}
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signIn opens a session in the portal for a key.
func signIn(t testing.TB, s http.Handler, key string) visitor {
	t.Helper()
	form := url.Values{"key": {key}}.Encode()
	w := ask(s, "POST", "/portal/sign-in", form, "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "same-origin")
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	v := visitor{cookie: cookies[0].Name + "=" + cookies[0].Value}
	page := ask(s, "GET", "/portal/payments", "", "Cookie", v.cookie)
	m := csrfInput.FindStringSubmatch(page.Body.String())
	if m == nil {
		t.Fatalf("the portal has no token: %d %s", page.Code, page.Body)
	}
	v.csrf = m[1]
	return v
}

// pageRequest is a request for a page that the dice make.
func (f *fuzzedCounter) pageRequest(d *dice) request {
	method, path, _ := strings.Cut(pick(d, pages...), " ")
	r := request{route: method + " " + path, method: method, page: true}
	for name, mine := range map[string]string{"{token}": f.token, "{asset}": "checkout.css",
		"{payment}": f.mine["payments"], "{delivery}": f.mine["deliveries"],
		"{endpoint}": f.mine["webhook_endpoints"], "{replay}": f.mine["replays"], "{key}": f.mine["api_keys"]} {
		if strings.Contains(path, name) {
			odd := fmt.Sprint(d.odd())
			if odd = strings.Trim(odd[:min(len(odd), 4000)], "./ "); odd == "" {
				odd = "x"
			}
			path = strings.Replace(path, name, url.PathEscape(pick(d, mine, mine, f.other.ids["payments"],
				f.other.ids["deliveries"], odd)), 1)
		}
	}
	query := make(url.Values)
	for _, name := range pageQuery {
		if d.one(6) {
			query.Set(name, pick(d, fmt.Sprint(d.odd()), "pending", "payment.confirmed", f.mine["webhook_endpoints"],
				f.mine["events"], sealCursor("1", "pay_\x00"), sealCursor("9223372036854775807", "pay_1")))
		}
	}
	r.target = path
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	if method == http.MethodPost {
		form := url.Values{"url": {pick(d, "https://shop.example/hooks", fmt.Sprint(d.odd()))}, "events": {pick(d, "*", fmt.Sprint(d.odd()))},
			"rate": {pick(d, "", "5", fmt.Sprint(d.odd()))}, "created_after": {pick(d, "", fmt.Sprint(d.odd()))},
			"key":  {pick(d, f.key, f.key, fmt.Sprint(d.odd()), "ck_live_\xff")},
			"csrf": {pick(d, f.visitor.csrf, f.visitor.csrf, f.visitor.csrf, fmt.Sprint(d.odd()))}}
		r.body = form.Encode()
		if d.one(15) {
			r.body = r.body[:d.n(len(r.body)+1)] + "%zz"
		}
	}
	r.cookie = pick(d, f.visitor.cookie, f.visitor.cookie, f.visitor.cookie, "", "ctrip_portal=\xff", "ctrip_portal=AA")
	return r
}

// pageAnswers are the statuses that a page may answer with.
var pageAnswers = []int{200, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 413, 429}

// sendPage asks for a page. It shows nothing of the other merchant, and never fails.
func (f *fuzzedCounter) sendPage(t testing.TB, r request) *httptest.ResponseRecorder {
	t.Helper()
	f.t = t
	headers := []string{"Sec-Fetch-Site", "same-origin"}
	if r.cookie != "" {
		headers = append(headers, "Cookie", r.cookie)
	}
	if r.body != "" {
		headers = append(headers, "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded")
	}
	w := f.watch(t, r, func() *httptest.ResponseRecorder {
		return ask(f.Server, r.method, r.target, r.body, headers...)
	})
	if !slices.Contains(pageAnswers, w.Code) {
		t.Errorf("%s %s %.300s: %d %.600s", r.method, r.target, r.body, w.Code, w.Body)
	}
	for _, mark := range f.other.marks {
		if strings.Contains(w.Body.String(), mark) && !strings.Contains(r.target+r.body, mark) {
			t.Errorf("%s %s %.300s shows %s of another merchant", r.method, r.target, r.body, mark)
		}
	}
	if r.route == "POST /portal/sign-out" && w.Code < 400 {
		f.visitor = signIn(t, f.Server, f.key)
	}
	return w
}
