package web_test

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/web"
	"github.com/ctrip-gateway/ctrip/models"
)

func ptr[T any](v T) *T { return &v }

func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestPortalShowsTheMerchantsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		p := h.payment(nil)
		d := h.sent(p, 500, "server_error", models.DeliveryDead, "<h1>boom</h1>")
		b := h.signedIn(false)

		if res := b.get("/portal"); res.StatusCode != http.StatusSeeOther ||
			res.Header.Get("Location") != "/portal/overview" {
			t.Errorf("GET /portal: %d to %s", res.StatusCode, res.Header.Get("Location"))
		}
		b.open("/portal/payments").want(t, "Tea &amp; Sons", "A-17", "12.5 USDC", `href="/portal/payments/`+p.ID+`"`,
			"pending")
		b.open("/portal/payments/"+p.ID).want(t, "secret basket", "/pay/"+p.Token, "payment.created",
			template.HTMLEscapeString(p.DerivationPath), "Nothing has arrived")
		b.open("/portal/endpoints").want(t, "https://shop.example/hooks", "enabled", "192.0.2.7")
		b.open("/portal/deliveries").want(t, d.ID, "payment.created", "server error", "dead", "1 of 15")
		b.open("/portal/deliveries/"+d.ID).want(t, "attempts exhausted", "[redacted]", "X-Webhook-Signature", "500",
			"33.4 ms", "&lt;h1&gt;boom", "Send again", "203.0.113.9", "secret basket")

		log, err := s.AuditLog(t.Context(), 1, 100)
		h.must(err)
		var did []string
		for _, line := range log {
			if strings.HasPrefix(line.Actor, "key:") {
				did = append(did, line.Action+" "+line.Subject)
			}
		}
		if len(did) != 2 || !strings.HasPrefix(did[0], "portal.signed_in key_") || did[1] != "attempts.read "+d.ID {
			t.Errorf("the audit log has %v", did)
		}

		h.merchant = h.newMerchant("Other", "")
		stranger := h.signedIn(false)
		for _, path := range []string{"/portal/payments/" + p.ID, "/portal/deliveries/" + d.ID, "/portal/payments/pay_none",
			"/portal/deliveries/dlv_none"} {
			if res := stranger.get(path); res.StatusCode != http.StatusNotFound {
				t.Errorf("GET %s as another merchant: %d", path, res.StatusCode)
			}
		}
		if res := stranger.post("/portal/deliveries/"+d.ID+"/redeliver",
			url.Values{"csrf": {stranger.open("/portal/deliveries").csrf()}}); res.StatusCode != http.StatusNotFound {
			t.Errorf("redeliver as another merchant: %d", res.StatusCode)
		}
		stranger.open("/portal/payments").lacks(t, p.ID)
		stranger.open("/portal/deliveries").lacks(t, d.ID, "shop.example")
		stranger.open("/portal/endpoints").lacks(t, "shop.example")
	})
}

func TestPortalEscapes(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	h.merchant = h.newMerchant(evil, otherXPub)
	p := h.payment(func(r *payments.Request) { r.OrderID, r.Metadata = ptr(evil), map[string]string{evil: evil} })
	d := h.sent(p, 500, "server_error", models.DeliveryPending, evil+"\xff\x00")
	b := h.signedIn(false)
	for _, path := range []string{
		"/portal/payments", "/portal/payments?order_id=" + url.QueryEscape(evil), "/portal/payments/" + p.ID, "/portal/deliveries",
		"/portal/deliveries?event=" + url.QueryEscape(evil), "/portal/deliveries/" + d.ID, "/portal/endpoints",
	} {
		page := b.open(path)
		page.want(t, shown)
		page.lacks(t, "<script>")
	}
	b.open("/portal/deliveries/"+d.ID).want(t, "Send now", "Next attempt", shown+"\uFFFD")
}

// otherXPub is the account key of another wallet.
const otherXPub = "xpub6BosfCnifzxcFwrSzQiqu2DBVTshkCXacvNsWGYJVVhhawA7d4R5WSWGFNbi8Aw6ZRc1brxMyWMzG3DSSSSoekkudhUd9yLb6qx39T9nMdj"

