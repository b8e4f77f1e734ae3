package receivertest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/receivertest"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// A receiver that believes everything fails wherever something should have been refused.
func ExampleRun() {
	secret, err := webhook.NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		panic(err)
	}
	guard, err := webhook.NewMemoryGuard(webhook.GuardOptions{})
	if err != nil {
		panic(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	careful, err := webhook.Handler(ok, webhook.Options{Secrets: []webhook.Secret{secret}, Guard: guard})
	if err != nil {
		panic(err)
	}
	for _, handler := range []http.Handler{careful, ok} {
		receiver := httptest.NewServer(handler)
		report, err := receivertest.Run(context.Background(), receivertest.Options{URL: receiver.URL, Secret: secret,
			Now: time.Now})
		fmt.Println(report.OK(), report.Failed > 10, err)
		receiver.Close()
	}
	// Output:
	// true false <nil>
	// false true <nil>
}
