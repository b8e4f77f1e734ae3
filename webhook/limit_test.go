package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestHandlerAllowList(t *testing.T) {
	h := handler(t, func(http.ResponseWriter, *http.Request) {}, func(o *webhook.Options) {
		o.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for addr, code := range map[string]int{
		"198.51.100.7:1": 200, "[::ffff:198.51.100.7]:1": 200, "198.51.100.8:1": 403, "[2001:db8::1]:1": 200, "[2001:db8::1%eth0]:1": 200,
		"[2001:db9::1]:1": 403, "": 403,
	} {
		r := request(t, id("evt", "1"), eventBody(t, 1))
		r.RemoteAddr = addr
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		if w := serve(h, r); w.Code != code {
			t.Errorf("%s: %d", addr, w.Code)
		}
	}
}

func TestHandlerRateLimit(t *testing.T) {
	now := time.Unix(vectorTime, 0)
	h := handler(t, func(http.ResponseWriter, *http.Request) {}, func(o *webhook.Options) {
		o.Limit, o.Now = webhook.RateLimit{PerSecond: 0.5, Burst: 2}, func() time.Time { return now }
	})
	from := func(addr string) *httptest.ResponseRecorder {
		r := request(t, id("evt", "1"), eventBody(t, 1))
		r.RemoteAddr = addr
		return serve(h, r)
	}
	for i, step := range []struct {
		addr string
		wait time.Duration
		code int
	}{
		{"192.0.2.1:1", 0, 200}, {"192.0.2.1:2", 0, 200}, {"[::ffff:192.0.2.1]:3", 0, 429}, {"192.0.2.2:1", 0, 200},
		{"192.0.2.1:1", 1900 * time.Millisecond, 429}, {"192.0.2.1:1", 100 * time.Millisecond, 200}, {"192.0.2.1:1", 0, 429},
		{"[2001:db8::1]:1", 0, 200}, {"[2001:db8::2]:1", 0, 200}, {"[2001:db8::3]:1", 0, 429}, {"[2001:db8:0:1::1]:1", 0, 200},
		{"192.0.2.1:1", -time.Minute, 429}, {"192.0.2.1:1", time.Minute, 200}, {"192.0.2.1:1", 0, 200}, {"192.0.2.1:1", 0, 429},
		{"@", 0, 200}, {"", 0, 200}, {"@", 0, 429},
	} {
		now = now.Add(step.wait)
		w := from(step.addr)
		if w.Code != step.code || (w.Code == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("step %d: %d %v", i, w.Code, w.Header())
		}
		if i == 2 && w.Header().Get("Retry-After") != "2" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
	}
	// However many sources there are, and after ten thousand others the first is forgotten.
	for i := range 10_001 {
		if w := from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1).String()); i < 3 &&
			w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	if w := from("192.0.2.1:1"); w.Code != 200 {
		t.Errorf("a forgotten source: %d", w.Code)
	}
}
