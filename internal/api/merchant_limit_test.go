package api

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestNewKeysBringNoNewBurst: all keys of a merchant take from one bucket; another merchant's is untouched.
func TestNewKeysBringNoNewBurst(t *testing.T) {
	const burst = 6
	c := newCounter(t, storetest.SQLite(t), func(o *Options) { o.Limits.Rate, o.Limits.Burst = 1, burst })
	merchant, first := c.merchant(t, "a", false)
	_, other := c.merchant(t, "b", false)
	keys := []string{first, c.key(t, merchant, false), c.key(t, merchant, false)}
	for i := range burst {
		w := c.ask(keys[i%len(keys)], "GET", "/api/v1/merchant", "")
		if left := w.Header().Get("RateLimit-Remaining"); w.Code != http.StatusOK || left != strconv.Itoa(burst-1-i) {
			t.Fatalf("request %d: %d, %s left", i, w.Code, left)
		}
	}
	for _, key := range append(keys, c.key(t, merchant, false)) {
		w := c.ask(key, "GET", "/api/v1/merchant", "")
		if p := decoded[Problem](t, w, http.StatusTooManyRequests); p.Code != CodeRateLimited ||
			w.Header().Get("Retry-After") != "1" {
			t.Errorf("%+v, Retry-After %q", p, w.Header().Get("Retry-After"))
		}
	}
	if w := c.ask(other, "GET", "/api/v1/merchant", ""); w.Code != http.StatusOK {
		t.Errorf("another merchant: %d", w.Code)
	}
}
