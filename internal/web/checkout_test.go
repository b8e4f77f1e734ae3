package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"rsc.io/qr"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/internal/web"
	"github.com/ctrip-gateway/ctrip/models"
)

func ExamplePaymentURI() {
	const shop = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
	fmt.Println(web.PaymentURI(1, models.AssetNative, shop, models.AmountOf(2_000_000_000_000_000)))
	fmt.Println(web.PaymentURI(1, "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", shop, models.AmountOf(12_500_000)))
	// Output:
	// ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@1?value=2000000000000000
	// ethereum:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48@1/transfer?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed&uint256=12500000
}

func TestCheckoutStates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := newHarness(t, s)
		b := &browser{h: h}
		at, newer := noon.Add(time.Minute), models.NewID(models.PrefixPayment, noon)
		for i, c := range []struct {
			name   string
			amount uint64
			state  models.TransferStatus
			change func(*models.Payment)
			after  time.Duration
			phase  string
			want   []string
			pay    bool
		}{
			{name: "pending", phase: "pending", pay: true, want: []string{"Waiting for your payment", "<code>12.5</code> USDC", "Pay before"}},
			{name: "partial", amount: 4_000_000, state: models.TransferSeen, phase: "partial", pay: true,
				change: func(p *models.Payment) { p.Partial = true },
				want: []string{"Part of it has arrived", "4 of 12.5 USDC received", "missing 8.5 USDC", "uint256=8500000",
					"<code>8.5</code> USDC"}},
			{name: "overdue", after: time.Hour, phase: "overdue", want: []string{"The time to pay is over"}},
			{name: "detected", amount: 12_500_000, state: models.TransferSeen, phase: "detected",
				change: func(p *models.Payment) { p.Status, p.DetectedAt = models.PaymentDetected, &at },
				want: []string{"Payment seen", "3 of 12 confirmations", `<progress value="3" max="12">`,
					`href="https://etherscan.io/tx/` + hash(0xabc), "3 of 12</span>"}},
			{name: "confirmed", amount: 12_500_000, state: models.TransferConfirmed, phase: "confirmed",
				change: func(p *models.Payment) { p.Status, p.ConfirmedAt = models.PaymentConfirmed, &at },
				want: []string{"Payment complete", `href="https://shop.example/thanks?order=17"`, "Return to Tea &amp; Sons",
					"final"}},
			{name: "overpaid", amount: 13_000_000, state: models.TransferConfirmed, phase: "confirmed",
				change: func(p *models.Payment) { p.Status, p.Overpaid = models.PaymentConfirmed, true },
				want:   []string{"You sent 0.5 USDC more than was asked"}},
			{name: "expired", phase: "expired", change: func(p *models.Payment) { p.Status = models.PaymentExpired },
				want: []string{"This payment has expired", "Return to Tea &amp; Sons"}},
			{name: "expired partial", amount: 1, state: models.TransferConfirmed, phase: "expired",
				change: func(p *models.Payment) { p.Status, p.Partial = models.PaymentExpired, true },
				want:   []string{"Only 0.000001 of 12.5 USDC arrived"}},
			{name: "late", amount: 12_500_000, state: models.TransferSeen, phase: "expired",
				change: func(p *models.Payment) { p.Status, p.Late = models.PaymentExpired, true },
				want:   []string{"12.5 USDC arrived after this payment had ended"}},
			{name: "replaced", phase: "renewed", change: func(p *models.Payment) { p.OrderReleased, p.ReplacedBy = true, &newer },
				want: []string{"There is a newer payment for this order"}},
			{name: "replaced after a part", amount: 1, state: models.TransferSeen, phase: "renewed",
				change: func(p *models.Payment) { p.OrderReleased, p.ReplacedBy, p.Partial = true, &newer, true },
				want:   []string{"There is a newer payment", "Only 0.000001 of 12.5 USDC arrived"}},
			{name: "canceled", phase: "canceled", change: func(p *models.Payment) { p.Status = models.PaymentCanceled },
				want: []string{"This payment was canceled"}},
		} {
			h.clock.Set(noon)
			p := h.payment(orderID("order " + strconv.Itoa(i)))
			p = h.move(p, 0, "", c.change)
			if c.amount > 0 {
				p = h.move(p, c.amount, c.state, nil)
			}
			h.clock.Advance(c.after)
			page := b.open("/pay/" + p.Token)
			page.want(t, append(c.want, "Tea &amp; Sons", "Order order "+strconv.Itoa(i))...)
			page.lacks(t, "secret basket", h.merchant.ID, p.ID, p.DerivationPath, "ZgotmplZ")
			address := wallet.Checksum(p.Address)
			if c.pay {
				page.want(t, address, `data-copy="`+address+`"`, "Send only", "<svg")
			} else {
				page.lacks(t, address, "<svg", "Send exactly")
			}
			var status struct {
				Status, Phase, Version, Remaining, Amount string
				Confirmations, RequiredConfirmations      uint64
				Partial, Overpaid, Late                   bool
				ExpiresAt                                 time.Time `json:"expires_at"`
				Required                                  uint64    `json:"required_confirmations"`
				Received                                  string    `json:"amount_received_decimal"`
			}
			answer := b.open("/pay/" + p.Token + "/status")
			if err := json.Unmarshal([]byte(answer.body), &status); err != nil {
				t.Fatal(err)
			}
			if status.Phase != c.phase || status.Status != string(p.Status) || status.Amount != "12500000" ||
				status.Required != 12 ||
				!status.ExpiresAt.Equal(p.ExpiresAt) || status.Partial != p.Partial || status.Late != p.Late ||
				status.Overpaid != p.Overpaid ||
				status.Received != p.AmountReceived.Decimal(6) {
				t.Errorf("%s: status %s", c.name, answer.body)
			}
			if c.amount > 0 && status.Confirmations != 3 {
				t.Errorf("%s: %d confirmations", c.name, status.Confirmations)
			}
			page.want(t, `data-version="`+status.Version+`"`)
			if strings.Contains(h.logged.String(), p.Token) {
				t.Errorf("%s: the token was logged: %s", c.name, h.logged)
			}
		}
	})
}

