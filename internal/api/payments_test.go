package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit/contract"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	usdc              = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
	operatorToken     = "operator-token-of-the-counter"
	operatorReadToken = "operator-read-token-of-the-counter"
	max256            = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
)

// counter is the real server on a store, with merchants that have keys, and two chains that move.
type counter struct {
	*Server
	t        testing.TB
	contract *contract.Contract
	store    *store.Store
	access   *access.Service
	payments *payments.Service
}

func newCounter(t testing.TB, s *store.Store, change ...func(*Options)) *counter {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	chains := []config.Chain{
		{Name: "ethereum", ChainID: 1, Finality: config.Finality{Depth: 12}, BlockTime: time.Hour, Native: config.Native{Symbol: "ETH", Decimals: 18}, Tokens: []config.Token{{Symbol: "USDC", Contract: usdc, Decimals: 6}}},
		{Name: "sepolia", ChainID: 11155111, Test: true, Finality: config.Finality{Depth: 3}, BlockTime: time.Hour, Native: config.Native{Symbol: "ETH", Decimals: 18}},
	}
	for i := range chains {
		chains[i].RPCURLs = []config.URL{config.URL(operatedNode(t, chains[i].ChainID))}
	}
	v, err := vault.New([]vault.Key{{ID: "k", Secret: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := egress.New(egress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := endpoints.New(endpoints.Options{
		Store: s, Vault: v, CheckURL: out.CheckURL, MaxEndpoints: 20, MaxAttempts: 15, Overlap: 24 * time.Hour, Now: testNow,
		Chains: chains,
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := redelivery.New(redelivery.Options{Store: s, MaxAttempts: 15, Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	pays, err := payments.New(payments.Options{Store: s, Chains: chains, PublicURL: "https://pay.example",
		Window: time.Hour, MaxAttempts: 15, MaxOpen: 1000, Now: testNow, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := access.New(access.Options{Store: s, PublicURL: "https://pay.example", Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	operated, err := operate.New(operate.Options{Store: s, Payments: pays, Chains: chains, Now: testNow,
		Connect: operatedPool})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Operate: operated,
		Logger:  log, Now: testNow, Store: s, Payments: pays, Endpoints: hooks, Redelivery: again, Access: keys, Vault: v,
		Chains: chains, OperatorToken: operatorToken, OperatorReadToken: operatorReadToken,
		Limits: config.API{Rate: 1000, Burst: 1000, MaxEndpoints: 20, MaxKeys: 20, MaxOpenPayments: 1000},
	}
	for _, f := range change {
		f(&o)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		if err := saveCursor(t.Context(), s, c); err != nil {
			t.Fatal(err)
		}
	}
	return &counter{Server: server, t: t, contract: newContract(t), store: s, access: keys, payments: pays}
}

// saveCursor says that the first block of a chain is recorded.
func saveCursor(ctx context.Context, s *store.Store, c config.Chain) error {
	return s.InTx(ctx, func(tx *store.Tx) error {
		return tx.SaveCursor(ctx, models.ChainCursor{ChainID: c.ChainID, Chain: c.Name, Number: 1, Hash: blockHash(1),
			BlockTime: testNow(), UpdatedAt: testNow()})
	})
}

// merchant makes a merchant with an account key and returns its id and a key with the given scopes, all when there are
// none.
func (c *counter) merchant(t testing.TB, seed string, test bool, scopes ...models.Scope) (id, key string) {
	t.Helper()
	account, err := hdkeychain.NewMaster([]byte(strings.Repeat(seed, 16)), &chaincfg.MainNetParams)
	for _, i := range []uint32{44, 60, 0} {
		if err == nil {
			account, err = account.Derive(hdkeychain.HardenedKeyStart + i)
		}
	}
	if err == nil {
		account, err = account.Neuter()
	}
	if err != nil {
		t.Fatal(err)
	}
	var m models.Merchant
	err = c.store.InTx(t.Context(), func(tx *store.Tx) (err error) {
		m, _, err = c.access.CreateMerchant(t.Context(), tx, models.Actor{Name: "operator"}, "Shop "+seed, account.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m.ID, c.key(t, m.ID, test, scopes...)
}

func (c *counter) key(t testing.TB, merchantID string, test bool, scopes ...models.Scope) string {
	t.Helper()
	if len(scopes) == 0 {
		scopes = models.Scopes
	}
	var secret string
	err := c.store.InTx(t.Context(), func(tx *store.Tx) (err error) {
		ask := access.KeyRequest{MerchantID: merchantID, Name: "k", Test: test, Scopes: scopes}
		_, secret, err = c.access.CreateKey(t.Context(), tx, models.Actor{Name: "operator"}, ask)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func (c *counter) ask(key, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	if key != "" {
		headers = append(headers, "Authorization", "Bearer "+key)
	}
	return ask(c, method, target, body, headers...)
}

func decoded[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("%d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}

// TestBadPayments shows the problem document of each kind of bad request: see testdata/problems/payment_*.
func TestBadPayments(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	otherID, other := c.merchant(t, "b", false)
	testKey := c.key(t, otherID, true)
	theirs := decoded[Payment](t, c.ask(other, "POST", "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"1"}`), http.StatusCreated)
	for _, q := range []struct {
		name, key, method, target, body string
		status                          int
	}{
		{"wrong_type", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":1500000}`, 400},
		{"unknown_field", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":"1","webhook":"x"}`, 400},
		{"negative", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":"-1"}`, 400},
		{"two_to_the_256", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":"` + max256[:77] + `6"}`, 400},
		{"decimal_too_large", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount_decimal":"` + max256 + `"}`, 422},
		{"both_amounts", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":"1","amount_decimal":"1"}`, 400},
		{"too_many_places", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount_decimal":"0.0000001"}`, 422},
		{"bad_checksum", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB49","amount":"1"}`, 422},
		{"unknown_chain", key, "POST", "/api/v1/payments", `{"chain":"dogecoin","asset":"USDC","amount":"1"}`, 422},
		{"unknown_token", key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"SHIB","amount":"1"}`, 422},
		{"several_at_once", key, "POST", "/api/v1/payments", `{"asset":"USDC","amount":"01","expires_in":5,"metadata":{"cart":9}}`, 400},
		{"test_key", testKey, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"1"}`, 422},
		{"no_key", "", "GET", "/api/v1/payments", "", 401},
		{"bad_key", "ck_live_nope", "GET", "/api/v1/payments", "", 401},
		{"somebody_elses", key, "GET", "/api/v1/payments/" + theirs.ID, "", 404},
		{"malformed_id", key, "GET", "/api/v1/payments/pay_1", "", 404},
		{"limit_over_100", key, "GET", "/api/v1/payments?limit=101", "", 400},
		{"bad_cursor", key, "GET", "/api/v1/payments?cursor=nope", "", 400},
		{"unknown_parameter", key, "GET", "/api/v1/payments?stauts=pending", "", 400},
		{"bad_status", key, "GET", "/api/v1/payments?status=paid", "", 400},
	} {
		t.Run(q.name, func(t *testing.T) {
			w := c.ask(q.key, q.method, q.target, q.body)
			if w.Code != q.status {
				t.Errorf("status %d, want %d", w.Code, q.status)
			}
			golden(t, "payment_"+q.name, w)
		})
	}
}

func TestPaymentOverREST(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		_, key := c.merchant(t, "a", false)
		made := decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"USDC","amount_decimal":"1.5","order_id":"A-17","metadata":{"cart":"<9>"}}`),
			http.StatusCreated)
		if made.Amount != "1500000" || made.AmountDecimal != "1.5" || made.Status != "pending" || made.Sequence != 1 ||
			made.Asset.Contract == nil {
			t.Fatalf("%+v", made)
		}
		got := c.ask(key, "GET", "/api/v1/payments/"+made.ID, "")
		if read := decoded[Payment](t, got, http.StatusOK); read.ID != made.ID ||
			!strings.Contains(got.Body.String(), `"cart":"<9>"`) {
			t.Fatalf("%s", got.Body)
		}
		again := c.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"USDC","amount":"1","order_id":"A-17"}`)
		if again.Code != http.StatusConflict || !strings.Contains(again.Body.String(), made.ID) ||
			!strings.Contains(again.Body.String(), "order_id_taken") {
			t.Fatalf("%d %s", again.Code, again.Body)
		}
		for range 4 {
			decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments", `{"chain":"sepolia","asset":"native","amount":"7"}`),
				http.StatusCreated)
		}
		seen, cursor := 0, ""
		for {
			page := decoded[PaymentList](t, c.ask(key, "GET", "/api/v1/payments?limit=2"+cursor, ""), http.StatusOK)
			seen += len(page.Data)
			if page.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *page.NextCursor
		}
		if seen != 5 {
			t.Fatalf("%d of 5 payments were listed", seen)
		}
		if page := decoded[PaymentList](t, c.ask(key, "GET", "/api/v1/payments?chain=ethereum&order_id=A-17&status=pending",
			""), http.StatusOK); len(page.Data) != 1 {
			t.Fatalf("filtered: %d", len(page.Data))
		}
		if p := decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments/"+made.ID+"/cancel", ""),
			http.StatusOK); p.Status != "canceled" {
			t.Fatalf("canceled is %s", p.Status)
		}
		if w := c.ask(key, "POST", "/api/v1/payments/"+made.ID+"/cancel", ""); w.Code != http.StatusConflict {
			t.Fatalf("canceled twice: %d", w.Code)
		}
		type eventPage struct {
			Data       []map[string]any `json:"data"`
			NextCursor *string          `json:"next_cursor"`
		}
		list := c.ask(key, "GET", "/api/v1/events?after=", "")
		events := decoded[eventPage](t, list, http.StatusOK)
		if len(events.Data) != 6 || events.NextCursor == nil || events.Data[5]["type"] != "payment.canceled" {
			t.Fatalf("%s", list.Body)
		}
		one := c.ask(key, "GET", "/api/v1/events/"+events.Data[0]["id"].(string), "")
		if one.Code != http.StatusOK || !strings.Contains(list.Body.String(), one.Body.String()) {
			t.Fatalf("an event's bytes differ between the list and its page: %s", one.Body)
		}
		if rest := c.ask(key, "GET", "/api/v1/events?after="+*events.NextCursor, ""); !strings.HasPrefix(rest.Body.String(),
			`{"data":[]`) {
			t.Fatalf("%s", rest.Body)
		}
	})
}

// TestIdempotentCreation: the same key and body get the same answer, also twenty at once; another body is refused.
func TestIdempotentCreation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		const body = `{"chain":"ethereum","asset":"native","amount":"1","order_id":"once"}`
		answers := make([]*httptest.ResponseRecorder, 20)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = c.ask(key, "POST", "/api/v1/payments", body, "Idempotency-Key", "k-1") })
		}
		wg.Wait()
		replayed := 0
		for _, w := range answers {
			if w.Code != http.StatusCreated || w.Body.String() != answers[0].Body.String() {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Idempotency-Replayed") == "true" {
				replayed++
			}
		}
		if replayed != len(answers)-1 {
			t.Errorf("%d of %d answers say that they are replays", replayed, len(answers))
		}
		if rows, err := s.ListPayments(t.Context(), merchant, store.PaymentFilter{}, store.Page{Limit: 10}); err != nil ||
			len(rows) != 1 {
			t.Fatalf("%d payments were made, %v", len(rows), err)
		}
		if w := c.ask(key, "POST", "/api/v1/payments", strings.Replace(body, `"1"`, `"2"`, 1), "Idempotency-Key",
			"k-1"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "idempotency_key_reused") {
			t.Fatalf("another body: %d %s", w.Code, w.Body)
		}
		if w := c.ask(c.key(t, merchant, false), "POST", "/api/v1/payments", body, "Idempotency-Key",
			"k-1"); w.Code != http.StatusCreated || w.Body.String() != answers[0].Body.String() {
			t.Errorf("an equal key: %d %s", w.Code, w.Body)
		}
		for _, weaker := range []string{c.key(t, merchant, true), c.key(t, merchant, false, models.ScopePaymentsWrite)} {
			if w := c.ask(weaker, "POST", "/api/v1/payments", body, "Idempotency-Key", "k-1"); w.Code != http.StatusConflict ||
				!strings.Contains(w.Body.String(), "idempotency_key_reused") {
				t.Errorf("a key that may do other things: %d %s", w.Code, w.Body)
			}
		}
	})
}

func TestScopesAndRates(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, reader := c.merchant(t, "a", false, models.ScopePaymentsRead)
	if w := c.ask(reader, "GET", "/api/v1/payments", ""); w.Code != http.StatusOK {
		t.Fatalf("reading: %d", w.Code)
	}
	if w := c.ask(reader, "POST", "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"1"}`); w.Code != http.StatusForbidden ||
		!strings.Contains(w.Body.String(), "payments:write") {
		t.Fatalf("writing: %d %s", w.Code, w.Body)
	}
	l := newLimiter(10, 2, testNow)
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond} {
		if got := l.take("k", nil); got.wait != want || got.limit != 2 || got.remaining != max(1-i, 0) ||
			got.full != time.Duration(min(i+1, 2))*100*time.Millisecond {
			t.Errorf("request %d of a bucket of two at ten a second: %+v", i+1, got)
		}
	}
	if got := l.take("other", nil); got.wait != 0 {
		t.Errorf("another key's first request: %+v", got)
	}
	w := c.ask(reader, "GET", "/api/v1/payments", "")
	if h := w.Header(); h.Get("RateLimit-Limit") != "1000" || h.Get("RateLimit-Remaining") != "997" ||
		h.Get("RateLimit-Reset") != "1" {
		t.Errorf("%v", h)
	}
}

// TestTestKeysSeeOnlyTestMoney: payments, events and deliveries on live chains are not there for a ck_test_ key.
func TestTestKeysSeeOnlyTestMoney(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		id, live := c.merchant(t, "a", false)
		test := c.key(t, id, true)
		decoded[map[string]any](t, c.ask(live, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/hooks"}`),
			http.StatusCreated)
		decoded[map[string]any](t, c.ask(test, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/tests"}`),
			http.StatusCreated)
		hidden := decoded[Payment](t, c.ask(live, "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"native","amount":"1"}`), http.StatusCreated)
		shown := decoded[Payment](t, c.ask(test, "POST", "/api/v1/payments",
			`{"chain":"sepolia","asset":"native","amount":"1"}`), http.StatusCreated)
		for _, list := range []string{"payments", "events", "events?after=", "deliveries"} {
			body := c.ask(test, "GET", "/api/v1/"+list, "").Body.String()
			if strings.Contains(body, hidden.ID) || !strings.Contains(body, shown.ID) {
				t.Errorf("%s shows a test key %s", list, body)
			}
			var all struct {
				Data []struct {
					ID string `json:"id"`
				} `json:"data"`
			}
			if err := json.Unmarshal(c.ask(live, "GET", "/api/v1/"+list, "").Body.Bytes(), &all); err != nil ||
				len(all.Data) != 2 {
				t.Fatalf("%s: %d rows, %v", list, len(all.Data), err)
			}
			found := 0
			for _, row := range all.Data {
				if c.ask(test, "GET", "/api/v1/"+strings.TrimSuffix(list, "?after=")+"/"+row.ID, "").Code == http.StatusOK {
					found++
				}
			}
			if found != 1 {
				t.Errorf("a test key reads %d of 2 %s", found, list)
			}
		}
	})
}
