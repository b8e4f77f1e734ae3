package web_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/web"
	"github.com/ctrip-gateway/ctrip/models"
)

// listener reads the events of a stream.
type listener struct {
	t      *testing.T
	status int
	events chan string // closed at the end
	close  func()
}

func (h *harness) listen(t *testing.T, server *httptest.Server, path string, cookie *http.Cookie) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	h.must(err)
	if cookie != nil {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	res, err := server.Client().Do(r)
	h.must(err)
	l := &listener{t: t, status: res.StatusCode, events: make(chan string, 100),
		close: func() { cancel(); res.Body.Close() }}
	t.Cleanup(l.close)
	go func() {
		defer close(l.events)
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				l.events <- data
			}
		}
	}()
	return l
}

// next is the next version that is told.
func (l *listener) next() string {
	l.t.Helper()
	select {
	case v, ok := <-l.events:
		if !ok {
			l.t.Fatal("the stream ended")
		}
		return v
	case <-time.After(30 * time.Second):
		l.t.Fatal("nothing was told within 30 s")
	}
	return ""
}

func (l *listener) ended() {
	l.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case _, ok := <-l.events:
			if !ok {
				return
			}
		case <-deadline:
			l.t.Fatal("the stream did not end within 30 s")
		}
	}
}

// TestPagesAreLive: a checkout page and the portal are told of what changes, and only of what their mode may see.
func TestPagesAreLive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- h.site.Run(ctx) }()
		server := httptest.NewServer(h.site)
		t.Cleanup(server.Close)
		p := h.payment(nil)
		checkout := h.listen(t, server, "/live/"+p.Token, nil)
		portal := h.listen(t, server, "/portal/live?about=dlv_x", h.signedIn(false).cookie)
		tester := h.listen(t, server, "/portal/live", h.signedIn(true).cookie)
		first, before, quiet := checkout.next(), portal.next(), tester.next()
		if !strings.Contains((&browser{h: h}).open("/pay/"+p.Token).body, `data-version="`+first+`"`) {
			t.Errorf("the page is not at version %s", first)
		}
		h.move(p, 5_000_000, models.TransferSeen, func(p *models.Payment) { p.Partial = true })
		if v := checkout.next(); v == first {
			t.Errorf("the same version %s", v)
		}
		if v := portal.next(); v == before {
			t.Errorf("the same version %s", v)
		}
		h.payment(func(r *payments.Request) { r.Chain, r.Asset, r.OrderID = "sepolia", "native", nil })
		if v := tester.next(); v == quiet {
			t.Errorf("the same version %s", v)
		}
		portal.next()
		select {
		case v := <-tester.events:
			t.Errorf("a test key was told %s", v)
		default:
		}
		for path, want := range map[string]int{"/live/nothing": http.StatusNotFound,
			"/portal/live?about=%7C": http.StatusSeeOther} {
			res, err := server.Client().Transport.RoundTrip(httptest.NewRequest(http.MethodGet, server.URL+path, nil))
			h.must(err)
			if res.Body.Close(); res.StatusCode != want {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
		}
		stop()
		checkout.ended()
		portal.ended()
		h.must(<-ran)
	})
}

// TestStreamsAreBounded: one payment has ten of them at once, and another one is not touched by that.
func TestStreamsAreBounded(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	server := httptest.NewServer(h.site)
	t.Cleanup(server.Close)
	p, other := h.payment(nil), h.payment(orderID("other"))
	var open []*listener
	for range 10 {
		l := h.listen(t, server, "/live/"+p.Token, nil)
		if l.status != http.StatusOK {
			t.Fatalf("stream: %d", l.status)
		}
		open = append(open, l)
	}
	if l := h.listen(t, server, "/live/"+p.Token, nil); l.status != http.StatusTooManyRequests {
		t.Errorf("the eleventh: %d", l.status)
	}
	if l := h.listen(t, server, "/live/"+other.Token, nil); l.status != http.StatusOK {
		t.Errorf("of another payment: %d", l.status)
	}
	for _, l := range open {
		l.close()
	}
	deadline := time.Now().Add(30 * time.Second)
	for h.listen(t, server, "/live/"+p.Token, nil).status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("who has gone holds a place")
		}
	}
}

