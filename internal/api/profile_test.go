package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestMetadataIsReplaced: no event tells of it, later ones show it; the audit log has keys and no values.
func TestMetadataIsReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		p := decoded[webhook.Payment](t, c.ask(key, "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"native","amount":"1","metadata":{"cart":"9"}}`), http.StatusCreated)
		path := "/api/v1/payments/" + p.ID
		got := decoded[webhook.Payment](t, c.ask(key, "PATCH", path, `{"metadata":{"invoice":"who-knows"}}`), http.StatusOK)
		if fmt.Sprint(got.Metadata) != "map[invoice:who-knows]" || got.Sequence != 1 {
			t.Errorf("changed to %+v", got)
		}
		if again := decoded[webhook.Payment](t, c.ask(key, "GET", path, ""), http.StatusOK); fmt.Sprint(again.Metadata) !=
			"map[invoice:who-knows]" {
			t.Errorf("kept %v", again.Metadata)
		}
		decoded[webhook.Payment](t, c.ask(key, "POST", path+"/cancel", ""), http.StatusOK)
		events, err := s.ListEvents(t.Context(), merchant, store.EventFilter{PaymentID: p.ID}, store.Page{Limit: 10})
		if err != nil || len(events) != 2 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		slices.SortFunc(events, func(a, b models.Event) int { return b.Sequence - a.Sequence })
		if !strings.Contains(string(events[0].Body), "who-knows") || strings.Contains(string(events[1].Body), "who-knows") {
			t.Errorf("bodies: %s\n%s", events[0].Body, events[1].Body)
		}
		lines, err := s.AuditLog(t.Context(), 1, 100)
		if err != nil || strings.Contains(fmt.Sprint(lines), "who-knows") || !strings.Contains(fmt.Sprint(lines), "invoice") {
			t.Errorf("audit: %v, %v", lines, err)
		}
		for body, status := range map[string]int{
			`{}`: 400, `{"metadata":null}`: 400, `{"metadata":{"a":1}}`: 400, `{"metadata":{},"status":"confirmed"}`: 400,
			`{"metadata":{}}`: 200, `{"metadata":{` + strings.TrimSuffix(strings.Repeat(`"k%d":"`+strings.Repeat("x", 490)+`",`,
				9), ",") + `}}`: 422,
		} {
			for i := range strings.Count(body, "%d") {
				body = strings.Replace(body, "%d", fmt.Sprint(i), 1)
			}
			if w := c.ask(key, "PATCH", path, body); w.Code != status {
				t.Errorf("%.60s: %d %s, want %d", body, w.Code, w.Body, status)
			}
		}
	})
}

// TestFilterOverTheAPI: an endpoint is made with a filter, told only of what passes, and takes the filter away again.
func TestFilterOverTheAPI(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	merchant, key := c.merchant(t, "a", false)
	e := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
		`{"url":"https://shop.example/","filter":{"assets":["USDC"],"metadata":{"shop":["berlin","hamburg"]}}}`), 201)
	if e.Filter == nil || e.Filter.Chains != nil || len((*e.Filter.Metadata)["shop"]) != 2 {
		t.Fatalf("the filter is %+v", e.Filter)
	}
	told := func(asset, shop string) bool {
		t.Helper()
		p := decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments",
			fmt.Sprintf(`{"chain":"ethereum","asset":"%s","amount":"1","metadata":{"shop":"%s"}}`, asset, shop)), 201)
		rows, err := c.store.ListDeliveries(t.Context(), merchant, store.DeliveryFilter{}, store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(rows, func(d models.Delivery) bool { return *d.PaymentID == p.ID })
	}
	if !told("USDC", "berlin") || told("native", "berlin") || told("USDC", "munich") {
		t.Error("the filter is not obeyed")
	}
	path := "/api/v1/webhook_endpoints/" + e.ID
	if e := decoded[WebhookEndpoint](t, c.ask(key, "PATCH", path, `{"description":"x"}`), 200); e.Filter == nil {
		t.Error("another change took the filter away")
	}
	if e := decoded[WebhookEndpoint](t, c.ask(key, "PATCH", path, `{"filter":null}`), 200); e.Filter != nil ||
		!told("native", "munich") {
		t.Error("the filter is still there")
	}
	decoded[WebhookEndpoint](t, c.ask(key, "PATCH", path, `{"filter":{"statuses":["expired"]}}`), 200)
	if told("USDC", "berlin") {
		t.Error("the new filter is not obeyed")
	}
	given, err := c.store.ListDeliveries(t.Context(), merchant, store.DeliveryFilter{}, store.Page{Limit: 1})
	if err != nil || len(given) != 1 {
		t.Fatal(given, err)
	}
	if w := c.ask(key, "POST", "/api/v1/deliveries/"+given[0].ID+"/redeliver", ""); w.Code != http.StatusAccepted {
		t.Errorf("what it was given before: %d %s", w.Code, w.Body)
	}
	for body, field := range map[string]string{
		`{"chains":["etherium"]}`:                  "filter.chains",
		`{"assets":["SHIB"]}`:                      "filter.assets",
		`{"chains":["sepolia"],"assets":["USDC"]}`: "filter.assets",
		`{"statuses":["paid"]}`:                    "filter.statuses[0]",
		`{"chains":[]}`:                            "filter.chains",
		`{}`:                                       "filter",
		`{"metadata":{"shop":"berlin"}}`:           "filter.metadata.shop",
		`{"chain":["ethereum"]}`:                   "filter.chain",
	} {
		for _, q := range [][2]string{{"POST", "/api/v1/webhook_endpoints"}, {"PATCH", path}} {
			all := `{"url":"https://shop.example/","filter":` + body + `}`
			w := c.ask(key, q[0], q[1], all)
			if w.Code != 400 && w.Code != 422 || !strings.Contains(w.Body.String(), `"field":"`+field+`"`) {
				t.Errorf("%s %s: %d %s, want a problem of %s", q[0], body, w.Code, w.Body, field)
			}
		}
	}
}

