package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// changingRoutes are the paths of every route of the portal that changes something.
func changingRoutes(t *testing.T) (routes []string) {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	changing := regexp.MustCompile(`"(?:POST|PUT|PATCH|DELETE) (/[^"]+)"`)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range changing.FindAllStringSubmatch(string(source), -1) {
			routes = append(routes, m[1])
		}
	}
	return routes
}

// audited is which line of the audit log each route writes.
var audited = map[string]string{
	"/portal/sign-in": "portal.signed_in", "/portal/sign-out": "portal.signed_out",
	"/portal/link/{token}":              "portal.signed_in",
	"/portal/deliveries/{id}/redeliver": "delivery.redelivered",
	"/portal/endpoints":                 "endpoint.created", "/portal/endpoints/{id}": "endpoint.updated",
	"/portal/endpoints/{id}/enable": "endpoint.enabled", "/portal/endpoints/{id}/disable": "endpoint.disabled",
	"/portal/endpoints/{id}/rotate": "endpoint.secret_rotated", "/portal/endpoints/{id}/test": "endpoint.tested",
	"/portal/endpoints/{id}/replay": "replay.started", "/portal/replays/{id}/cancel": "replay.canceled",
	"/portal/endpoints/{id}/delete": "endpoint.deleted",
	"/portal/payments/{id}/cancel":  "payment.canceled", "/portal/keys": "key.created", "/portal/keys/{id}/revoke": "key.revoked",
}

// TestPortalChangesAreAudited: every route of the portal that changes something writes its line of the audit log, under
// the name of the session's key and with the address that it came from; a route that the table does not have fails.
func TestPortalChangesAreAudited(t *testing.T) {
	s := storetest.SQLite(t)
	h := newHarness(t, s)
	d := h.sent(h.payment(nil), 500, "server_error", models.DeliveryDead, "")
	b := h.signedIn(false)
	token := b.open("/portal/deliveries/" + d.ID).csrf()
	for _, route := range changingRoutes(t) {
		if audited[route] == "" {
			t.Errorf("%s: say which line of the audit log it writes", route)
		}
	}
	open := h.payment(orderID("two"))
	other, _ := h.key(false)
	endpoint := "/portal/endpoints/" + d.EndpointID
	steps := [][]string{
		{"/portal/deliveries/" + d.ID + "/redeliver"}, {"/portal/endpoints", "url", "https://shop.example/two", "events", "*"},
		{endpoint, "url", "https://shop.example/hooks", "events", "*", "version", "1", "description", "new"},
		{endpoint + "/replay", "state", "dead"}, {"replay"}, {endpoint + "/disable"}, {endpoint + "/enable"}, {endpoint + "/rotate"},
		{endpoint + "/test"}, {endpoint + "/delete", "sure", "1"},
		{"/portal/payments/" + open.ID + "/cancel"}, {"/portal/keys", "name", "new", "scopes", "payments:read"},
		{"/portal/keys/" + other.ID + "/revoke"},
	}
	for _, step := range steps {
		if step[0] == "replay" {
			job, err := s.RunningReplay(t.Context(), d.EndpointID)
			h.must(err)
			step = []string{"/portal/replays/" + job.ID + "/cancel"}
		}
		form := url.Values{"csrf": {token}}
		for i := 1; i < len(step); i += 2 {
			form.Add(step[i], step[i+1])
		}
		if res := b.post(step[0], form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", step[0], res.StatusCode, res.body)
		}
	}
	if res := b.post("/portal/sign-out", url.Values{"csrf": {token}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign out: %d", res.StatusCode)
	}
	lines, err := s.AuditLog(t.Context(), 1, 100)
	h.must(err)
	var did []string
	for _, l := range lines {
		if strings.HasPrefix(l.Actor, "key:") && l.IP != "" && l.Merchant == h.merchant.ID {
			did = append(did, l.Action)
		}
	}
	for route, action := range audited {
		if !slices.Contains(did, action) {
			t.Errorf("%s wrote no line %s: %v", route, action, did)
		}
	}
}
