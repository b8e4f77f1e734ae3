package test

import (
	"encoding/json"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// anvilPhrase is the phrase that anvil and hardhat take when they are given none; its money is worth nothing.
const anvilPhrase = "test test test test test test test test test test test junk"

// walletSample runs a program of examples/wallet-node with the modules of test/conformance, and the phrase.
func walletSample(t *testing.T, program string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../examples/wallet-node/" + program)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, program), text, 0o600)
	}
	modules, pathErr := filepath.Abs("conformance/node_modules")
	if err == nil && pathErr == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	if err != nil || pathErr != nil {
		t.Fatal(err, pathErr)
	}
	cmd := exec.Command("node", append([]string{filepath.Join(dir, program)}, args...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(anvilPhrase+"\n"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v (are the modules there? `make setup`)", program, err)
	}
	return string(out)
}

// TestWalletPage is the recipe of docs/wallet.md: a phrase becomes an xpub, the xpub a merchant's, and what was paid to
// their addresses comes home, coin and token, with nothing but the phrase and the exported paths.
func TestWalletPage(t *testing.T) {
	page, err := os.ReadFile("../docs/wallet.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(walletSample(t, "xpub.mjs"))
	for _, line := range lines {
		if len(lines) != 6 || !strings.Contains(string(page), line) {
			t.Fatalf("the page does not show %s of %v", line, lines)
		}
	}
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2))
	var made struct {
		FirstAddress string `json:"first_address"`
		Merchant     struct{ ID string }
	}
	gateway.Decode(t, h.Ctl("merchant", "create", "--name", "Wallet", "--xpub", lines[0], "--json"), &made)
	if made.FirstAddress != lines[1] {
		t.Fatalf("the first address is %s instead of %s", made.FirstAddress, lines[1])
	}
	var key struct{ Secret string }
	gateway.Decode(t, h.Ctl("key", "create", "--merchant", made.Merchant.ID, "--name", "shop", "--test", "--json"), &key)
	h.merchant = gateway.Merchant{ID: made.Merchant.ID, Key: key.Secret}
	h.api = h.API(h.merchant)

	coin := h.create(t.Context(), "coin", "native", "1000000000000000000")
	token := h.create(t.Context(), "token", devnet.TokenSymbol, "1000000")
	ctx, payer := t.Context(), c.DemoPayer()
	_, err = c.SendNative(ctx, payer, coin.Address, big.NewInt(1e18))
	if err == nil {
		_, err = c.SendToken(ctx, payer, token.Address, big.NewInt(1e6))
	}
	gas := strings.TrimSpace(walletSample(t, "xpub.mjs", "1"))
	if err == nil {
		_, err = c.SendNative(ctx, payer, strings.Fields(gas)[1], big.NewInt(1e18))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []client.Payment{coin, token} {
		testkit.Eventually(t, time.Minute, "the payment is confirmed", func() bool { return h.status(p.ID) == "confirmed" })
	}
	book := filepath.Join(t.TempDir(), "addresses.csv")
	if err := os.WriteFile(book, h.Ctl("addresses", "export", "--merchant", made.Merchant.ID), 0o600); err != nil {
		t.Fatal(err)
	}
	const home = "0x00000000000000000000000000000000000c0FFE"
	if out := walletSample(t, "sweep.mjs", c.URL(), book, strings.ToLower(home)); !strings.Contains(out, coin.Address) ||
		strings.Contains(out, token.Address) {
		t.Errorf("coin: %s", out)
	}
	out := walletSample(t, "sweep.mjs", c.URL(), book, strings.ToLower(home), c.Token())
	if !strings.Contains(out, token.Address) || strings.Contains(out, coin.Address) {
		t.Errorf("token: %s", out)
	}
	balances := `{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["` + home + `","latest"]}`
	if got := rpcResult(t, c.URL(), balances); got.Cmp(big.NewInt(9e17)) < 0 || got.Cmp(big.NewInt(1e18)) > 0 {
		t.Errorf("%s wei came home of 10^18", got)
	}
	call := `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"` + c.Token() +
		`","data":"0x70a08231000000000000000000000000` + strings.ToLower(home[2:]) + `"},"latest"]}`
	if got := rpcResult(t, c.URL(), call); got.Cmp(big.NewInt(1e6)) != 0 {
		t.Errorf("%s base units of the token came home", got)
	}
}

// rpcResult is the number that a node answers.
func rpcResult(t *testing.T, url, body string) *big.Int {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Result string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	n, ok := new(big.Int).SetString(strings.TrimPrefix(answer.Result, "0x"), 16)
	if !ok {
		t.Fatalf("%s answers %q", body, answer.Result)
	}
	return n
}