// svgRun is one run of black modules in the path of a code.
var (
	svgCode = regexp.MustCompile(`(?s)id="panel-(\w+)">\s*<svg viewBox="0 0 (\d+) \d+".*?<path d="([^"]+)"`)
	svgRun  = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-\d+z`)
)

// matrices reads the codes of a page back into rows of modules, without the border.
func matrices(t *testing.T, body string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, m := range svgCode.FindAllStringSubmatch(body, -1) {
		size, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		grid := make([][]byte, size-8)
		for y := range grid {
			grid[y] = []byte(strings.Repeat(".", size-8))
		}
		for _, run := range svgRun.FindAllStringSubmatch(m[3], -1) {
			x, _ := strconv.Atoi(run[1])
			y, _ := strconv.Atoi(run[2])
			n, _ := strconv.Atoi(run[3])
			for i := range n {
				grid[y-4][x-4+i] = '#'
			}
		}
		var rows []string
		for _, row := range grid {
			rows = append(rows, string(row))
		}
		all[m[1]] = strings.Join(rows, "\n")
	}
	return all
}

func matrix(t *testing.T, text string) string {
	t.Helper()
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for y := range c.Size {
		row := make([]byte, c.Size)
		for x := range c.Size {
			row[x] = '.'
			if c.Black(x, y) {
				row[x] = '#'
			}
		}
		rows = append(rows, string(row))
	}
	return strings.Join(rows, "\n")
}

// TestQRCodes: a wallet that reads only the target of an EIP-681 request sends tokens to their contract, so for tokens
// the code that is shown first holds the plain address.
func TestQRCodes(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := &browser{h: h}
	for _, c := range []struct{ chain, asset, first, request string }{
		{"sepolia", "native", "address", "ethereum:%s@11155111?value=12500000000000000000"},
		{"ethereum", "USDC", "address", "ethereum:" + wallet.Checksum(usdc) + "@1/transfer?address=%s&uint256=12500000"},
		{"ethereum", "native", "wallet", "ethereum:%s@1?value=12500000000000000000"},
	} {
		p := h.payment(func(r *payments.Request) { r.Chain, r.Asset, r.OrderID = c.chain, c.asset, nil })
		page := b.open("/pay/" + p.Token)
		address := wallet.Checksum(p.Address)
		request := fmt.Sprintf(c.request, address)
		page.want(t, `id="way-`+c.first+`" checked`, `href="`+strings.ReplaceAll(request, "&", "&amp;")+`"`)
		if n := strings.Count(page.body, " checked>"); n != 1 {
			t.Errorf("%s: %d ways are chosen", c.asset, n)
		}
		got := matrices(t, page.body)
		if len(got) != 2 || got["address"] != matrix(t, address) || got["wallet"] != matrix(t, request) {
			t.Errorf("%s: the codes do not say %s and %s:\n%s\n\n%s", c.asset, address, request, got["address"], got["wallet"])
		}
	}
}

func TestCheckoutEscapesAndRefuses(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := &browser{h: h}
	p := h.payment(func(r *payments.Request) {
		r.OrderID, r.Metadata, r.RedirectURL = ptr(evil), map[string]string{"k": evil}, "https://shop.example/?"+`"><script>`
	})
	p = h.move(p, 0, "", func(p *models.Payment) { p.Status = models.PaymentConfirmed })
	page := b.open("/pay/" + p.Token)
	page.want(t, shown)
	page.lacks(t, "<script>", `"><script`)

	for _, path := range []string{"/pay/co_nothing", "/pay/co_nothing/status", "/pay/", "/pay/" + p.ID, "/pay/" + p.Token +
		"/x", "/portalx", "/assets/", "/assets/none.js"} {
		res := b.get(path)
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
		if strings.HasSuffix(path, "/status") && res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: %s", path, res.Header.Get("Content-Type"))
		}
	}
	b.get("/pay/co_nothing").want(t, "No such payment")
}

