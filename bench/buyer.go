package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// boundless raises the limits of a merchant, which are not what is measured.
var boundless = []string{"API_RATE=1000000", "API_BURST=1000000", "MAX_OPEN_PAYMENTS=10000000"}

// startChain runs a chain of geth's own code until the bench ends.
func startChain(t testkit.TB) gateway.Chain {
	t.Helper()
	chain, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- chain.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done); must(t, chain.Close()) })
	return gateway.Chain{Name: "geth", RPC: chain.URL(), ChainID: devnet.ChainID, Token: strings.ToLower(chain.Token()),
		PollInterval: "1s"}
}

// buyer asks a gateway for payments over REST, with the keys in turn.
type buyer struct {
	t       testkit.TB
	gateway *gateway.Gateway
	client  *http.Client
	keys    []string
	next    int // numbers payments over all runs
}

func newBuyer(t testkit.TB, h *gateway.Gateway, connections int) *buyer {
	return &buyer{t: t, gateway: h, client: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections},
	}}
}

// create makes payment number i, with an idempotency key, and returns its id.
func (b *buyer) create(i int) (string, error) {
	body := fmt.Appendf(nil,
		`{"chain":%q,"asset":"native","amount":"1000000000000000000","order_id":"order-%d","metadata":{"cart":"%d"}}`,
		b.gateway.Chain, i, i)
	var p struct {
		ID string `json:"id"`
	}
	err := b.call(b.keys[i%len(b.keys)], http.MethodPost, "/api/v1/payments", fmt.Sprintf("key-%d", i), body,
		http.StatusCreated, &p)
	return p.ID, err
}

// call makes a request that has to be answered with status.
func (b *buyer) call(key, method, path, idempotencyKey string, body []byte, status int, out any) error {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.gateway.APIURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != status {
		return fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	return json.Unmarshal(answer, out)
}

// take reserves n numbers of payments.
func (b *buyer) take(n int) (first int) {
	first = b.next
	b.next += n
	return first
}