func TestFiltersAndPaging(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	for i := range 60 {
		h.clock.Advance(time.Second)
		p := h.payment(orderID("order-" + strconv.Itoa(i)))
		if i%2 == 0 {
			h.move(p, 0, "", func(p *models.Payment) { p.Status = models.PaymentConfirmed })
		}
	}
	b := h.signedIn(false)
	older := regexp.MustCompile(`href="([^"]+)" rel="next"`)
	link := regexp.MustCompile(`href="/portal/payments/(pay_\w+)"`)
	walk := func(path string) (ids []string, pages int) {
		for path != "" {
			page := b.open(path)
			for _, m := range link.FindAllStringSubmatch(page.body, -1) {
				ids = append(ids, m[1])
			}
			pages++
			path = ""
			if m := older.FindStringSubmatch(page.body); m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		return ids, pages
	}
	ids, pages := walk("/portal/payments")
	if len(ids) != 60 || pages != 3 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d payments on %d pages, newest first: %v", len(ids), pages, ids)
	}
	if ids, pages := walk("/portal/payments?status=confirmed"); len(ids) != 30 || pages != 2 {
		t.Errorf("%d confirmed payments on %d pages", len(ids), pages)
	}
	if ids, _ := walk("/portal/payments?order_id=order-7"); len(ids) != 1 {
		t.Errorf("%d payments of one order", len(ids))
	}
	b.open("/portal/payments?order_id=nothing").want(t, "No payment matches")
	for _, path := range []string{
		"/portal/payments?status=paid", "/portal/payments?cursor=x", "/portal/payments?cursor=" + base64.RawURLEncoding.EncodeToString([]byte("x y")),
		"/portal/deliveries?state=lost", "/portal/deliveries?type=payment.exploded", "/portal/payments?order_id=" + strings.Repeat("a", 300),
	} {
		if res := b.get(path); res.StatusCode != http.StatusBadRequest {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
}

func TestDeliveryFilters(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	dead := h.sent(h.payment(orderID("a")), 500, "server_error", models.DeliveryDead, "")
	done := h.sent(h.payment(orderID("b")), 200, "delivered", models.DeliveryDelivered, "ok")
	b := h.signedIn(false)
	for query, want := range map[string][2]bool{
		"state=dead": {true, false}, "state=delivered": {false, true}, "endpoint=" + done.EndpointID: {false, true}, "type=payment.created": {true, true},
		"type=payment.late": {false, false}, "event=" + dead.EventID: {true, false},
	} {
		page := b.open("/portal/deliveries?" + query)
		if got := [2]bool{strings.Contains(page.body, dead.ID), strings.Contains(page.body, done.ID)}; got != want {
			t.Errorf("%s shows %v, not %v", query, got, want)
		}
	}
}

func TestScopesAndTestKeys(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	live := h.payment(nil)
	d := h.sent(live, 500, "server_error", models.DeliveryDead, "boom")
	toy := h.payment(func(r *payments.Request) { r.Chain, r.Asset, r.OrderID = "sepolia", "native", ptr("toy order") })
	toyDelivery := h.sent(toy, 200, "delivered", models.DeliveryDelivered, "ok")
	paths := map[string]models.Scope{
		"/portal/payments": models.ScopePaymentsRead, "/portal/payments/" + live.ID: models.ScopePaymentsRead,
		"/portal/endpoints": models.ScopeWebhooksRead, "/portal/deliveries": models.ScopeWebhooksRead, "/portal/deliveries/" + d.ID: models.ScopeWebhooksRead,
	}
	for _, scope := range []models.Scope{models.ScopePaymentsRead, models.ScopeWebhooksRead, models.ScopeKeysWrite} {
		b := h.signedIn(false, scope)
		for path, needed := range paths {
			want := http.StatusForbidden
			if needed == scope {
				want = http.StatusOK
			}
			if res := b.get(path); res.StatusCode != want {
				t.Errorf("GET %s with %s: %d", path, scope, res.StatusCode)
			}
		}
	}
	reader := h.signedIn(false, models.ScopeWebhooksRead)
	page := reader.open("/portal/deliveries/" + d.ID)
	page.lacks(t, "Send again", "secret basket", "/portal/payments")
	if res := reader.post("/portal/deliveries/"+d.ID+"/redeliver",
		url.Values{"csrf": {page.csrf()}}); res.StatusCode != http.StatusForbidden {
		t.Errorf("redeliver without webhooks:write: %d", res.StatusCode)
	}
	for scope, want := range map[models.Scope]string{models.ScopeKeysWrite: "/portal/keys",
		models.ScopePaymentsWrite: "/portal/activity"} {
		if res := h.signedIn(false, scope).get("/portal"); res.Header.Get("Location") != want {
			t.Errorf("the front page with %s alone: %d to %s", scope, res.StatusCode, res.Header.Get("Location"))
		}
	}

	b := h.signedIn(true)
	list := b.open("/portal/payments")
	list.want(t, toy.ID)
	list.lacks(t, live.ID)
	list = b.open("/portal/deliveries")
	list.want(t, toyDelivery.ID)
	list.lacks(t, d.ID)
	b.open("/portal/payments/" + toy.ID)
	b.open("/portal/deliveries/" + toyDelivery.ID)
	for _, path := range []string{"/portal/payments/" + live.ID, "/portal/deliveries/" + d.ID} {
		if res := b.get(path); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s with a test key: %d", path, res.StatusCode)
		}
	}
	if res := b.post("/portal/deliveries/"+d.ID+"/redeliver",
		url.Values{"csrf": {list.csrf()}}); res.StatusCode != http.StatusNotFound {
		t.Errorf("redeliver a live payment's webhook with a test key: %d", res.StatusCode)
	}
}

func TestRedeliver(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	b := h.signedIn(false)
	path := "/portal/deliveries/" + d.ID
	csrf := b.open(path).csrf()
	res := b.post(path+"/redeliver", url.Values{"csrf": {csrf}})
	next := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || next == path+"?sent=1" ||
		!strings.HasPrefix(next, "/portal/deliveries/dlv_") {
		t.Fatalf("redeliver: %d to %s", res.StatusCode, next)
	}
	b.open(next).want(t, "It is being sent again", "Replay of", d.ID)
	other := h.payment(func(r *payments.Request) { r.OrderID = nil })
	again := h.sent(other, 200, "delivered", models.DeliveryDelivered, "")
	sent := b.open("/portal/deliveries/" + again.ID + "?sent=1")
	sent.want(t, "the receiver took it")
	sent.lacks(t, "being sent again")

	h.InTx(func(tx *store.Tx) error {
		_, err := h.Endpoints.Disable(t.Context(), tx, models.System, h.merchant.ID, d.EndpointID, "no success for 5 days")
		return err
	})
	page := b.open(path)
	page.want(t, "Disabled", "no success for 5 days")
	page.lacks(t, "Send again")
	res = b.post(path+"/redeliver", url.Values{"csrf": {csrf}})
	if res.StatusCode != http.StatusConflict {
		t.Errorf("redeliver to a disabled endpoint: %d", res.StatusCode)
	}
	res.want(t, "enable it first")
}

func TestForeignFormsAreRefused(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	b := h.signedIn(false)
	cookie := b.cookie
	good := url.Values{"csrf": {b.open("/portal/deliveries").csrf()}}
	other := url.Values{"csrf": {h.signedIn(false).open("/portal/deliveries").csrf()}}
	_, secret := h.key(false)
	for name, c := range map[string]struct {
		path   string
		form   url.Values
		header []string
	}{
		"no token":             {"/portal/sign-out", nil, nil},
		"another's token":      {"/portal/sign-out", other, nil},
		"cross-site":           {"/portal/sign-out", good, []string{"Sec-Fetch-Site", "cross-site"}},
		"same-site":            {"/portal/sign-out", good, []string{"Sec-Fetch-Site", "same-site"}},
		"another origin":       {"/portal/sign-out", good, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}},
		"redeliver, no token":  {"/portal/deliveries/" + d.ID + "/redeliver", nil, nil},
		"redeliver, cross":     {"/portal/deliveries/" + d.ID + "/redeliver", good, []string{"Sec-Fetch-Site", "cross-site"}},
		"sign in, cross":       {"/portal/sign-in", url.Values{"key": {secret}}, []string{"Sec-Fetch-Site", "cross-site"}},
		"sign in, null origin": {"/portal/sign-in", url.Values{"key": {secret}}, []string{"Sec-Fetch-Site", "", "Origin", "null"}},
	} {
		res := b.post(c.path, c.form, c.header...)
		if res.StatusCode != http.StatusForbidden || b.cookie != cookie {
			t.Errorf("%s: %d, cookie kept: %v", name, res.StatusCode, b.cookie == cookie)
		}
	}
	if res := b.get("/portal/sign-out"); res.StatusCode == http.StatusSeeOther || b.cookie == nil {
		t.Errorf("signed out by a link: %d", res.StatusCode)
	}
	if res := b.post("/portal/sign-out", good, "Sec-Fetch-Site", "", "Origin",
		"http://pay.example"); res.StatusCode != http.StatusSeeOther || b.cookie != nil {
		t.Errorf("sign out: %d, cookie %v", res.StatusCode, b.cookie)
	}
	if res := b.get("/portal/payments"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("after signing out: %d", res.StatusCode)
	}
}

