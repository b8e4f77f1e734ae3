package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// must keeps the examples short; real code handles the error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleParseSecret() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	fmt.Println(secret, err)

	_, err = webhook.ParseSecret("too short")
	fmt.Println(errors.Is(err, webhook.ErrSecretLength))
	// Output:
	// [redacted] <nil>
	// true
}

func ExampleNewSecret() {
	secret, err := webhook.NewSecret(nil) // crypto/rand
	if err != nil {
		fmt.Println(err)
		return
	}
	shownOnce := secret.Reveal()
	fmt.Println(strings.HasPrefix(shownOnce, "whsec_"), len(shownOnce))
	fmt.Printf("%v %+v %q\n", secret, struct{ S webhook.Secret }{secret}, secret)
	// Output:
	// true 50
	// [redacted] {S:[redacted]} [redacted]
}

// A secret that was brought along is given to the Standard Webhooks libraries in another form.
func ExampleSecret_RevealStandard() {
	secret := must(webhook.ParseSecret("correct horse battery staple"))
	fmt.Println(secret.RevealStandard())
	// Output: whsec_Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==
}

// The official vector of the Standard Webhooks specification.
func ExampleSign() {
	secret := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	body := []byte(`{"test": 2432232314}`)
	fmt.Println(webhook.Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), body))
	// Output: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

// The same as: printf '%s' '{"test": 2432232314}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
func ExampleSignBody() {
	secret := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	fmt.Println(webhook.SignBody(secret, []byte(`{"test": 2432232314}`)))
	// Output: 80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c
}

// After a rotation both secrets sign, so a receiver may switch whenever it likes.
func ExampleSecrets_SetHeaders() {
	body := []byte(`{"id":"evt_1","type":"webhook.test"}`)
	live := webhook.Secrets{
		Current:  must(webhook.ParseSecret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")),
		Previous: []webhook.Secret{must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))},
	}
	h := http.Header{}
	live.SetHeaders(h, "evt_1", time.Unix(1795428000, 0), 1, body)

	fmt.Println(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-attempt"))
	fmt.Println(len(strings.Split(h.Get("webhook-signature"), " ")), "signatures")
	for _, secret := range live.All() {
		fmt.Println(webhook.VerifySignature(h, body, []webhook.Secret{secret},
			webhook.WithNow(func() time.Time { return time.Unix(1795428001, 0) })))
	}
	// Output:
	// evt_1 1795428000 1
	// 2 signatures
	// <nil>
	// <nil>
}

func ExampleVerify() {
	secrets := []webhook.Secret{must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))}
	body, header := savedRequest(secrets[0])

	// A live receiver leaves the clock option out.
	clock := webhook.WithNow(func() time.Time { return time.Unix(1795428002, 0) })
	event, err := webhook.Verify(header, body, secrets, clock)
	if err != nil {
		fmt.Println(err)
		return
	}
	p := event.Data.Payment
	fmt.Println(event.Type, *p.OrderID, p.AmountDecimal, p.Asset.Symbol)

	_, err = webhook.Verify(header, append(body, ' '), secrets, clock)
	fmt.Println(errors.Is(err, webhook.ErrBadSignature), err)
	_, err = webhook.Verify(header, body, secrets, webhook.WithNow(func() time.Time { return time.Unix(1795428301, 0) }))
	fmt.Println(errors.Is(err, webhook.ErrTimestamp), err)
	// Output:
	// payment.confirmed A-17 1.5 USDC
	// true webhook: no signature fits the request
	// true webhook: webhook-timestamp is outside the tolerance: 301 seconds behind the clock
}

// An endpoint that asked for batches gets several events in one request.
func ExampleVerifyMessage() {
	secret := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	body := must(webhook.EncodeBatch([][]byte{
		[]byte(`{"id":"evt_1","type":"payment.detected"}`),
		[]byte(`{"id":"evt_2","type":"payment.confirmed"}`),
	}))
	now := time.Unix(1795428000, 0)
	header := http.Header{}
	webhook.Secrets{Current: secret}.SetHeaders(header, "bat_1", now, 1, body)

	m, err := webhook.VerifyMessage(header, body, []webhook.Secret{secret},
		webhook.WithNow(func() time.Time { return now }))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.ID, m.Batch)
	for _, e := range m.Events {
		fmt.Println(e.ID, e.Type)
	}
	// Output:
	// bat_1 true
	// evt_1 payment.detected
	// evt_2 payment.confirmed
}

