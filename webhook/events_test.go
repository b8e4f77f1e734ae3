package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/webhook"
)

var update = flag.Bool("update", false, "rewrite the golden bodies in testdata")

var fixedTime = time.Date(2026, 11, 23, 10, 0, 0, 123_456_789, time.UTC)

const (
	contract = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
	payer    = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
	deposit  = "0x52908400098527886E0F7030069857D2E4169EE7"
)

func ptr[T any](v T) *T { return &v }

func id(prefix, tail string) string {
	return prefix + "_" + strings.Repeat("0", 26-len(tail)) + tail
}

func hash(digit string) string { return "0x" + strings.Repeat(digit, 64) }

func transfer() webhook.Transfer {
	return webhook.Transfer{
		TxHash: ptr(hash("a")), LogIndex: ptr(3), From: ptr(payer), Amount: "1500000", BlockNumber: 19, BlockHash: hash("b"),
		BlockTimestamp: webhook.At(fixedTime.Truncate(time.Second)), Confirmations: 12, Status: "confirmed",
		Source: webhook.SourceChain,
	}
}

func payment() *webhook.Payment {
	return &webhook.Payment{
		ID: id("pay", "7"), Sequence: 4, OrderID: ptr("A-17"), OrderCurrent: true, Status: "confirmed",
		Chain: "ethereum", ChainID: 1, UpdatedAt: webhook.At(fixedTime), RedirectURL: ptr("https://shop.example/thanks"),
		AmountReceivedDecimal: "1.5",
		Asset:                 webhook.Asset{Symbol: "USDC", Contract: ptr(contract), Decimals: 6},
		Address:               deposit, DerivationPath: "m/44'/60'/0'/0/7", Amount: "1500000", AmountDecimal: "1.5",
		AmountReceived: "1500000", AmountConfirmed: "1500000", Confirmations: 12, RequiredConfirmations: 12,
		CreatedAt: webhook.At(fixedTime), ExpiresAt: webhook.At(fixedTime.Add(30 * time.Minute)),
		ConfirmedAt: ptr(webhook.At(fixedTime)), Metadata: map[string]string{"cart": "9"},
		CheckoutURL: ptr("https://pay.example/pay/co_1"), Transfers: []webhook.Transfer{transfer()}, TransfersTotal: 1,
	}
}

