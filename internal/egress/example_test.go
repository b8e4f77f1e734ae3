package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ctrip-gateway/ctrip/internal/egress"
)

func ExampleClient_Do() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Content-Type"), body)
	}))
	defer receiver.Close()

	rules, _ := egress.ParseAllow("127.0.0.0/8, ::1")
	client, err := egress.New(egress.Options{Allow: rules})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	r, err := client.Do(context.Background(), egress.Request{
		Tenant: egress.Tenant{Merchant: "mer_1"}, URL: receiver.URL,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"a":1}`),
	})
	fmt.Println(r.Status, string(r.Body), r.RemoteIP, err)
	// Output: 202 POST application/json {"a":1} 127.0.0.1 <nil>
}

// A denied address is never connected to.
func ExampleClient_Do_blocked() {
	client, _ := egress.New(egress.Options{RequireHTTPS: true})
	defer client.Close()
	_, err := client.Do(context.Background(), egress.Request{URL: "https://169.254.169.254/latest/meta-data"})
	var e *egress.Error
	fmt.Println(errors.As(err, &e), e.Kind, e.ByForm)
	fmt.Println(err)
	// Output:
	// true blocked true
	// blocked: the URL must not point to a link-local address
}

func ExampleClient_CheckURL() {
	client, _ := egress.New(egress.Options{RequireHTTPS: true})
	defer client.Close()
	for _, raw := range []string{"https://Bücher.example./hook", "http://bücher.example/", "https://2130706433/",
		"https://localhost/", "https://shop.example:6379/"} {
		fmt.Println(client.CheckURL(egress.Tenant{Merchant: "mer_1"}, raw))
	}
	// Output:
	// https://xn--bcher-kva.example/hook <nil>
	//  url must start with https://
	//  url must not use a numeric, octal, hexadecimal or shortened form of an IP address
	//  url must not point to localhost
	//  url must use port 80 or 443
}

func ExampleParseAllow() {
	rules, err := egress.ParseAllow("127.0.0.0/8, [fc00::/7]:8080, mer_1=10.0.0.0/8:9000-9999")
	for _, r := range rules {
		fmt.Println(r)
	}
	fmt.Println(err)
	_, err = egress.ParseAllow("10.1.2.3/8")
	fmt.Println(err)
	// Output:
	// 127.0.0.0/8
	// [fc00::/7]:8080
	// mer_1=10.0.0.0/8:9000-9999
	// <nil>
	// entry "10.1.2.3/8": has bits beyond its prefix length; did you mean 10.0.0.0/8?
}

func ExampleScoped() {
	rules, _ := egress.ParseAllow("10.0.0.0/8:443")
	fmt.Println(egress.Scoped(rules)[0])
	// Output: WEBHOOK_URL=10.0.0.0/8:443
}

func ExampleClassify() {
	malformed := errors.New(`malformed HTTP response "SSH-2.0-OpenSSH"`)
	fmt.Println(egress.Classify(context.DeadlineExceeded), egress.Classify(io.EOF), egress.Classify(malformed))
	// Output: timeout reset protocol
}

func ExampleTLSSettings_Check() {
	fmt.Println(egress.TLSSettings{SPKIPins: []string{"not a pin"}}.Check())
	fmt.Printf("%+v\n", egress.TLSSettings{ClientKeyPEM: "a private key"})
	// Output:
	// spki_pins entry 1 is not the base64 of 32 bytes
	// [redacted]
}
