package api

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// maxHeader is what the listener takes of headers, in bytes.
const maxHeader = 64 << 10

// TestHeadersAndCursorsCostWhatTheirSizeCosts doubles what headers, cookies, cursors, paths, queries and forms can be
// filled with, on one route of the API and on one page. Bodies and parameters of every route are in
// internal/api/openapi.
func TestHeadersAndCursorsCostWhatTheirSizeCosts(t *testing.T) {
	var o Options
	c := newCounter(t, storetest.SQLite(t), func(given *Options) {
		given.Limits.Rate, given.Limits.Burst = 1e9, 1e9
		o = *given
	})
	mountPages(t, c.Server, o)
	_, key := c.merchant(t, "a", false)
	session := signIn(t, c.Server, key)
	for _, name := range []string{"Accept", "Authorization", "Idempotency-Key", "If-Match", "X-Request-Id", "User-Agent",
		"Cookie", "Origin", "X-Forwarded-For", "Traceparent", "Content-Type", "Accept-Language"} {
		for _, unit := range []string{"x", "text/csv;q=0.1,", `"a",`, "a=b;", "%", ";q=", "ck_live_", "  "} {
			testkit.CostsItsSize(t, name+" of "+unit, maxHeader/2/len(unit), func(n int) {
				headers := []string{name, strings.Repeat(unit, n)}
				if name != "Authorization" {
					headers = append(headers, "Authorization", "Bearer "+key)
				}
				ask(c.Server, "GET", "/api/v1/payments", "", headers...)
				ask(c.Server, "GET", "/portal/payments", "", append([]string{"Cookie", session.cookie}, headers...)...)
			})
		}
	}
	for _, unit := range []string{"A", "MSBwYXlf", "%41", "a&cursor=b", "/", "../", "%2F", ";"} {
		testkit.CostsItsSize(t, "a cursor of "+unit, maxHeader/2/len(unit), func(n int) {
			for _, path := range []string{"/api/v1/payments?cursor=", "/api/v1/events?after=", "/portal/payments?cursor=",
				"/portal/deliveries?event=", "/pay/", "/portal/payments/", "/api/v1/payments/"} {
				ask(c.Server, "GET", path+strings.Repeat(unit, n), "", "Authorization", "Bearer "+key, "Cookie", session.cookie)
			}
		})
		testkit.CostsItsSize(t, "a form of "+unit, maxHeader/2/len(unit), func(n int) {
			ask(c.Server, "POST", "/portal/sign-in", "key="+strings.Repeat(unit, n), "Content-Type", "", "Content-Type",
				"application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
		})
	}
	testkit.CostsItsSize(t, "a cursor parsed", 1<<20, func(n int) { models.ParseCursor(strings.Repeat("M", n)) })
}

// worstRequest is the dearest request that a fuzzer has seen.
type worstRequest struct {
	bytes uint64
	cpu   time.Duration
}

// Limits of one request, whatever is wrong with it. Memory is exact; processor time is measured on a machine that may
// be busy, beside a garbage collector, so its limit here is ten times that of the law.
const (
	mostBytes = 16 << 20
	mostCPU   = time.Second
)

// watch holds the cost of a request against the limits and remembers the worst. The fuzzer's workers print nothing, so
// they leave it in the file that FUZZ_WORST names.
func (f *fuzzedCounter) watch(t testing.TB, r request,
	do func() *httptest.ResponseRecorder) (w *httptest.ResponseRecorder) {
	t.Helper()
	bytes, cpu := testkit.Cost(func() { w = do() })
	if bytes > mostBytes || cpu > mostCPU {
		t.Errorf("%s %.300s %.300s costs %d bytes and %v", r.method, r.target, r.body, bytes, cpu)
	}
	if bytes <= f.worst.bytes && cpu <= f.worst.cpu {
		return w
	}
	f.worst.bytes, f.worst.cpu = max(bytes, f.worst.bytes), max(cpu, f.worst.cpu)
	f.worstText = fmt.Sprintf("%9d bytes %v: %s %.200s, a body of %d bytes, key %.40q", bytes, cpu, r.method, r.target,
		len(r.body), r.idempotencyKey)
	if file := os.Getenv("FUZZ_WORST"); file != "" {
		out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := fmt.Fprintf(out, "%s\n", strings.ReplaceAll(f.worstText, "\n", " ")); err != nil {
			t.Error(err)
		}
	}
	return w
}
