package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// press posts a form of a page with the session's token, and follows where it leads.
func (b *browser) press(page, action string, fields ...string) (answer, next page) {
	b.h.t.Helper()
	form := url.Values{"csrf": {b.open(page).csrf()}}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	answer = b.post(action, form)
	if answer.StatusCode == http.StatusSeeOther {
		next = b.open(answer.Header.Get("Location"))
	}
	return answer, next
}

var shownSecret = regexp.MustCompile(`<code id="secret">([^<]+)</code>`)

func (p page) secret() string {
	if m := shownSecret.FindStringSubmatch(p.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// shownEndpoint is the endpoint whose page was opened.
func (h *harness) shownEndpoint(p page) models.Endpoint {
	h.t.Helper()
	path, _, _ := strings.Cut(p.Header.Get("Location"), "?")
	e, err := h.Store.Endpoint(h.t.Context(), h.merchant.ID, path[strings.LastIndex(path, "/")+1:])
	h.must(err)
	return e
}

// did are the actions of the audit log that keys did, with the subject.
func (h *harness) did() (lines []models.AuditEntry) {
	h.t.Helper()
	all, err := h.Store.AuditLog(h.t.Context(), 1, 1000)
	h.must(err)
	return slices.DeleteFunc(all, func(l models.AuditEntry) bool {
		return !strings.HasPrefix(l.Actor, "key:") || strings.HasPrefix(l.Action, "portal.")
	})
}

func TestPortalMakesAndChangesEndpoints(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		b := h.signedIn(false)
		b.open("/portal/endpoints").want(t, "No endpoints yet", `href="/portal/endpoints/new"`)
		wrong, _ := b.press("/portal/endpoints/new", "/portal/endpoints", "url", "ftp://shop.example/"+evil, "timeout", "99",
			"description", "kept", "events", "*", "mode", "both", "headers", "no colon here", "secret", "hunter2")
		if wrong.StatusCode != http.StatusBadRequest {
			t.Fatalf("a wrong form: %d", wrong.StatusCode)
		}
		wrong.want(t, "kept", "must be live or test", "<details open>", "99", "ftp://shop.example/&lt;script&gt;")
		wrong.lacks(t, evil, "hunter2")

		made, page := b.press("/portal/endpoints/new", "/portal/endpoints", "url", "https://shop.example/hooks", "events",
			"payment.*", "mode", "live", "timeout", "7", "batch_max_wait", "0.5", "headers", "X-Tenant: a:b\r\nX-Two: 2")
		e := h.shownEndpoint(made)
		secret := page.secret()
		if !strings.HasPrefix(secret, "whsec_") || e.Mode != models.ModeLive || *e.TimeoutMS != 7000 ||
			*e.BatchMaxWaitMS != 500 || !slices.Equal(e.Events, []string{"payment.*"}) {
			t.Fatalf("made %+v, secret %q", e, secret)
		}
		opened, err := h.Endpoints.Open(t.Context(), e.ID, h.clock.Now())
		h.must(err)
		if len(opened.Headers) != 2 || opened.Headers["X-Tenant"] != "a:b" {
			t.Errorf("headers %v", opened.Headers)
		}
		shown := b.open("/portal/endpoints/" + e.ID)
		shown.lacks(t, secret, "a:b")
		shown.want(t, "X-Tenant", "current", "Last 24 hours")

		edit := "/portal/endpoints/" + e.ID + "/edit"
		b.open(edit).lacks(t, secret, "a:b")
		same := []string{"url", e.URL, "events", "payment.*", "timeout", "7", "batch_max_wait", "0.5"}
		stale, _ := b.press(edit, "/portal/endpoints/"+e.ID, append(same, "version", "99", "description", "x")...)
		if stale.StatusCode != http.StatusConflict {
			t.Errorf("a form of another version: %d", stale.StatusCode)
		}
		b.press(edit, "/portal/endpoints/"+e.ID, append(same, "version", "1")...)
		b.press(edit, "/portal/endpoints/"+e.ID, "url", e.URL, "events", "*", "timeout", "", "batch_max_wait", "0.5",
			"version", "1", "no_headers", "1", "description", "Tea shop")
		e, err = s.Endpoint(t.Context(), h.merchant.ID, e.ID)
		h.must(err)
		if e.TimeoutMS != nil || e.Description != "Tea shop" || len(e.HeadersSealed) != 0 || *e.BatchMaxWaitMS != 500 {
			t.Errorf("changed to %+v", e)
		}
		var changed []string
		for _, l := range h.did() {
			changed = append(changed, l.Action+" "+l.Detail["changed"])
		}
		want := []string{"endpoint.created ", "endpoint.updated description events headers timeout"}
		if !slices.Equal(changed, want) {
			t.Errorf("the audit log has %q", changed)
		}
		gone, _ := b.press("/portal/endpoints/"+e.ID, "/portal/endpoints/"+e.ID+"/delete")
		if gone.StatusCode != http.StatusBadRequest {
			t.Errorf("deleted without being sure: %d", gone.StatusCode)
		}
		_, page = b.press("/portal/endpoints/"+e.ID, "/portal/endpoints/"+e.ID+"/delete", "sure", "1")
		page.want(t, "was deleted", "No endpoints yet")
	})
}