func encodedImages(t *testing.T) (pngImage, jpegImage, webp []byte) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	var p, j bytes.Buffer
	if err := png.Encode(&p, img); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&j, img, nil); err != nil {
		t.Fatal(err)
	}
	frame := []byte{0x2f, 2, 0x40, 0, 0, 0, 0, 0, 0, 0} // 3 × 2, lossless
	webp = append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(4+8+len(frame)))...)
	webp = append(append(webp, "WEBPVP8L"...), binary.LittleEndian.AppendUint32(nil, uint32(len(frame)))...)
	return p.Bytes(), j.Bytes(), append(webp, frame...)
}

// TestProfile: what payers see of a merchant is changed and removed, and a logo is served as what it is and nothing
// more.
func TestProfile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		change := func(body string, status int) Merchant {
			t.Helper()
			return decoded[Merchant](t, c.ask(key, "PATCH", "/api/v1/merchant", body), status)
		}
		m := change(
			`{"name":"Tea","support_url":"https://shop.example/help","support_email":"help@shop.example","languages":["de","en"]}`, 200)
		if m.Name != "Tea" || *m.SupportURL != "https://shop.example/help" || *m.SupportEmail != "help@shop.example" ||
			len(*m.Languages) != 2 {
			t.Errorf("%+v", m)
		}
		if m = change(`{"support_url":null,"languages":null}`, 200); m.SupportURL != nil || m.Languages != nil ||
			m.SupportEmail == nil {
			t.Errorf("%+v", m)
		}
		pngImage, jpegImage, webp := encodedImages(t)
		for mediaType, content := range map[string][]byte{"image/png": pngImage, "image/jpeg": jpegImage,
			"image/webp": webp} {
			m := change(`{"logo":"`+base64.StdEncoding.EncodeToString(content)+`"}`, 200)
			if m.LogoURL == nil {
				t.Fatalf("%s: no logo", mediaType)
			}
			w := c.ask("", "GET", strings.TrimPrefix(*m.LogoURL, "https://pay.example"), "")
			h := w.Header()
			if w.Code != 200 || h.Get("Content-Type") != mediaType || h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") ||
				!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || !bytes.Equal(w.Body.Bytes(), content) {
				t.Errorf("%s: %d %v", mediaType, w.Code, h)
			}
		}
		last := change(`{"name":"Tea & Sons"}`, 200).LogoURL
		if change(`{"logo":null}`, 200).LogoURL != nil {
			t.Error("the logo is still there")
		}
		for _, gone := range []string{strings.TrimPrefix(*last, "https://pay.example"), "/logos/x", "/logos/" +
			strings.Repeat("0", 64), "/logos/%00"} {
			if w := c.ask("", "GET", gone, ""); w.Code/100 != 4 {
				t.Errorf("%s: %d", gone, w.Code)
			}
		}
	})
}