// sample is an event of each type that looks like one the gateway would send.
func sample(kind webhook.EventType) webhook.Event {
	e := webhook.Event{
		ID: id("evt", "1"), Type: kind, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(fixedTime),
		Timestamp: fixedTime.Unix(), Nonce: strings.Repeat("0123456789abcdef", 2), MerchantID: id("mer", "1"),
	}
	if !kind.IsPayment() {
		e.Data.Endpoint = &webhook.Endpoint{ID: id("we", "1"), URL: "https://shop.example/hooks?a=1&b=2", Status: "enabled"}
		switch kind {
		case webhook.EndpointDisabled:
			e.Data.Endpoint.Status, e.Data.Endpoint.DisabledReason = "disabled", ptr("no success for 5 days")
		case webhook.EndpointSecretExpiring:
			e.Data.Endpoint.SecretCreatedAt = ptr(webhook.At(fixedTime.AddDate(0, -6, 0)))
			e.Data.Endpoint.SecretExpiresAt = ptr(webhook.At(fixedTime.AddDate(0, 0, 7)))
		}
		return e
	}
	p := payment()
	e.Data.Payment = p
	waiting := func(status string) {
		p.Status, p.ConfirmedAt, p.AmountConfirmed = status, nil, "0"
	}
	empty := func(status string) {
		waiting(status)
		p.Transfers, p.TransfersTotal, p.AmountReceived, p.Confirmations = nil, 0, "0", 0
	}
	switch kind {
	case webhook.PaymentCreated:
		empty("pending")
		p.Sequence, p.OrderID, p.Metadata, p.CheckoutURL = 1, nil, nil, nil
		p.Asset = webhook.Asset{Symbol: "ETH", Decimals: 18}
	case webhook.PaymentPartiallyPaid:
		waiting("pending")
		p.Partial, p.AmountReceived, p.Replaces = true, "500000", ptr(id("pay", "6"))
		p.Doubts = []webhook.Doubt{{ID: id("dbt", "1"), Kind: "hidden", Chain: "ethereum", ChainID: 1, Asset: p.Asset,
			Amount: "1000000", TxHash: ptr(hash("c")), BlockNumber: 20, BlockHash: hash("d"),
			CreatedAt: webhook.At(fixedTime)}}
		p.Transfers[0].Amount, p.Transfers[0].Status, p.Transfers[0].LogIndex = "500000", "seen", nil
	case webhook.PaymentDetected:
		waiting("detected")
		p.Transfers[0].Status = "seen"
	case webhook.PaymentOverpaid:
		p.Overpaid, p.AmountReceived, p.AmountConfirmed = true, "2500000", "2500000"
		found := transfer()
		found.TxHash, found.From, found.LogIndex, found.Amount, found.Source = nil, nil, nil, "1000000", webhook.SourceBalance
		p.Transfers, p.TransfersTotal = append(p.Transfers, found), 2
	case webhook.PaymentLate:
		waiting("expired")
		p.Late, p.AmountConfirmed = true, "1500000"
	case webhook.PaymentExpired:
		empty("expired")
	case webhook.PaymentCanceled:
		empty("canceled")
	case webhook.PaymentReorged:
		waiting("pending")
		p.OrderCurrent, p.ReplacedBy = false, ptr(id("pay", "8"))
		p.AmountReceived, p.Transfers[0].Status, p.Transfers[0].Confirmations = "0", "orphaned", 0
		e.Data.Retracts = []string{id("evt", "2"), id("evt", "3")}
	case webhook.PaymentMisdirected:
		empty("pending")
		e.Data.Misdirected = &webhook.Misdirected{
			Chain: "base", ChainID: 8453, Asset: webhook.Asset{Symbol: "USDC", Contract: ptr(contract), Decimals: 6},
			Transfer: transfer(), TransfersNew: 1, TransfersTotal: 1,
		}
		e.Data.Misdirected.Totals = []webhook.MisdirectedTotal{{Chain: "base", ChainID: 8453,
			Asset: e.Data.Misdirected.Asset, Amount: "1500000", Transfers: 1}}
	}
	if p.Status == "expired" || p.Status == "canceled" {
		p.OrderCurrent = false
	}
	p.AmountReceivedDecimal = map[string]string{"0": "0", "500000": "0.5", "1500000": "1.5",
		"2500000": "2.5"}[p.AmountReceived]
	return e
}

func goldenPath(kind webhook.EventType) string {
	return filepath.Join("testdata", string(kind)+".json")
}

func goldenBodies(t testing.TB) map[string][]byte {
	t.Helper()
	bodies := map[string][]byte{}
	for _, kind := range webhook.EventTypes() {
		b, err := os.ReadFile(goldenPath(kind))
		if err != nil {
			t.Fatal(err)
		}
		bodies[string(kind)] = b
	}
	return bodies
}

func TestGoldenBodies(t *testing.T) {
	for _, kind := range webhook.EventTypes() {
		t.Run(string(kind), func(t *testing.T) {
			e := sample(kind)
			got, err := webhook.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(goldenPath(kind), got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(goldenPath(kind))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the body changed (run with -update if that is meant):\n%s\n%s", got, want)
			}
			back, err := webhook.Decode(got)
			if err != nil {
				t.Fatal(err)
			}
			again, err := webhook.Encode(back)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("decoding and encoding changed it (%v):\n%s", err, again)
			}
		})
	}
}

