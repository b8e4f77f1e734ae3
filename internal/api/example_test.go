package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/api"
)

func ExampleNew() {
	server, err := api.New(api.Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/nothing/here", nil)
	r.Header.Set("X-Request-Id", "order-17")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Print(w.Body)
	// Output:
	// 404 application/problem+json
	// {"type":"/docs#problem-not_found","title":"There is no such thing","status":404,"code":"not_found","detail":"No route has this path; see /docs.","request_id":"order-17"}
}

func ExampleUnprocessable() {
	p := api.Unprocessable(api.FieldError{Field: "url", Message: "must not be an address of the gateway's own network",
		Example: "https://shop.example/webhooks"})
	fmt.Println(p.Status, p)
	// Output: 422 unprocessable: 1 field is not as it should be: url.
}

func ExampleOptional() {
	for _, body := range []string{`{}`, `{"max_in_flight":null}`, `{"max_in_flight":5}`} {
		var u api.WebhookEndpointUpdate
		if err := json.Unmarshal([]byte(body), &u); err != nil {
			panic(err)
		}
		switch l := u.MaxInFlight; {
		case !l.Set:
			fmt.Println("keep it")
		case l.Value == nil:
			fmt.Println("back to the default")
		default:
			fmt.Println("set it to", *l.Value)
		}
	}
	// Output:
	// keep it
	// back to the default
	// set it to 5
}
