package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/access"
)

func TestOpsListener(t *testing.T) {
	sick := errors.New("no answer")
	var criticalErr error
	checks := []check{
		{"database", true, func(context.Context) error { return criticalErr }},
		{"redis", false, func(context.Context) error { return sick }},
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	refusals := 0
	h := opsHandler(access.NewOperatorTokens("operator-token", "reader-token"), func(*http.Request) { refusals++ }, checks,
		page, page, page)
	get := func(path string, auth func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if auth != nil {
			auth(r)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var res readiness
	w := get("/readyz", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != http.StatusOK || !res.Ready ||
		res.Checks["redis"].OK || res.Checks["redis"].Error != "no answer" {
		t.Errorf("a check that is not critical fails: %d %s", w.Code, w.Body)
	}
	criticalErr = sick
	if w := get("/readyz", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a critical check fails: %d %s", w.Code, w.Body)
	}
	if w := get("/healthz", nil); w.Code != http.StatusOK {
		t.Errorf("alive, but /healthz says %d", w.Code)
	}
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	for name, c := range map[string]struct {
		auth func(*http.Request)
		want int
	}{
		"nothing": {nil, 401}, "wrong bearer": {bearer("operator-toke"), 401}, "wrong password": {basic(""), 401},
		"bearer": {bearer("operator-token"), 200}, "password": {basic("operator-token"), 200},
	} {
		for _, path := range []string{"/queues", "/queues/api/queues", "/debug/pprof/cmdline"} {
			w := get(path, c.auth)
			if w.Code != c.want || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%s with %s: %d", path, name, w.Code)
			}
		}
	}
	if refusals != 6 { // a browser that asks for the first time has no token yet
		t.Errorf("%d wrong tokens were noticed, want 6", refusals)
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{{"GET", "/queues", 200}, {"GET", "/queues/api/queues", 200}, {"POST", "/queues/api/queues/wh:0:pause", 403},
		{"DELETE", "/queues/api/queues/wh:0", 403}, {"GET", "/debug/pprof/heap", 401}} {
		r, w := httptest.NewRequest(c.method, c.path, nil), httptest.NewRecorder()
		bearer("reader-token")(r)
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("the token that may look: %s %s is answered %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
	for _, path := range []string{"/queues/api/queues/%00:pause", "/queues/%ff", "/debug/pprof/%00", "/healthz/%c0%80"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
			bearer("operator-token")(r)
			if h.ServeHTTP(w, r); w.Code != http.StatusNotFound {
				t.Errorf("%s %s, a path that is no text, is answered %d", method, path, w.Code)
			}
		}
	}
	if w := httptest.NewRecorder(); true {
		opsHandler(access.OperatorTokens{}, func(*http.Request) {}, nil, page, page, page).ServeHTTP(w,
			httptest.NewRequest(http.MethodGet, "/queues", nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("without a token set, the queues are open: %d", w.Code)
		}
	}
}

func TestStackUnwindsInOppositeOrder(t *testing.T) {
	s := stack{log: slog.New(slog.DiscardHandler)}
	var order []string
	boom := errors.New("boom")
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return boom
			}
			return nil
		})
	}
	if err := s.unwind(t.Context()); !errors.Is(err, boom) || !slices.Equal(order, []string{"third", "second", "first"}) {
		t.Fatalf("%v, %v", order, err)
	}
}
