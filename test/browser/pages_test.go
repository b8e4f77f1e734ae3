package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ctrip-gateway/ctrip/client"
)

// TestPortalInABrowser: signing in, and every action of the portal, with answers that appear without loading the page
// anew; then every page in two widths and two sets of colours.
func TestPortalInABrowser(t *testing.T) {
	env := gateway(t)
	b := open(t, chromium(t))
	api := env["API_URL"]
	b.as(1280, "light")
	b.do(chromedp.Navigate(api+"/portal"), chromedp.SendKeys("#key", env["API_KEY"]+"\r"),
		chromedp.WaitVisible("#overview"))
	b.sees("Webhooks of the last 24 hours")

	b.do(chromedp.Navigate(api+"/portal/endpoints/new"), chromedp.SendKeys("#field-url", env["SHOP_URL"]+"/hooks"),
		chromedp.Click(".buttons button"), chromedp.WaitVisible("#secret"))
	b.sees("whsec_")
	b.do(chromedp.Reload(), chromedp.WaitVisible("#stats"), chromedp.WaitNotPresent("#secret"))
	var endpoint string
	b.do(chromedp.Location(&endpoint))
	b.do(chromedp.Click("#test button"), chromedp.WaitVisible("#attempts"))
	b.sees("webhook-attempt 1") // the receiver knows another secret: what matters is that its answer is here
	b.do(chromedp.Navigate(endpoint), chromedp.Click("#actions details summary"),
		chromedp.Click("#actions form[action$=rotate] button"), chromedp.WaitVisible("#secret"))
	b.sees("signs for another")
	b.do(chromedp.SendKeys("#reason", "moving"), chromedp.Click("#actions form[action$=disable] button"))
	b.sees("The endpoint is disabled")
	b.do(chromedp.Click("#actions form[action$=enable] button"))
	b.sees("The endpoint is enabled")
	b.do(chromedp.Click("#replay button[name=dry_run]"))
	b.sees("Nothing was sent")
	b.do(chromedp.Click("#replay .buttons button:not([name])"))
	b.sees("done")
	b.do(chromedp.Navigate(api+"/portal/keys"), chromedp.SendKeys("#field-name", "till"),
		chromedp.Click(`input[value="payments:read"]`), chromedp.Click("form.card .buttons button"),
		chromedp.WaitVisible("#secret"))
	b.sees("ck_test_")
	p := payment(t, env, "portal-1")
	b.do(chromedp.Navigate(api+"/portal/payments/"+p.ID), chromedp.Click("form[action$=cancel] button"))
	b.sees("The payment was canceled")
	b.healthy("the actions of the portal")

	b.do(chromedp.Navigate(api + "/portal/payments"))
	b.sees("portal-1")
	payment(t, env, "portal-2")
	b.sees("portal-2") // without loading the page anew

	b.do(chromedp.Navigate(api+"/docs"), chromedp.SendKeys("#search", "rotate secret overlap"))
	b.sees("place")
	var hidden bool
	b.do(chromedp.Evaluate(`document.getElementById("createPayment").hidden &&
		!document.getElementById("rotateWebhookSecret").hidden`, &hidden), chromedp.Click("#rotateWebhookSecret button.copy"))
	if !hidden {
		t.Error("the search of the reference hides nothing, or what it looks for")
	}
	b.healthy("the search of the reference")

	delivery := firstLink(b, api+"/portal/deliveries", "a[href^='/portal/deliveries/dlv_']")
	paid := firstLink(b, api+"/portal/payments?status=confirmed", "a[href^='/portal/payments/pay_']")
	pages := map[string]string{"overview": "/portal/overview", "payments": "/portal/payments", "payment": paid,
		"deliveries": "/portal/deliveries", "delivery": delivery, "endpoints": "/portal/endpoints",
		"endpoint": strings.TrimPrefix(endpoint, api), "edit": strings.TrimPrefix(endpoint, api) + "/edit",
		"keys":     "/portal/keys",
		"activity": "/portal/activity", "docs": "/docs", "front": "/"}
	for _, width := range []int64{390, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			b.as(width, scheme)
			for name, path := range pages {
				b.do(chromedp.Navigate(api + path))
				what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				b.healthy(what)
				b.picture(what)
			}
		}
	}
}

