package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Merchant is a merchant with an account key and an API key.
type Merchant struct{ ID, Key string }

// Endpoint is a webhook endpoint and what it is signed with.
type Endpoint struct {
	ID     string
	Secret webhook.Secret
}

// NewMerchant makes a merchant with ctripctl.
func (g *Gateway) NewMerchant() Merchant {
	g.t.Helper()
	xpub, err := devnet.NewXPub()
	if err != nil {
		g.t.Fatal(err)
	}
	var m struct {
		Merchant struct {
			ID string `json:"id"`
		} `json:"merchant"`
	}
	Decode(g.t, g.Ctl("merchant", "create", "--name", "Shop", "--xpub", xpub, "--json"), &m)
	var k struct {
		Secret string `json:"secret"`
	}
	Decode(g.t, g.Ctl("key", "create", "--merchant", m.Merchant.ID, "--name", "test", "--test", "--json"), &k)
	return Merchant{ID: m.Merchant.ID, Key: k.Secret}
}

// API is a client of the process named api, as the merchant.
func (g *Gateway) API(m Merchant) *client.Client {
	g.t.Helper()
	c, err := client.New(client.Options{URL: g.APIURL, Key: m.Key, HTTPClient: g.Client})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// NewEndpoint makes an endpoint over the API, which must run.
func (g *Gateway) NewEndpoint(m Merchant, in client.WebhookEndpointCreate) Endpoint {
	g.t.Helper()
	e, err := g.API(m).CreateWebhookEndpoint(g.t.Context(), in)
	if err != nil {
		g.t.Fatal(err)
	}
	if e.Secret == nil {
		g.t.Fatalf("%s has no secret", e.ID)
	}
	secret, err := webhook.ParseSecret(*e.Secret)
	if err != nil {
		g.t.Fatal(err)
	}
	return Endpoint{ID: e.ID, Secret: secret}
}

// Call makes one API request by hand, for tests of the wire itself, and returns the status: 0 when there was no answer.
// What is not below 300 leaves out alone; what the API refuses is logged.
func (g *Gateway) Call(key, method, path, idempotencyKey string, in, out any) int {
	g.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			g.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, g.APIURL+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := g.Client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0
	}
	if res.StatusCode < 300 && out != nil {
		Decode(g.t, b, out)
	} else if res.StatusCode >= 400 && res.StatusCode < 500 {
		g.t.Logf("%s %s: %d %s", method, path, res.StatusCode, b)
	}
	return res.StatusCode
}

// Decode parses JSON or ends the test.
func Decode(t testkit.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}