// TestSecretsAreShownOnce: by the next page of the same session, and by none after it.
func TestSecretsAreShownOnce(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b, other := h.signedIn(false), h.signedIn(false)
	form := url.Values{"csrf": {b.open("/portal/endpoints/new").csrf()}, "url": {"https://shop.example/a"}, "events": {"*"}}
	made := b.post("/portal/endpoints", form)
	once := b.once
	if once == nil || !once.HttpOnly || once.SameSite != http.SameSiteStrictMode || once.MaxAge > 120 {
		t.Fatalf("the cookie %+v", once)
	}
	path := made.Header.Get("Location")
	other.once = once
	if got := other.open(path).secret(); got != "" {
		t.Errorf("another session was shown %q", got)
	}
	if b.open(path).secret() == "" || b.once != nil {
		t.Error("the secret is not shown, or its cookie stays")
	}
	if got := b.open(path).secret(); got != "" {
		t.Errorf("shown again: %q", got)
	}
	h.clock.Advance(3 * time.Minute)
	b.once = once
	if got := b.open(path).secret(); got != "" {
		t.Errorf("shown minutes later: %q", got)
	}
	res := b.open(path)
	if cc := res.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %q", cc)
	}
}

func TestPortalRotatesEnablesAndTests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		e, first := h.Endpoint(h.merchant.ID, "https://shop.example/hooks")
		b := h.signedIn(false)
		path := "/portal/endpoints/" + e.ID
		_, page := b.press(path, path+"/rotate", "overlap_seconds", "3600", "activate_in", "0")
		second := page.secret()
		page.want(t, "previous", "1 h 0 min", "data-left")
		opened, err := h.Endpoints.Open(t.Context(), e.ID, h.clock.Now())
		h.must(err)
		if second == "" || second == first.Reveal() || len(opened.Keys) != 2 {
			t.Errorf("%d secrets, the new one %q", len(opened.Keys), second)
		}
		h.clock.Advance(30 * time.Minute)
		b.open(path).want(t, "30 min 0 s")
		_, page = b.press(path, path+"/rotate", "overlap_seconds", "", "activate_in", "86400", "secret",
			"my own secret of enough bytes")
		page.want(t, "becomes current in")
		if bad, _ := b.press(path, path+"/rotate", "activate_in", "9999999"); bad.StatusCode != http.StatusBadRequest {
			t.Errorf("an overlap that there is not: %d", bad.StatusCode)
		}

		_, page = b.press(path, path+"/disable", "reason", evil)
		page.want(t, "disabled", shown)
		page.lacks(t, "<script>")
		tested, page := b.press(path, path+"/test", "event_type", "payment.confirmed", "sign_with", "next")
		if !strings.HasPrefix(tested.Header.Get("Location"), "/portal/deliveries/dlv_") {
			t.Errorf("a test leads to %s", tested.Header.Get("Location"))
		}
		page.want(t, "payment.confirmed", "No attempt has been made yet", "data-soon")
		for _, bad := range [][]string{{"event_type", "nothing.such"}, {"sign_with", "nobody"}} {
			if res, _ := b.press(path, path+"/test", bad...); res.StatusCode != http.StatusBadRequest {
				t.Errorf("test with %v: %d", bad, res.StatusCode)
			}
		}
		_, page = b.press(path, path+"/enable")
		page.want(t, "The endpoint is enabled")

		h.InTx(func(tx *store.Tx) error {
			_, err := h.Endpoints.Pause(t.Context(), tx, operator, h.merchant.ID, e.ID, "under attack")
			return err
		})
		for _, action := range []string{"/enable", "/disable"} {
			if res, _ := b.press(path, path+action); res.StatusCode != http.StatusConflict {
				t.Errorf("%s of what the operator paused: %d", action, res.StatusCode)
			}
		}
		if res, _ := b.press(path, path+"/delete", "sure", "1"); res.StatusCode != http.StatusConflict {
			t.Errorf("deleted what the operator paused: %d", res.StatusCode)
		}
	})
}