func TestSessions(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := &browser{h: h}
	key, secret := h.key(false)
	for name, wrong := range map[string]string{"nothing": "", "unknown": "ck_live_" + strings.Repeat("a", 43),
		"long": "ck_live_" + strings.Repeat("a", 5000)} {
		if res := b.post("/portal/sign-in", url.Values{"key": {wrong}}); res.StatusCode != http.StatusUnauthorized ||
			b.cookie != nil {
			t.Errorf("sign in with %s: %d", name, res.StatusCode)
		}
	}
	if res := b.post("/portal/sign-in",
		url.Values{"key": {strings.Repeat("a", 64<<10)}}); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of 64 KiB: %d", res.StatusCode)
	}
	b.post("/portal/sign-in", url.Values{"key": {" " + secret + "\n"}})
	c := b.cookie
	if c == nil || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/portal" ||
		c.MaxAge != 8*3600 {
		t.Fatalf("cookie %+v", c)
	}
	b.open("/portal/payments").lacks(t, secret)
	if raw, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || strings.Contains(string(raw), key.ID) {
		t.Errorf("the cookie can be read: %q, %v", raw, err)
	}

	closed := func(name string) {
		t.Helper()
		for _, path := range []string{"/portal/payments", "/portal/deliveries"} {
			if res := b.get(path); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/portal" {
				t.Errorf("%s: GET %s: %d", name, path, res.StatusCode)
			}
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	h.must(err)
	for _, i := range []int{0, 2, len(raw) / 2, len(raw) - 1} {
		forged := slices.Clone(raw)
		forged[i] ^= 1
		b.cookie = &http.Cookie{Name: c.Name, Value: base64.RawURLEncoding.EncodeToString(forged)}
		closed("byte " + strconv.Itoa(i) + " changed")
	}
	elsewhere, err := h.Vault.Seal([]byte(`{"k":"`+key.ID+`","m":"`+h.merchant.ID+`","c":"x","e":"2030-01-01T00:00:00Z"}`),
		"endpoint_secrets/x/secret")
	h.must(err)
	for name, value := range map[string]string{"empty": "", "garbage": "%%%",
		"sealed elsewhere": base64.RawURLEncoding.EncodeToString(elsewhere), "huge": strings.Repeat("A", 8000)} {
		b.cookie = &http.Cookie{Name: c.Name, Value: value}
		closed(name)
	}
	b.cookie = c
	b.open("/portal/payments")

	h.clock.Set(noon.Add(8*time.Hour - time.Second))
	b.open("/portal/payments")
	h.clock.Set(noon.Add(8 * time.Hour))
	closed("after eight hours")
	b.get("/portal").want(t, "Your session has ended")

	h.clock.Set(noon)
	b.cookie = c
	b.open("/portal/payments")
	h.InTx(func(tx *store.Tx) error {
		return h.access.RevokeKey(t.Context(), tx, operator, access.Revocation{ID: key.ID})
	})
	closed("after the key was revoked")
	if strings.Contains(h.logged.String(), secret) {
		t.Error("the key was logged")
	}

	secured := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.PublicURL = "https://pay.example" })
	if s := secured.signedIn(false); !s.cookie.Secure {
		t.Error("the cookie is not Secure on https")
	}
}

