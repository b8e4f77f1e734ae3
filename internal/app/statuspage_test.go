package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/operate"
)

// TestStatusPage: the page says what waits for a person first, escapes what others wrote, and says plainly when all is
// well or nothing could be read.
func TestStatusPage(t *testing.T) {
	halted := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	s := operate.Status{At: halted.Add(time.Hour), Unannounced: 2}
	s.Chains = []operate.Chain{{Chain: "base", Number: 7, HaltedAt: &halted, HaltReason: "block <b>7</b> changed"}}
	var failed error
	page := statusPage(func(context.Context) (operate.Status, error) { return s, failed }, slog.New(slog.DiscardHandler))
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status", nil))
		return w
	}
	w := get()
	for _, want := range []string{"base is halted", "block &lt;b&gt;7&lt;/b&gt; changed", "ctripctl chain status base",
		"2 confirmed payments"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	s = operate.Status{At: halted, Processes: []operate.Process{{ID: "host-1", Role: "api,worker,scanner"}}}
	if body := get().Body.String(); !strings.Contains(body, "Nothing waits for a person") ||
		!strings.Contains(body, "host-1") {
		t.Error(body)
	}
	failed = errors.New("no database")
	if w := get(); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "no database") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