// The scheme without a timestamp: dedupe by the event's id for as long as the gateway keeps events.
func ExampleVerifyBody() {
	secret := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	body := []byte(`{"id":"evt_1","type":"webhook.test"}`)
	header := http.Header{}
	header.Set("X-Webhook-Signature", webhook.SignBody(secret, body))

	m, err := webhook.VerifyBody(header, body, []webhook.Secret{secret})
	fmt.Println(m.ID, err)
	// Output: evt_1 <nil>
}

// A shop's receiver: verified, deduplicated, limited to the gateway's addresses.
func ExampleHandler() {
	secret := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := webhook.FromContext(r.Context())
		if event.Type == webhook.PaymentConfirmed {
			fmt.Println("paid:", *event.Data.Payment.OrderID)
		}
		w.WriteHeader(http.StatusNoContent) // 2xx: handled. Anything else: the gateway tries again.
	})
	receiver, err := webhook.Handler(orders, webhook.Options{
		Secrets: []webhook.Secret{secret},
		Allow:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Limit:   webhook.RateLimit{PerSecond: 50, Burst: 200},
		Now:     func() time.Time { return time.Unix(1795428002, 0) }, // only for this example
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	body, header := savedRequest(secret)
	post := func(addr string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/hooks", bytes.NewReader(body))
		r.Header, r.RemoteAddr = header, addr
		w := httptest.NewRecorder()
		receiver.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	post("192.0.2.1:4711", body)
	post("192.0.2.1:4711", body)               // a retry after an answer that got lost
	post("192.0.2.1:4711", []byte("tampered")) // not what was signed
	post("203.0.113.9:4711", body)             // not from the gateway
	// Output:
	// paid: A-17
	// 204
	// 200
	// 401
	// 403
}

func ExampleMemoryGuard() {
	guard := must(webhook.NewMemoryGuard(webhook.GuardOptions{TTL: 24 * time.Hour, Max: 10_000}))
	names := map[webhook.ClaimState]string{webhook.ClaimWon: "won", webhook.ClaimBusy: "busy", webhook.ClaimDone: "done"}
	claim := func() webhook.Claim {
		c := must(guard.Claim(context.Background(), "evt_1"))
		fmt.Println(names[c.State])
		return c
	}
	first := claim()
	claim()
	guard.Release(context.Background(), first) // handling failed
	second := claim()
	guard.Commit(context.Background(), second) // handling succeeded
	claim()
	// Output:
	// won
	// busy
	// won
	// done
}

func ExampleEncode() {
	created := time.Date(2026, 11, 23, 10, 0, 0, 123e6, time.UTC)
	body, err := webhook.Encode(webhook.Event{
		ID: "evt_1", Type: webhook.WebhookTest, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(created),
		Timestamp: created.Unix(), Nonce: "0123456789abcdef0123456789abcdef", MerchantID: "mer_1",
		Data: webhook.Data{Endpoint: &webhook.Endpoint{ID: "we_1", URL: "https://shop.example/hooks?a=1&b=2",
			Status: "enabled"}},
	})
	fmt.Println(err)
	os.Stdout.Write(body)
	// Output: <nil>
	// {"id":"evt_1","type":"webhook.test","api_version":"2026-11-01","created_at":"2026-11-23T10:00:00.123Z","timestamp":1795428000,"nonce":"0123456789abcdef0123456789abcdef","merchant_id":"mer_1","data":{"endpoint":{"id":"we_1","url":"https://shop.example/hooks?a=1&b=2","status":"enabled","disabled_reason":null,"secret_created_at":null,"secret_expires_at":null}}}
}

func ExampleDecode() {
	event, err := webhook.Decode(
		[]byte(`{"id":"evt_1","type":"payment.late","data":{"payment":{"id":"pay_1","late":true}}}`))
	fmt.Println(event.Type, event.Data.Payment.Late, err)
	// Output: payment.late true <nil>
}

func ExampleMatches() {
	for _, pattern := range []string{"*", "payment.*", "payment.confirmed", "endpoint.*"} {
		fmt.Println(pattern, webhook.ValidPattern(pattern), webhook.Matches(pattern, webhook.PaymentConfirmed),
			webhook.Matches(pattern, webhook.EndpointDisabled))
	}
	// Output:
	// * true true true
	// payment.* true true false
	// payment.confirmed true true false
	// endpoint.* false false false
}

func ExampleSchema() {
	schema := webhook.Schema(webhook.PaymentConfirmed)
	fmt.Println(strings.Contains(string(schema), `"title": "payment.confirmed"`),
		webhook.Schema("payment.unheard_of") == nil)
	// Output: true true
}

// savedRequest is a golden body, signed as the gateway would at 1795428000.
func savedRequest(secret webhook.Secret) ([]byte, http.Header) {
	f := must(os.Open("testdata/payment.confirmed.json"))
	defer f.Close()
	body := must(io.ReadAll(f))
	event := must(webhook.Decode(body))
	header := http.Header{}
	webhook.Secrets{Current: secret}.SetHeaders(header, event.ID, time.Unix(1795428000, 0), 1, body)
	return body, header
}

// An endpoint with Ed25519 on is verified by the gateway's published keys alone. The document is read over https every
// hour, and anew when no key fits; while it cannot be read, the last copy serves on.
func ExampleWithPublicKeys() {
	gateway := must(webhook.NewSigningKey(nil)) // the private half never leaves the gateway
	document := must(json.Marshal(webhook.KeySet{Keys: []webhook.KeySetKey{
		webhook.NewKeySetKey("sgk_1", gateway.Public(), time.Unix(1795420000, 0), nil),
	}}))
	keys := must(webhook.ParseKeySet(document))

	body := []byte(`{"id":"evt_1","type":"payment.confirmed","merchant_id":"mer_1"}`)
	header := http.Header{}
	leaked := must(webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	sent := webhook.Secrets{Current: leaked, SigningKeys: []webhook.SigningKey{gateway}}
	sent.SetHeaders(header, "evt_1", time.Unix(1795428000, 0), 1, body)

	clock := webhook.WithNow(func() time.Time { return time.Unix(1795428002, 0) })
	event, err := webhook.Verify(header, body, nil, webhook.WithPublicKeys("mer_1", keys...), clock)
	fmt.Println(event.Type, err)

	_, err = webhook.Verify(header, body, nil, webhook.WithPublicKeys("mer_2", keys...), clock)
	fmt.Println(errors.Is(err, webhook.ErrMerchant))

	// a forger has the secret alone
	webhook.Secrets{Current: leaked}.SetHeaders(header, "evt_1", time.Unix(1795428000, 0), 1, body)
	_, err = webhook.Verify(header, body, nil, webhook.WithPublicKeys("mer_1", keys...), clock)
	fmt.Println(errors.Is(err, webhook.ErrBadSignature))
	// Output:
	// payment.confirmed <nil>
	// true
	// true
}

// A merchant checks that a block holds the transfer that an event told of, without the gateway and without a node. What
// remains is to look up whether the chain has that block.
func ExampleVerifyProof() {
	var saved struct {
		Payment webhook.Payment      // from your own record, or from a verified event
		Proof   webhook.PaymentProof // what GET /api/v1/payments/{id}/proof answered
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/proof.json")), &saved); err != nil {
		fmt.Println(err)
		return
	}
	found, err := webhook.VerifyProof(saved.Payment, saved.Proof)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Amount, found.Transfers[0].BlockNumber, found.Transfers[0].BlockHash)

	saved.Proof.Transfers[0].Amount = "1" + saved.Proof.Transfers[0].Amount
	_, err = webhook.VerifyProof(saved.Payment, saved.Proof)
	fmt.Println(errors.Is(err, webhook.ErrProof), err)
	// Output:
	// 1030000000000000000 13998626 0x68985b6b06bb5c6012393145729babb983fc16c50ec5207972ddda02de02f7e2
	// true webhook: the proof does not hold: transfer 0: the log moves another amount
}