func TestPortalReplays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
		h.clock.Advance(time.Minute)
		b := h.signedIn(false)
		path := "/portal/endpoints/" + d.EndpointID
		counted, _ := b.press(path, path+"/replay", "state", "dead", "rate", "10", "dry_run", "1")
		counted.want(t, "1 delivery matches", "Nothing was sent")
		if res := b.get(path + "/replay"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path {
			t.Errorf("the plan, loaded anew: %d to %s", res.StatusCode, res.Header.Get("Location"))
		}
		if _, err := s.RunningReplay(t.Context(), d.EndpointID); err == nil {
			t.Fatal("counting started it")
		}
		for _, bad := range [][]string{{"rate", "0"}, {"rate", "5000"}, {"rate", "x"}, {"state", "held"},
			{"created_after", "soon"}, {"event_type", "x"}, {"created_after", "2027-01-01T00:00"}} {
			if res, _ := b.press(path, path+"/replay", bad...); res.StatusCode != http.StatusBadRequest ||
				!strings.Contains(res.body, "for example") {
				t.Errorf("replay with %v: %d", bad, res.StatusCode)
			}
		}
		started, page := b.press(path, path+"/replay", "state", "dead", "rate", "10", "created_after", "2026-11-23T11:00")
		page.want(t, "running", `max="1"`, "Stop")
		if res, _ := b.press(path, path+"/replay"); res.StatusCode != http.StatusConflict {
			t.Errorf("a second replay: %d", res.StatusCode)
		}
		b.open(path).want(t, "is running: 0 of 1")
		_, page = b.press(started.Header.Get("Location"), started.Header.Get("Location")+"/cancel")
		page.want(t, "canceled")
		page.lacks(t, "Stop")
	})
}

// TestPortalKeepsToModes: a session of a test key makes and changes what is of test mode, and finds nothing else.
func TestPortalKeepsToModes(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	live, _ := h.Endpoint(h.merchant.ID, "https://shop.example/live",
		func(set *endpoints.Settings) { set.Mode = models.ModeLive })
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	owner, b := h.signedIn(false), h.signedIn(true)
	started, _ := owner.press("/portal/endpoints/"+d.EndpointID, "/portal/endpoints/"+d.EndpointID+"/replay")
	csrf := url.Values{"csrf": {b.open("/portal/endpoints").csrf()}}
	for _, e := range []string{live.ID, d.EndpointID} {
		path := "/portal/endpoints/" + e
		for _, page := range []string{path, path + "/edit"} {
			if res := b.get(page); res.StatusCode != http.StatusNotFound {
				t.Errorf("GET %s: %d", page, res.StatusCode)
			}
		}
		for _, action := range []string{"", "/enable", "/disable", "/delete", "/rotate", "/test", "/replay"} {
			if res := b.post(path+action, csrf); res.StatusCode != http.StatusNotFound {
				t.Errorf("POST %s%s: %d", path, action, res.StatusCode)
			}
		}
	}
	job := started.Header.Get("Location")
	if res := b.get(job); res.StatusCode != http.StatusNotFound {
		t.Errorf("a live replay: %d", res.StatusCode)
	}
	if res := b.post(job+"/cancel", csrf); res.StatusCode != http.StatusNotFound {
		t.Errorf("stopped a live replay: %d", res.StatusCode)
	}
	made, _ := b.press("/portal/endpoints/new", "/portal/endpoints", "url", "https://shop.example/t", "events", "*",
		"mode", "live")
	if e := h.shownEndpoint(made); e.Mode != models.ModeTest {
		t.Errorf("a test key made a %s endpoint", e.Mode)
	}
	both, _ := h.Endpoint(h.merchant.ID, "https://shop.example/both")
	narrowed, _ := owner.press("/portal/endpoints/"+both.ID+"/edit", "/portal/endpoints/"+both.ID, "url", both.URL,
		"events", "*", "version", "1", "mode", "live")
	if e := h.shownEndpoint(narrowed); e.Mode != models.ModeLive {
		t.Errorf("narrowed to %s", e.Mode)
	}
}

// TestPortalFormsNeedScopeAndToken: every form of the portal is refused without the session's token, from another site,
// and with a key that lacks the scope.
func TestPortalFormsNeedScopeAndToken(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	all := h.signedIn(false)
	token := url.Values{"csrf": {all.open("/portal/endpoints").csrf()}}
	reader := h.signedIn(false, models.ScopePaymentsRead, models.ScopeWebhooksRead)
	readerToken := url.Values{"csrf": {reader.open("/portal/endpoints").csrf()}}
	writer := h.signedIn(false, models.ScopeWebhooksWrite, models.ScopePaymentsWrite, models.ScopePaymentsRead)
	writerToken := url.Values{"csrf": {writer.open("/portal/payments").csrf()}}
	for _, route := range changingRoutes(t) {
		if route == "/portal/sign-in" || route == "/portal/sign-out" || route == "/portal/link/{token}" {
			continue
		}
		path := strings.ReplaceAll(route, "{id}", d.EndpointID)
		for name, res := range map[string]page{
			"no token": all.post(path, nil), "another's token": all.post(path, readerToken),
			"another site": all.post(path, token, "Sec-Fetch-Site", "cross-site"), "no scope": reader.post(path, readerToken),
		} {
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("POST %s with %s: %d", route, name, res.StatusCode)
			}
		}
		if strings.HasPrefix(route, "/portal/endpoints") {
			if res := writer.post(path, writerToken); res.StatusCode != http.StatusForbidden {
				t.Errorf("POST %s of a key that could not read the answer: %d", route, res.StatusCode)
			}
		}
	}
	if n := len(h.did()); n != 0 {
		t.Errorf("%d lines of the audit log", n)
	}
}
