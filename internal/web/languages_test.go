package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestLanguagesAreWhole: every text of the checkout page has its words in every language, with the same things put into
// it in the same order; and no language has words that nothing says.
func TestLanguagesAreWhole(t *testing.T) {
	texts := make(map[string]bool)
	said := regexp.MustCompile(`(?:Text|say)\(?\s*"((?:[^"\\]|\\.)*)"((?:\s*\+\s*"(?:[^"\\]|\\.)*")*)`)
	joined := regexp.MustCompile(`\s*\+\s*"((?:[^"\\]|\\.)*)"`)
	for _, name := range []string{"checkout_view.go", "code.go", "languages.go", "templates/checkout.html",
		"static/checkout.js"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllStringSubmatch(string(source), -1) {
			text := m[1]
			for _, more := range joined.FindAllStringSubmatch(m[2], -1) {
				text += more[1]
			}
			texts[text] = true
		}
	}
	for _, word := range []string{"Copied", "Failed"} {
		texts[word] = true
	}
	if len(texts) < 60 {
		t.Fatalf("%d texts", len(texts))
	}
	files, err := filepath.Glob("languages/*.json")
	if err != nil || len(files) != 5 {
		t.Fatalf("languages %v, %v", files, err)
	}
	verbs := regexp.MustCompile(`%[sd]`)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var words map[string]string
		if err := json.Unmarshal(raw, &words); err != nil {
			t.Fatal(err)
		}
		for text := range texts {
			own, ok := words[text]
			if !ok || own == "" || !slices.Equal(verbs.FindAllString(text, -1), verbs.FindAllString(own, -1)) {
				t.Errorf("%s: %q is %q", name, text, own)
			}
		}
		for text := range words {
			if !texts[text] {
				t.Errorf("%s: nothing says %q", name, text)
			}
		}
	}
}

func TestCheckoutSpeaksLanguages(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	p := h.payment(nil)
	read := func(query, accept string) page {
		r := httptest.NewRequest(http.MethodGet, "/pay/"+p.Token+query, nil)
		r.Header.Set("Accept-Language", accept)
		return (&browser{h: h}).do(r)
	}
	for _, c := range []struct{ query, accept, lang, title string }{
		{"", "", "en", "Waiting for your payment"}, {"", "ja, nl;q=0.5", "en", "Waiting for your payment"},
		{"", "de-AT,de;q=0.9,en;q=0.5", "de", "Warten auf Ihre Zahlung"}, {"", "en;q=0.3, zh-Hant;q=0.8", "zh", "等待您的付款"},
		{"?lang=fr", "de", "fr", "En attente de votre paiement"}, {"?lang=xx", "pt-BR", "pt", "À espera do seu pagamento"},
		{"", "es;q=x, es;q=0.1", "es", "Esperando su pago"}, {"", strings.Repeat("de,", 9000), "de", "Warten auf Ihre Zahlung"},
	} {
		res := read(c.query, c.accept)
		res.want(t, `<html lang="`+c.lang+`">`, c.title)
		if res.Header.Get("Vary") != "Accept-Language" {
			t.Errorf("Vary %q", res.Header.Get("Vary"))
		}
		if c.lang != "en" {
			res.lacks(t, "Send exactly", "Send only", "Pay before", "Order A-17", "MISSING", "%!")
		}
	}
	h.merchant = h.newMerchant(evil, otherXPub)
	p = h.payment(func(r *payments.Request) { r.OrderID = ptr(evil) })
	h.move(p, 20_000_000, models.TransferConfirmed, func(p *models.Payment) {
		p.Status, p.Overpaid = models.PaymentConfirmed, true
	})
	for _, lang := range []string{"en", "de", "es", "fr", "pt", "zh"} {
		res := read("?lang="+lang, "")
		res.want(t, shown, "7.5 USDC")
		res.lacks(t, evil, "%!")
	}
}
