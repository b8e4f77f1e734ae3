package test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	url := startAnvil(t)
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

// startAnvil installs anvil from npm into a temporary directory and runs it.
func startAnvil(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", dir,
		"@foundry-rs/anvil@1.7.1")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "node_modules/@foundry-rs/anvil-linux-*/bin/anvil"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no anvil binary in %s (%v)", dir, err)
	}
	i := slices.IndexFunc(found, func(path string) bool { return exec.Command(path, "--version").Run() == nil })
	if i < 0 {
		t.Fatalf("none of %v runs here", found)
	}
	addr := testkit.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(found[i], "--host", "127.0.0.1", "--port", port, "--block-time", "1", "--chain-id", "31337")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	listening := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "Listening on") {
				listening <- true
			}
		}
	}()
	select {
	case <-listening:
	case <-time.After(30 * time.Second):
		t.Fatal("anvil does not listen")
	}
	return "http://" + addr
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
