package admin_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const exampleSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func ExampleSign() {
	secret, err := webhook.ParseSecret(exampleSecret)
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := admin.Sign(secret, "", time.Unix(1795428000, 0), 1, []byte(`{"id":"evt_1"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range signed.Lines() {
		fmt.Println(line)
	}
	// Output:
	// content-type: application/json
	// user-agent: ctrip-webhook/1
	// webhook-attempt: 1
	// webhook-id: evt_1
	// webhook-signature: v1,R9NWNfZvhjV965jqECD/RUeWohs/G+Cki7eoYCHjiN4=
	// webhook-timestamp: 1795428000
	// x-webhook-signature: bd404f76e4c4ad3dd6d8eb23056cba3ecb39c3b60b0364e2e273307bb3dd99da
}

func ExampleVerify() {
	secret, err := webhook.ParseSecret(exampleSecret)
	if err != nil {
		fmt.Println(err)
		return
	}
	sent := time.Unix(1795428000, 0)
	body := []byte(`{"id":"evt_1"}`)
	h := http.Header{}
	webhook.Secrets{Current: secret}.SetHeaders(h, "evt_1", sent, 1, body)

	late := admin.Verify(h, body, []webhook.Secret{secret}, sent.Add(time.Hour), 0)
	fmt.Println(late.Verified, late.Schemes[0].Problem)
	fmt.Println(late.Hint)
	// Output:
	// false webhook-timestamp is outside the tolerance: 3600 seconds behind the clock
	// the signature is genuine; to judge an old request as of when it came, give its time with --at
}

func ExampleParseRequest() {
	h, body, err := admin.ParseRequest([]byte("POST /hooks HTTP/1.1\r\nWebhook-Id: evt_1\r\nContent-Length: " +
		"14\r\n\r\n{\"id\":\"evt_1\"}\n"))
	fmt.Println(h.Get("webhook-id"), string(body), err)
	// Output: evt_1 {"id":"evt_1"} <nil>
}