// The contract's own example, key for key.
func TestKeysOfTheContract(t *testing.T) {
	body, err := webhook.Encode(sample(webhook.PaymentConfirmed))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + id("evt", "1") +
		`","type":"payment.confirmed","api_version":"2026-11-01","created_at":"2026-11-23T10:00:00.123Z",` +
		`"timestamp":1795428000,"nonce":"0123456789abcdef0123456789abcdef","merchant_id":"` + id("mer", "1") + `",` +
		`"data":{"payment":{"id":"` + id("pay", "7") +
		`","sequence":4,"order_id":"A-17","order_current":true,"replaces":null,"replaced_by":null,"status":"confirmed","partial":false,"overpaid":false,` +
		`"late":false,"chain":"ethereum","chain_id":1,"test":false,"asset":{"symbol":"USDC","contract":"` + contract + `","decimals":6},` +
		`"address":"` + deposit +
		`","derivation_path":"m/44'/60'/0'/0/7","amount":"1500000","amount_decimal":"1.5","amount_received":"1500000","amount_received_decimal":"1.5","amount_confirmed":"1500000",` +
		`"confirmations":12,"required_confirmations":12,"created_at":"2026-11-23T10:00:00.123Z","expires_at":"2026-11-23T10:30:00.123Z","confirmed_at":"2026-11-23T10:00:00.123Z","updated_at":"2026-11-23T10:00:00.123Z",` +
		`"metadata":{"cart":"9"},"checkout_url":"https://pay.example/pay/co_1","redirect_url":"https://shop.example/thanks","payment_uri":null,` +
		`"transfers":[{"tx_hash":"` + hash("a") + `","log_index":3,"from":"` + payer +
		`","amount":"1500000","block_number":19,"block_hash":"` + hash("b") + `",` +
		`"block_timestamp":"2026-11-23T10:00:00.000Z","confirmations":12,"status":"confirmed","source":"chain"}],"transfers_total":1,"doubts":[]},` +
		`"retracts":null}}`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

func TestEncodeBytes(t *testing.T) {
	e := sample(webhook.PaymentConfirmed)
	e.Data.Payment.Metadata = map[string]string{"note": "<b>&\"\u2028 café ☕ 支付 \xff"}
	body, err := webhook.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		t.Fatal("not valid UTF-8 JSON")
	}
	if bytes.Contains(body, []byte(`\u003c`)) || !bytes.Contains(body, []byte("<b>&")) ||
		!bytes.Contains(body, []byte("café ☕ 支付")) {
		t.Errorf("escaped: %s", body)
	}
	if bytes.HasSuffix(body, []byte("\n")) || bytes.Contains(body, []byte("\n")) {
		t.Error("holds a newline")
	}
	// Times of another zone and precision come out the same.
	e.CreatedAt = webhook.Time{Time: fixedTime.In(time.FixedZone("", 3600)).Truncate(time.Second)}
	if body, err = webhook.Encode(e); err != nil ||
		!bytes.Contains(body, []byte(`"created_at":"2026-11-23T10:00:00.000Z","timestamp"`)) {
		t.Errorf("%v %s", err, body)
	}
}