func TestOverview(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		b := h.signedIn(false)
		b.open("/portal/overview").want(t, "No payments yet", "Nothing was sent", "Make an endpoint")
		for i, status := range []models.PaymentStatus{models.PaymentConfirmed, models.PaymentConfirmed,
			models.PaymentExpired} {
			p := h.payment(orderID(string(rune('a' + i))))
			h.move(p, 0, "", func(p *models.Payment) {
				if p.Status = status; status == models.PaymentConfirmed {
					p.AmountConfirmed = models.AmountOf(12_500_000)
				}
			})
		}
		h.sent(h.payment(orderID("d")), 500, "server_error", models.DeliveryDead, "")
		h.sent(h.payment(orderID("e")), 200, "delivered", models.DeliveryDelivered, "")
		page := b.open("/portal/overview")
		page.want(t, "USDC on Ethereum", "<strong>25 USDC</strong>", "23 Nov: 25 USDC", `status=confirmed`,
			`<span class="num">2</span>`, "50 %", "12:00: 1 delivered, 1 failed", "33 ms", "<polyline")
		page.lacks(t, "style=", "NaN")
		h.signedIn(true).open("/portal/overview").lacks(t, "USDC", "<rect class=\"rest\"")
		h.signedIn(false, models.ScopePaymentsRead).open("/portal/overview").lacks(t, "Webhooks of")
		h.signedIn(false, models.ScopeWebhooksRead).open("/portal/overview").lacks(t, "USDC")
	})
}

// TestStreamsHoldNoShare: however many pages of a merchant are open, and told of what changes, more of them are
// answered.
func TestStreamsHoldNoShare(t *testing.T) {
	shares := limits.NewShares(0)
	h := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.Shares = shares })
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.site.Run(ctx) }()
	server := httptest.NewServer(h.site)
	t.Cleanup(server.Close)
	b := h.signedIn(false)
	var open []*listener
	for range shares.Part() + 1 {
		l := h.listen(t, server, "/portal/live", b.cookie)
		l.next()
		open = append(open, l)
	}
	if res := b.get("/portal/payments"); res.StatusCode != http.StatusOK {
		t.Errorf("a page beside them: %d", res.StatusCode)
	}
	stop()
	for _, l := range open {
		l.ended()
	}
	h.must(<-ran)
}

// TestLiveKeepsOnBesideFailures: a merchant whose questions cannot be answered keeps back their own pages, and neither
// checkouts nor pages of others.
func TestLiveKeepsOnBesideFailures(t *testing.T) {
	s, db := storetest.Owned(t)
	h := newHarness(t, s)
	server := httptest.NewServer(h.site)
	t.Cleanup(server.Close)
	p, well, shop := h.payment(nil), h.signedIn(false), h.merchant
	h.merchant = h.newMerchant("Other", "")
	broken := h.signedIn(false)
	broken.press("/portal/endpoints/new", "/portal/endpoints", "url", "https://shop.example/hooks", "events", "*")
	const breaking = "UPDATE webhook_endpoints SET events = '{}' WHERE merchant_id = $1"
	if done, err := db.ExecContext(t.Context(), breaking, h.merchant.ID); err != nil {
		t.Fatal(err)
	} else if n, err := done.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("broke %d endpoints, %v", n, err)
	}
	h.merchant = shop
	quiet := h.listen(t, server, "/portal/live", broken.cookie)
	checkout := h.listen(t, server, "/live/"+p.Token, nil)
	portal := h.listen(t, server, "/portal/live", well.cookie)
	first, before := checkout.next(), portal.next()
	h.move(p, 5_000_000, models.TransferSeen, func(p *models.Payment) { p.Partial = true })
	if v := checkout.next(); v == first {
		t.Errorf("the same version %s", v)
	}
	if v := portal.next(); v == before {
		t.Errorf("the same version %s", v)
	}
	select {
	case v := <-quiet.events:
		t.Errorf("whose question fails was told %s", v)
	default:
	}
}