// TestFailuresAreOurs: an error of the database is one page, and its log line names the route and not the token.
func TestFailuresAreOurs(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	p := h.payment(nil)
	h.must(h.Store.Close())
	res := (&browser{h: h}).get("/pay/" + p.Token)
	if res.StatusCode != http.StatusInternalServerError || !strings.Contains(h.logged.String(), "page.failed") {
		t.Errorf("%d, %s", res.StatusCode, h.logged)
	}
	res.lacks(t, "sql", "database")
	if strings.Contains(h.logged.String(), p.Token) {
		t.Errorf("the token was logged: %s", h.logged)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := web.New(web.Options{}); err == nil {
		t.Error("a site of nothing")
	}
}

// TestTablesAreCards: on a narrow screen each cell shows the heading of its column.
func TestTablesAreCards(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	p := h.payment(nil)
	h.sent(p, 200, "delivered", models.DeliveryDelivered, "")
	b := h.signedIn(false)
	heading, cell := regexp.MustCompile(`<th[^>]*>([^<]+)</th>`), regexp.MustCompile(`<td[^>]* data-label="([^"]+)"`)
	for _, path := range []string{"/portal/payments", "/portal/deliveries", "/portal/payments/" + p.ID} {
		page := b.open(path)
		labels := map[string]bool{}
		for _, m := range cell.FindAllStringSubmatch(page.body, -1) {
			labels[m[1]] = true
		}
		for _, table := range regexp.MustCompile(`(?s)<table>.*?</table>`).FindAllString(page.body, -1) {
			for _, m := range heading.FindAllStringSubmatch(table, -1) {
				if !labels[m[1]] {
					t.Errorf("%s: no cell says %q", path, m[1])
				}
			}
		}
	}
}

// TestEmptyListsSayWhatNext: whoever has nothing yet is told where it comes from.
func TestEmptyListsSayWhatNext(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := h.signedIn(false)
	for path, next := range map[string]string{"/portal/payments": "/docs#createPayment",
		"/portal/deliveries": "/portal/endpoints",
		"/portal/endpoints":  "/docs#createWebhookEndpoint"} {
		b.open(path).want(t, `href="`+next+`"`)
	}
}