// provider is a wallet as extensions put it into a page. It begins on another chain, and notes what it is asked for.
const provider = `window.ethereum = { chain: "0x1", calls: [], async request({ method, params }) {
	this.calls.push({ method, params });
	switch (method) {
	case "eth_requestAccounts": return ["%s"];
	case "eth_chainId": return this.chain;
	case "wallet_switchEthereumChain": this.chain = params[0].chainId; return null;
	case "eth_sendTransaction": this.sent = params[0]; return "0x" + "ab".repeat(32);
	}
	throw Object.assign(new Error("not supported"), { code: 4200 });
} };`

// TestCheckoutInABrowser: a payer with a wallet in the browser pays with two clicks, sees the payment complete without
// loading the page anew, and is on the way back to the shop. The page is small.
func TestCheckoutInABrowser(t *testing.T) {
	env := gateway(t)
	browser := chromium(t)
	for _, asset := range []string{"native", env["TOKEN_SYMBOL"]} {
		p := payment(t, env, "checkout-"+asset, asset)
		b := open(t, browser, fmt.Sprintf(provider, env["PAYER_ADDRESS"]))
		b.as(390, "light")
		b.do(chromedp.Navigate(*p.CheckoutURL), chromedp.WaitVisible("[data-wallet]"))
		b.sees("Waiting for your payment")
		b.mu.Lock()
		size := b.bytes
		b.mu.Unlock()
		if size == 0 || size > 100<<10 {
			t.Errorf("the checkout page is %.0f bytes", size)
		}
		for _, scheme := range []string{"dark", "light"} {
			for _, width := range []int64{1280, 390} {
				b.as(width, scheme)
				what := fmt.Sprintf("checkout-%s-%d-%s", asset, width, scheme)
				b.healthy(what)
				b.picture(what)
			}
		}
		b.do(chromedp.Click("[data-wallet]"))
		b.sees("Your wallet has sent it")
		var sent json.RawMessage
		var chain string
		b.do(chromedp.Evaluate("window.ethereum.sent", &sent), chromedp.Evaluate("window.ethereum.chain", &chain))
		if chain == "0x1" {
			t.Error("the wallet was not asked for another chain")
		}
		rpc(t, env["RPC_URL"], "eth_sendTransaction", sent)
		b.sees("Payment complete")
		b.sees("You are taken back in")
		b.healthy("checkout of " + asset + ", paid")
		b.picture("checkout-" + asset + "-paid")
		b.do(chromedp.Click("[data-stay]"))
	}
	// By keyboard alone: the first stops are the buttons of the page, and what has the focus is seen to have it.
	p := payment(t, env, "keyboard", "native")
	b := open(t, browser)
	b.do(chromedp.Navigate(*p.CheckoutURL), chromedp.WaitVisible("#live"))
	stops := make(map[string]bool)
	for range 6 {
		var stop string
		b.do(chromedp.KeyEvent("\t"), chromedp.Evaluate(`document.activeElement.getAttribute("aria-label") ||
			document.activeElement.id || document.activeElement.textContent`, &stop))
		stops[stop] = true
	}
	for _, want := range []string{"Copy the amount", "Copy the address"} {
		if !stops[want] {
			t.Errorf("the keyboard does not reach %q: %v", want, stops)
		}
	}
}

// payment asks for a small payment of the chain's coin, or of another asset.
func payment(t *testing.T, env map[string]string, order string, asset ...string) client.Payment {
	t.Helper()
	api, err := client.New(client.Options{URL: env["API_URL"], Key: env["API_KEY"]})
	if err != nil {
		t.Fatal(err)
	}
	ask := client.PaymentCreate{Chain: env["CHAIN"], Asset: "native", AmountDecimal: new("0.001"), OrderID: &order,
		RedirectURL: new(env["SHOP_URL"] + "/")}
	if len(asset) > 0 {
		ask.Asset = asset[0]
	}
	p, err := api.CreatePayment(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// firstLink opens a page and returns where the first link of a kind leads.
func firstLink(b *tab, page, selector string) string {
	b.t.Helper()
	var path string
	var ok bool
	b.do(chromedp.Navigate(page), chromedp.WaitVisible(selector), chromedp.AttributeValue(selector, "href", &path, &ok))
	return path
}

// rpc asks the toy chain.
func rpc(t *testing.T, url, method string, params ...json.RawMessage) {
	t.Helper()
	var arguments map[string]any
	if err := json.Unmarshal(params[0], &arguments); err != nil {
		t.Fatal(err)
	}
	delete(arguments, "chainId")
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": []any{arguments}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Result string
		Error  json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s: %v %s", method, err, answer.Error)
	}
}