// TestProfileRefuses: what is no image, or more than one, and contacts that a page could not show.
func TestProfileRefuses(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	merchant, key := c.merchant(t, "a", false)
	pngImage, jpegImage, webp := encodedImages(t)
	script := []byte("<script>alert(1)</script>")
	large := image.NewGray(image.Rect(0, 0, 2049, 1))
	var wide bytes.Buffer
	if err := png.Encode(&wide, large); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), "gif": []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
		"text": script, "png and more": append(bytes.Clone(pngImage), script...), "half a png": pngImage[:len(pngImage)-6],
		"jpeg and more": append(bytes.Clone(jpegImage), script...), "webp and more": append(bytes.Clone(webp), 1, 2),
		"wide": wide.Bytes(), "only a signature": pngImage[:8], "riff": []byte("RIFF\x04\x00\x00\x00WEBP"),
		"more than 64 KiB": append(bytes.Clone(pngImage), make([]byte, 64<<10)...),
	} {
		w := c.ask(key, "PATCH", "/api/v1/merchant", `{"logo":"`+base64.StdEncoding.EncodeToString(content)+`"}`)
		if w.Code != 400 && w.Code != 422 || !strings.Contains(w.Body.String(), `"field":"logo"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for field, values := range map[string][]string{
		"support_url":   {`"javascript:alert(1)"`, `"https://a:b@shop.example/"`, `"https://"`, `"shop.example"`, `7`},
		"support_email": {`"help"`, `"Help <help@shop.example>"`, `"a@b.example, c@d.example"`, `"a@b.example?bcc=c@d.example"`},
		"languages":     {`[]`, `["de","de"]`, `["tlh"]`, `"de"`},
		"name":          {`""`, `" "`, `null`, `"a\nb"`},
	} {
		for _, v := range values {
			if w := c.ask(key, "PATCH", "/api/v1/merchant", `{"`+field+`":`+v+`}`); w.Code != 400 && w.Code != 422 ||
				!strings.Contains(w.Body.String(), `"field":"`+field) {
				t.Errorf("%s %s: %d %s", field, v, w.Code, w.Body)
			}
		}
	}
	if w := c.ask(c.key(t, merchant, true), "PATCH", "/api/v1/merchant", `{"name":"x"}`); w.Code != http.StatusForbidden {
		t.Errorf("a test key: %d %s", w.Code, w.Body)
	}
}

// TestPortalLinks: a link grants what the key has and no more, of its mode, is shown to who asked, and opens once.
func TestPortalLinks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var o Options
		c := newCounter(t, s, func(given *Options) { o = *given })
		mountPages(t, c.Server, o)
		merchant, key := c.merchant(t, "a", false)
		reader := c.key(t, merchant, false, models.ScopePaymentsRead)
		create := func(key, body string, headers ...string) (PortalLink, int) {
			t.Helper()
			w := c.ask(key, "POST", "/api/v1/portal_links", body, headers...)
			var l PortalLink
			if w.Code == 201 {
				if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil {
					t.Fatal(err)
				}
			}
			return l, w.Code
		}
		for body, want := range map[string]int{
			`{"scopes":["payments:read"]}`: 201, `{"scopes":["payments:read"],"expires_in":3600}`: 201,
			`{"scopes":["webhooks:read"]}`: 403, `{"scopes":["payments:read","payments:write"]}`: 403,
			`{"scopes":["payments:read"],"expires_in":3601}`: 400, `{"scopes":[]}`: 400, `{}`: 400,
			`{"scopes":["keys:write"]}`: 422,
		} {
			if _, code := create(reader, body); code != want {
				t.Errorf("%s: %d, want %d", body, code, want)
			}
		}
		testKey := c.key(t, merchant, true)
		if l, _ := create(testKey, `{"scopes":["payments:read"]}`); !l.Test {
			t.Error("a test key made a live link")
		}
		if _, code := create(testKey, `{"scopes":["payments:read"],"test":false}`); code != 422 {
			t.Errorf("a test key asks for a live link: %d", code)
		}
		l, _ := create(key, `{"scopes":["payments:read"]}`, "Idempotency-Key", "once")
		if again, _ := create(key, `{"scopes":["payments:read"]}`, "Idempotency-Key", "once"); again.URL == nil ||
			*again.URL != *l.URL {
			t.Error("who asked is not answered the same")
		}
		if other, _ := create(c.key(t, merchant, false), `{"scopes":["payments:read"]}`, "Idempotency-Key",
			"once"); other.URL !=
			nil || other.ID != l.ID {
			t.Errorf("another key sees %+v", other)
		}
		path, ok := strings.CutPrefix(*l.URL, "https://pay.example")
		if !ok {
			t.Fatalf("the link is %s", *l.URL)
		}
		open := func() int {
			return ask(c, "POST", path, "", "Content-Type", "", "Content-Type", "application/x-www-form-urlencoded",
				"Sec-Fetch-Site", "same-origin").Code
		}
		if w := c.ask("", "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), "<form") {
			t.Errorf("the page: %d", w.Code)
		}
		if code := open(); code != http.StatusSeeOther {
			t.Errorf("opened: %d", code)
		}
		if code := open(); code != http.StatusNotFound {
			t.Errorf("opened twice: %d", code)
		}
	})
}
