package test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// startDevnet runs a geth node in this process that mines a block a second.
func startDevnet(t *testing.T) *devnet.Chain {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx := t.Context()
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func gethNode(c *devnet.Chain, depth int) gateway.Chain {
	return gateway.Chain{Name: "geth", RPC: c.URL(), ChainID: devnet.ChainID, Token: strings.ToLower(c.Token()),
		Depth: depth}
}

// TestLineOnGeth is the whole line on go-ethereum's node, in coin and in token.
func TestLineOnGeth(t *testing.T) {
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2))
	for _, asset := range []string{"native", devnet.TokenSymbol} {
		p := h.create(t.Context(), "geth-"+asset, asset, "1000000000000")
		var err error
		if asset == "native" {
			_, err = c.SendNative(t.Context(), c.DemoPayer(), p.Address, big.NewInt(1e12))
		} else {
			_, err = c.SendToken(t.Context(), c.DemoPayer(), p.Address, big.NewInt(1e12))
		}
		if err != nil {
			t.Fatal(err)
		}
		h.expectLine(p)
	}
}

// TestLineOnAnvil is the same on a node that is not geth's code.
func TestLineOnAnvil(t *testing.T) {
	url := testkit.Anvil(t, "--block-time", "1", "--chain-id", "31337")
	h := newFixture(t, gateway.Chain{Name: "anvil", RPC: url, ChainID: 31337, Depth: 2})
	p := h.create(t.Context(), "anvil-1", "native", "1000000000000")
	// Anvil's first account is unlocked; its key is in every tutorial.
	rpc(t, h.Client, url,
		fmt.Sprintf(
			`{"jsonrpc":"2.0","id":1,"method":"eth_sendTransaction","params":[{"from":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266","to":%q,"value":"0xe8d4a51000"}]}`, p.Address))
	h.expectLine(p)
}

// expectLine waits until a payment is confirmed and its three events are there, then verifies both signatures of each
// with implementations that are not ours.
func (h *fixture) expectLine(p client.Payment) {
	h.t.Helper()
	var got []testkit.Received
	for _, kind := range []webhook.EventType{webhook.PaymentCreated, webhook.PaymentDetected, webhook.PaymentConfirmed} {
		got = append(got, h.receiver.WaitFor(h.t, func(r testkit.Received) bool {
			e, err := webhook.Decode(r.Body)
			return err == nil && e.Type == kind && e.Data.Payment != nil && e.Data.Payment.ID == p.ID
		}, 60*time.Second))
	}
	if status := h.status(p.ID); status != "confirmed" {
		h.t.Fatalf("the payment is %s", status)
	}
	library, err := standard.NewWebhook(h.secret.RevealStandard())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range got {
		if err := library.Verify(r.Body, r.Header); err != nil {
			h.t.Errorf("%s: the Standard Webhooks library says %v", r.Type(), err)
		}
		if mac := openssl(h.t, h.secret.Reveal(), r.Body); mac != r.Header.Get("X-Webhook-Signature") {
			h.t.Errorf("%s: openssl says %s, the header %s", r.Type(), mac, r.Header.Get("X-Webhook-Signature"))
		}
		if r.Header.Get("User-Agent") != webhook.UserAgent || r.Header.Get("webhook-attempt") != "1" ||
			r.Header.Get("traceparent") == "" {
			h.t.Errorf("%s: headers %v", r.Type(), r.Header)
		}
	}
}

// openssl computes the hex HMAC-SHA256 of a body.
func openssl(t *testing.T, key string, body []byte) string {
	t.Helper()
	cmd := exec.Command("openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString([]byte(key)),
		"-r")
	cmd.Stdin = strings.NewReader(string(body))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	mac, _, _ := strings.Cut(string(out), " ")
	return mac
}

func rpc(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	res, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Error *struct{ Message string }
	}
	b := new(strings.Builder)
	if _, err := bufio.NewReader(res.Body).WriteTo(b); err != nil {
		t.Fatal(err)
	}
	gateway.Decode(t, []byte(b.String()), &answer)
	if answer.Error != nil {
		t.Fatal(answer.Error.Message)
	}
}