func TestEncodeLimits(t *testing.T) {
	worst := sample(webhook.PaymentReorged)
	p := worst.Data.Payment
	p.Metadata = map[string]string{}
	for i := range 8 {
		p.Metadata[strings.Repeat("k", i+1)] = strings.Repeat(`"`, 500)
	}
	p.OrderID, p.CheckoutURL = ptr(strings.Repeat("支", 255)), ptr("https://x.example/"+strings.Repeat("&", 2030))
	p.Amount = strings.Repeat("9", 78)
	for range 30 {
		tr := transfer()
		tr.Amount = strings.Repeat("9", 78)
		p.Transfers = append(p.Transfers, tr)
	}
	last := "31415"
	p.Transfers[len(p.Transfers)-1].Amount = last
	body, err := webhook.Encode(worst)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 32<<10 {
		t.Errorf("the largest legal event has %d bytes", len(body))
	}
	back, err := webhook.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	got := back.Data.Payment
	if len(got.Transfers) != webhook.MaxTransfers || got.TransfersTotal != 31 ||
		got.Transfers[webhook.MaxTransfers-1].Amount != last {
		t.Errorf("%d transfers of %d", len(got.Transfers), got.TransfersTotal)
	}
	if len(p.Transfers) != 31 {
		t.Error("Encode changed its argument")
	}

	large := sample(webhook.PaymentConfirmed)
	exact, err := webhook.Encode(large)
	if err != nil {
		t.Fatal(err)
	}
	large.Data.Payment.Metadata["cart"] += strings.Repeat("x", webhook.MaxEventBytes-len(exact))
	if _, err := webhook.Encode(large); err != nil {
		t.Errorf("64 KiB: %v", err)
	}
	large.Data.Payment.Metadata["cart"] += "x"
	if _, err := webhook.Encode(large); !errors.Is(err, webhook.ErrTooLarge) {
		t.Errorf("64 KiB and one: %v", err)
	}
	for _, kind := range []webhook.EventType{webhook.PaymentLate, webhook.WebhookTest, "new.kind"} {
		e := sample(kind)
		e.Data = webhook.Data{}
		if _, err := webhook.Encode(e); !errors.Is(err, webhook.ErrNoData) {
			t.Errorf("%s without data: %v", kind, err)
		}
	}
}

func TestDecode(t *testing.T) {
	future := `{"id":"evt_1","type":"payment.teleported","new":1,"data":{"payment":{"id":"pay_1","new":[]},"other":{}}}`
	e, err := webhook.Decode([]byte(future))
	if err != nil || e.Type != "payment.teleported" || e.Data.Payment.ID != "pay_1" {
		t.Errorf("%v %v", e, err)
	}
	for _, bad := range []string{"", "null", "[]", "1", `{}`, `{"id":"evt_1"}`, `{"type":"x"}`, `{"id":1,"type":"x"}`,
		`{"id":"evt_1","type":"x"} x`, `{"id":"evt_1","type":"x","data":[]}`} {
		if _, err := webhook.Decode([]byte(bad)); !errors.Is(err, webhook.ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, kind := range webhook.EventTypes() {
		payment := strings.HasPrefix(string(kind), "payment.")
		for pattern, want := range map[string]bool{
			"*": true, "payment.*": payment, string(kind): true, "endpoint.*": false, "payment": false, "": false, "payment.": false,
			"**": false, strings.ToUpper(string(kind)): false, string(kind) + " ": false, "*.created": false,
		} {
			if webhook.Matches(pattern, kind) != want {
				t.Errorf("Matches(%q, %s) is %v", pattern, kind, !want)
			}
			valid := pattern == "*" || pattern == "payment.*" || pattern == string(kind)
			if webhook.ValidPattern(pattern) != valid {
				t.Errorf("ValidPattern(%q) is %v", pattern, !valid)
			}
		}
	}
	if webhook.EventType("payment.").IsPayment() || webhook.Matches("payment.*", "payments.created") {
		t.Error("payment.* matches too much")
	}
}

func TestNewNonce(t *testing.T) {
	a, errA := webhook.NewNonce(nil)
	b, errB := webhook.NewNonce(nil)
	if errA != nil || errB != nil || a == b || len(a) != 32 || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("%q %q %v %v", a, b, errA, errB)
	}
	if _, err := webhook.NewNonce(strings.NewReader("short")); err == nil {
		t.Error("5 random bytes made a nonce")
	}
}

func TestAtPtr(t *testing.T) {
	if webhook.AtPtr(nil) != nil {
		t.Error("nil became a time")
	}
	if got := webhook.AtPtr(&fixedTime); !reflect.DeepEqual(*got, webhook.At(fixedTime)) {
		t.Error(got)
	}
	text, err := webhook.At(fixedTime).MarshalText()
	if err != nil || string(text) != "2026-11-23T10:00:00.123Z" {
		t.Errorf("%s %v", text, err)
	}
}
