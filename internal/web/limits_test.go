package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/web"
)

// TestPagesOfAnAddress: one address asks for so many pages, and tries to sign in so often; another address, and the
// files of the pages, are not touched by it.
func TestPagesOfAnAddress(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.PageRate, o.PageBurst = 10, 60 })
	get := func(path, from string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		r.RemoteAddr = from
		h.site.ServeHTTP(w, r)
		return w
	}
	refused := 0
	for range 30 {
		switch res := (&browser{h: h}).post("/portal/sign-in", url.Values{"key": {"ck_live_nobody"}}); res.StatusCode {
		case http.StatusTooManyRequests:
			refused++
			if res.Header.Get("Retry-After") != "5" {
				t.Fatalf("Retry-After %q", res.Header.Get("Retry-After"))
			}
		case http.StatusUnauthorized:
		default:
			t.Fatalf("sign in: %d", res.StatusCode)
		}
	}
	if refused != 10 {
		t.Errorf("%d of 30 attempts to sign in were refused", refused)
	}
	const payer = "[2001:db8:1:2::1]:1000"
	for i := range 60 {
		if w := get("/pay/nothing/status", payer); w.Code != http.StatusNotFound {
			t.Fatalf("page %d: %d", i, w.Code)
		}
	}
	if w := get("/assets/nothing", payer); w.Code != http.StatusNotFound {
		t.Errorf("a file of the pages: %d", w.Code)
	}
	for _, path := range []string{"/pay/nothing", "/pay/nothing/status", "/portal"} {
		if w := get(path, "[2001:db8:1:2::ffff]:2000"); w.Code != http.StatusTooManyRequests ||
			w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s from the same network: %d, Retry-After %q", path, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := get("/pay/nothing", "[2001:db8:1:3::1]:1000"); w.Code != http.StatusNotFound {
		t.Errorf("another network: %d", w.Code)
	}
	h.clock.Set(noon.Add(time.Second))
	if w := get("/pay/nothing", payer); w.Code != http.StatusNotFound {
		t.Errorf("a second later: %d", w.Code)
	}
}

// TestSessionsShareTheMerchantsBucket: sessions of one merchant, and whatever else takes from the merchant's bucket,
// have what there is together.
func TestSessionsShareTheMerchantsBucket(t *testing.T) {
	var merchants *limits.Merchants
	h := newHarness(t, storetest.SQLite(t), func(o *web.Options) {
		merchants = limits.NewMerchants(limits.Options{PerSecond: 1, Burst: 5, Now: o.Now, Logger: o.Logger})
		o.Merchants = merchants
	})
	one, two := h.signedIn(false), h.signedIn(false)
	merchants.Take(t.Context(), h.merchant) // with an API key
	for i := range 4 {
		if res := []*browser{one, two}[i%2].get("/portal/payments"); res.StatusCode != http.StatusOK {
			t.Fatalf("page %d: %d", i, res.StatusCode)
		}
	}
	if res := one.get("/portal/payments"); res.StatusCode != http.StatusTooManyRequests ||
		res.Header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

// TestPagesThatWaitTooLong: a page that gets no share of the database while its time lasts is refused in words, and so
// is one whose time is over.
func TestPagesThatWaitTooLong(t *testing.T) {
	shares := limits.NewShares(0)
	h := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.Shares = shares })
	b := h.signedIn(false)
	for range shares.Part() {
		share, err := shares.Take(t.Context(), h.merchant.ID)
		h.must(err)
		defer share.Leave()
	}
	for _, c := range []struct {
		path   string
		within time.Duration
		want   int
	}{
		{"/portal/payments", 2 * time.Second, http.StatusTooManyRequests},
		{"/portal/payments", -time.Second, http.StatusServiceUnavailable},
		{"/pay/nothing", -time.Second, http.StatusServiceUnavailable},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.within)
		if res := b.do(httptest.NewRequestWithContext(ctx, http.MethodGet, c.path, nil)); res.StatusCode != c.want ||
			len(res.body) == 0 {
			t.Errorf("%s within %v: %d %q", c.path, c.within, res.StatusCode, res.body)
		}
		cancel()
	}
}
