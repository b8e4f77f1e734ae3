package web_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/web"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	usdc  = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
	xpub  = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"
	evil  = `<script>alert("x")</script>`
	shown = `&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;`
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var chains = []config.Chain{
	{
		Name: "ethereum", ChainID: 1, Finality: config.Finality{Depth: 12}, BlockTime: 12 * time.Second,
		ExplorerURL: "https://etherscan.io", Native: config.Native{Symbol: "ETH", Decimals: 18},
		Tokens: []config.Token{{Symbol: "USDC", Contract: usdc, Decimals: 6}},
	},
	{
		Name: "sepolia", ChainID: 11155111, Test: true, Finality: config.Finality{Depth: 12}, BlockTime: 12 * time.Second,
		Native: config.Native{Symbol: "ETH", Decimals: 18},
	},
}

// harness is the site with the services that it shows, real ones, on a store of the test's choice.
type harness struct {
	*deliverytest.Fixture
	t        testing.TB
	clock    *testkit.Clock
	payments *payments.Service
	access   *access.Service
	site     *web.Site
	logged   *strings.Builder
	merchant models.Merchant
}

func newHarness(t testing.TB, s *store.Store, change ...func(*web.Options)) *harness {
	t.Helper()
	h := &harness{t: t, clock: testkit.NewClock(noon), logged: new(strings.Builder), Fixture: deliverytest.New(t, s)}
	h.Now = h.clock.Now
	log := slog.New(slog.NewTextHandler(h.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	h.payments, err = payments.New(payments.Options{
		Store: s, Chains: chains, PublicURL: "http://pay.example", Window: time.Hour, MaxAttempts: 15, MaxOpen: 1000,
		Now: h.clock.Now, Logger: log,
	})
	h.must(err)
	h.access, err = access.New(access.Options{Store: s, Now: h.clock.Now})
	h.must(err)
	o := web.Options{
		Store: s, Payments: h.payments, Endpoints: h.Endpoints, Redelivery: h.Redelivery,
		Chains: chains, Access: h.access, Links: h.access, Sealer: h.Vault,
		PublicURL: "http://pay.example", Now: h.clock.Now, Logger: log, EgressIPs: []string{"192.0.2.7"},
	}
	for _, f := range change {
		f(&o)
	}
	h.site, err = web.New(o)
	h.must(err)
	h.merchant = h.newMerchant("Tea & Sons", xpub)
	h.InTx(func(tx *store.Tx) error { return errors.Join(h.head(tx, 1, 100), h.head(tx, 11155111, 100)) })
	return h
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) head(tx *store.Tx, chainID, number uint64) error {
	return tx.SaveCursor(h.t.Context(), models.ChainCursor{
		ChainID: chainID, Chain: "c", Number: number, Hash: hash(number), BlockTime: h.clock.Now(), HeadNumber: number,
		UpdatedAt: noon,
	})
}

func hash(n uint64) string { return fmt.Sprintf("0x%064x", n) }

// payment asks for a payment of 12.5 USDC, or of what change makes of it.
func (h *harness) payment(change func(*payments.Request)) models.Payment {
	h.t.Helper()
	order := "A-17"
	r := payments.Request{
		MerchantID: h.merchant.ID, Chain: "ethereum", Asset: "USDC", AmountDecimal: "12.5", OrderID: &order,
		Metadata: map[string]string{"cart": "secret basket"}, RedirectURL: "https://shop.example/thanks?order=17",
	}
	if change != nil {
		change(&r)
	}
	draft, err := h.payments.Prepare(h.t.Context(), r)
	h.must(err)
	p, err := h.payments.Commit(h.t.Context(), draft, nil)
	h.must(err)
	return p
}

func orderID(id string) func(*payments.Request) {
	return func(r *payments.Request) { r.OrderID = &id }
}

// move writes what a scanner would: the payment as change leaves it, and a transfer of amount base units in block 98.
func (h *harness) move(p models.Payment, amount uint64, status models.TransferStatus,
	change func(*models.Payment)) models.Payment {
	h.t.Helper()
	if amount > 0 {
		p.AmountReceived = models.AmountOf(amount)
	}
	if change != nil {
		change(&p)
	}
	h.InTx(func(tx *store.Tx) error {
		if amount > 0 {
			t := models.Transfer{
				ID: models.NewID(models.PrefixTransfer, noon), PaymentID: p.ID, MerchantID: p.MerchantID, ChainID: p.ChainID,
				TxHash: hash(0xabc), Asset: p.Asset, Recipient: p.Address, Sender: usdc, Amount: models.AmountOf(amount),
				Status: status, Source: models.SourceChain, BlockNumber: 98, BlockHash: hash(98), BlockTime: noon,
				FirstBlockTime: noon, CreatedAt: noon, UpdatedAt: noon,
			}
			if _, err := tx.RecordTransfer(h.t.Context(), t); err != nil {
				return err
			}
		}
		return tx.SavePayment(h.t.Context(), p)
	})
	return p
}

var operator = models.Actor{Name: "operator"}

// newMerchant makes a merchant, with an account key when xpub is not "".
func (h *harness) newMerchant(name, xpub string) (m models.Merchant) {
	h.t.Helper()
	h.InTx(func(tx *store.Tx) (err error) {
		m, _, err = h.access.CreateMerchant(h.t.Context(), tx, operator, name, xpub)
		return err
	})
	return m
}

// key makes a key of the merchant and returns it with its secret.
func (h *harness) key(test bool, scopes ...models.Scope) (models.APIKey, string) {
	h.t.Helper()
	if scopes == nil {
		scopes = models.Scopes
	}
	var key models.APIKey
	var secret string
	h.InTx(func(tx *store.Tx) (err error) {
		ask := access.KeyRequest{MerchantID: h.merchant.ID, Name: "portal", Test: test, Scopes: scopes}
		key, secret, err = h.access.CreateKey(h.t.Context(), tx, operator, ask)
		return err
	})
	return key, secret
}

// browser is what keeps a cookie and sends what browsers send along.
type browser struct {
	h      *harness
	cookie *http.Cookie // of the session
	once   *http.Cookie // what the next page shows
}

// signedIn opens a session for a new key.
func (h *harness) signedIn(test bool, scopes ...models.Scope) *browser {
	h.t.Helper()
	_, secret := h.key(test, scopes...)
	b := &browser{h: h}
	res := b.post("/portal/sign-in", url.Values{"key": {secret}})
	if res.StatusCode != http.StatusSeeOther || b.cookie == nil {
		h.t.Fatalf("sign in: %d, cookie %v", res.StatusCode, b.cookie)
	}
	return b
}

// page is an answer with its body read.
type page struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) page {
	b.h.t.Helper()
	if b.cookie != nil {
		r.AddCookie(&http.Cookie{Name: b.cookie.Name, Value: b.cookie.Value})
	}
	if b.once != nil {
		r.AddCookie(&http.Cookie{Name: b.once.Name, Value: b.once.Value})
	}
	rec := httptest.NewRecorder()
	b.h.site.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		into := &b.cookie
		if c.Name == "ctrip_once" {
			into = &b.once
		}
		if *into = c; c.MaxAge < 0 {
			*into = nil
		}
	}
	body, err := io.ReadAll(res.Body)
	b.h.must(err)
	return page{res, string(body)}
}