// TestMisdirected: what does not count is not listed among what does, and the payer is told.
func TestMisdirected(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	p := h.payment(nil)
	h.InTx(func(tx *store.Tx) error {
		_, err := tx.RecordTransfer(t.Context(), models.Transfer{
			ID: models.NewID(models.PrefixTransfer, noon), PaymentID: p.ID, MerchantID: p.MerchantID, ChainID: 1,
			TxHash: hash(1), Asset: models.AssetNative, Recipient: p.Address, Sender: usdc, Amount: models.AmountOf(5),
			Status: models.TransferSeen, Source: models.SourceChain, Misdirected: true, BlockNumber: 99, BlockHash: hash(99),
			BlockTime: noon, FirstBlockTime: noon, CreatedAt: noon, UpdatedAt: noon,
		})
		return err
	})
	page := (&browser{h: h}).open("/pay/" + p.Token)
	page.want(t, "Something other than USDC on Ethereum arrived")
	page.lacks(t, hash(1))
}

func TestHeadersAndAssets(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := &browser{h: h}
	p := h.payment(nil)
	secured := newHarness(t, storetest.SQLite(t), func(o *web.Options) { o.PublicURL = "https://pay.example" })
	linked := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	inline := regexp.MustCompile(`(?i)<style|style=|\son\w+=|<script(?:\s[^>]*)?>[^<]|javascript:`)
	elsewhere := regexp.MustCompile(`(?:src|<link[^>]*href)="(?:https?:)?//`)
	for _, path := range []string{"/pay/" + p.Token, "/portal", "/pay/co_none"} {
		page := b.get(path)
		csp := page.Header.Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
			"connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, directive) {
				t.Errorf("%s: the policy lacks %s: %s", path, directive, csp)
			}
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Cache-Control": "no-store", "Strict-Transport-Security": ""} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if m := inline.FindString(page.body); m != "" {
			t.Errorf("%s has something inline: %s", path, m)
		}
		if m := elsewhere.FindString(page.body); m != "" {
			t.Errorf("%s loads something from elsewhere: %s", path, m)
		}
		links := linked.FindAllStringSubmatch(page.body, -1)
		if len(links) < 3 {
			t.Errorf("%s links to %d assets", path, len(links))
		}
		for _, link := range links {
			asset := b.open(link[1])
			if !strings.Contains(asset.Header.Get("Cache-Control"), "immutable") || asset.Header.Get("Content-Type") == "" {
				t.Errorf("%s: %v", link[1], asset.Header)
			}
		}
	}
	if got := b.get("/pay/" + p.Token).Header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("the checkout page leaks its link: %s", got)
	}
	if (&browser{h: secured}).get("/portal").Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS on https")
	}
	if cc := b.open("/assets/base.css").Header.Get("Cache-Control"); strings.Contains(cc, "immutable") {
		t.Errorf("an asset without a version is kept for ever: %s", cc)
	}
}

// TestPrefixesReachTheSite mounts the site as internal/api does.
func TestPrefixesReachTheSite(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	p := h.payment(nil)
	e := echo.New()
	for _, prefix := range web.Prefixes {
		e.Any(prefix+"*", echo.WrapHandler(h.site))
	}
	for path, want := range map[string]int{
		"/portal": 200, "/portal/": 303, "/portal/payments": 303, "/pay/" + p.Token: 200, "/pay/" + p.Token + "/status": 200,
		"/assets/base.css": 200, "/portals": 404,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		h.must(err)
		rec := record(e, r)
		if rec.Code != want {
			t.Errorf("GET %s: %d, not %d", path, rec.Code, want)
		}
	}
}
