package delivery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func ExampleCall_Header() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	call := Call{
		ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: []byte(`{"test": 2432232314}`), Attempt: 3, At: time.Unix(1614265330, 0),
		Secrets: webhook.Secrets{Current: secret}, Custom: map[string]string{"X-Tenant": "shop", "user-agent": "not mine"},
	}
	h := call.Header()
	for _, name := range []string{"Content-Type", "User-Agent", "X-Tenant", "Webhook-Id", "Webhook-Attempt",
		"Webhook-Timestamp", "Webhook-Signature"} {
		fmt.Printf("%s: %s\n", name, h.Get(name))
	}
	fmt.Println(recordRequest(http.Header{"X-Tenant": {"shop"}, "Webhook-Signature": {"v1,x"}, "Webhook-Id": {"evt_1"}},
		call.Custom))
	// Output:
	// Content-Type: application/json
	// User-Agent: ctrip-webhook/1
	// X-Tenant: shop
	// Webhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek
	// Webhook-Attempt: 3
	// Webhook-Timestamp: 1614265330
	// Webhook-Signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
	// {"Webhook-Id":"evt_1","Webhook-Signature":"[redacted]","X-Tenant":"[redacted]"}
}

func FuzzHeaderJSON(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("X-\x00", "\xff\"\\\u2028\x1f")
	f.Fuzz(func(t *testing.T, name, value string) {
		text := headerJSON(http.Header{name: {value}, "Z": {"1", "2"}}, func(string) bool { return false })
		var back map[string]string
		if err := json.Unmarshal([]byte(text), &back); err != nil || !utf8.ValidString(text) {
			t.Fatalf("%q: %v", text, err)
		}
		for _, r := range text {
			if r == 0 {
				t.Fatalf("NUL in %q", text)
			}
		}
	})
}