func (b *browser) get(path string) page {
	b.h.t.Helper()
	return b.do(httptest.NewRequestWithContext(b.h.t.Context(), http.MethodGet, path, nil))
}

func (b *browser) post(path string, form url.Values, header ...string) page {
	b.h.t.Helper()
	r := httptest.NewRequestWithContext(b.h.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// open is get of a page that must be there.
func (b *browser) open(path string) page {
	b.h.t.Helper()
	p := b.get(path)
	if p.StatusCode != http.StatusOK {
		b.h.t.Fatalf("GET %s: %d\n%s", path, p.StatusCode, p.body)
	}
	return p
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (p page) csrf() string {
	if m := csrfInput.FindStringSubmatch(p.body); m != nil {
		return m[1]
	}
	return ""
}

// want fails unless the page has every one of the texts.
func (p page) want(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

// lacks fails when the page has one of the texts.
func (p page) lacks(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.body, text) {
			t.Errorf("the page has %q", text)
		}
	}
}

// sent makes an endpoint and a delivery of p's payment.created to it, with one attempt that was answered by body.
func (h *harness) sent(p models.Payment, status int, class string, state models.DeliveryState,
	body string) models.Delivery {
	h.t.Helper()
	e, _ := h.Endpoint(h.merchant.ID, "https://shop.example/hooks")
	events, err := h.Store.AnnouncedFor(h.t.Context(), []string{p.ID})
	h.must(err)
	var d models.Delivery
	h.InTx(func(tx *store.Tx) error {
		ev, err := tx.Event(h.t.Context(), h.merchant.ID, events[p.ID][0].ID)
		if err != nil {
			return err
		}
		d = outbox.NewDelivery(ev, e, 15, noon)
		return tx.InsertDeliveries(h.t.Context(), []models.Delivery{d})
	})
	_, err = h.Store.Record(h.t.Context(), []store.Verdict{{
		Attempt: models.Attempt{
			ID: models.NewID(models.PrefixAttempt, noon), DeliveryID: d.ID, EventID: d.EventID, EndpointID: d.EndpointID,
			MerchantID: d.MerchantID, Number: 1, Generation: 1, Class: class, StatusCode: status, ResponseBody: []byte(body),
			RemoteIP: "203.0.113.9", DNSMicros: 1200, ConnectMicros: 8000, TLSMicros: 14100, FirstByteMicros: 32000,
			TotalMicros: 33400, StartedAt: noon,
		},
		RequestJSON:  `{"Content-Type":"application/json","X-Webhook-Signature":"[redacted]"}`,
		ResponseJSON: `{"Content-Type":"text/html"}`,
		State:        state, NextAttemptAt: noon.Add(time.Minute), At: noon, DeadReason: "attempts exhausted",
	}}, outbox.Sweep)
	h.must(err)
	return h.Get(d)
}
