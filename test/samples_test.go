package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// payers are the programs under examples/ that create payments, by language.
func (h *fixture) payers() map[string][]string {
	h.t.Helper()
	program := filepath.Join(testkit.Programs(h.t, "examples/payment-go"), "payment-go")
	keyFile := filepath.Join(h.t.TempDir(), "key.txt")
	if err := os.WriteFile(keyFile, []byte(h.merchant.Key+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return map[string][]string{
		"go":     {program, "-api", h.APIURL, "-key-file", keyFile},
		"node":   {"node", "../examples/payment-node/payment.mjs"},
		"python": {"python3", "-B", "../examples/payment-python/payment.py"},
		"php":    {"php", "../examples/payment-php/payment.php"},
	}
}

// TestSamplesBuyAgain: a shopper whose payment expired, or whose shop canceled it, gets a new one, and whoever has paid
// gets none.
func TestSamplesBuyAgain(t *testing.T) {
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2))
	for language, argv := range h.payers() {
		buy := func() printedPayment {
			t.Helper()
			p, printed, err := h.takePayment(argv, "again-"+language, devnet.TokenSymbol, "0.000001")
			if err != nil {
				t.Fatalf("%s: %v\n%s", language, err, printed)
			}
			return p
		}
		first := buy()
		if again := buy(); again != first {
			t.Errorf("%s: asked again while it can be paid, got %+v instead of %+v", language, again, first)
		}
		if _, err := h.DB.Exec("UPDATE payments SET expires_at = now() - interval '1 second' WHERE id = $1",
			first.ID); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, time.Minute, "the payment expires", func() bool { return h.status(first.ID) == "expired" })
		second := buy()
		if second == first {
			t.Errorf("%s: the shopper is sent to the payment that expired", language)
		}
		if again := buy(); again != second {
			t.Errorf("%s: asked again for the second, got %+v instead of %+v", language, again, second)
		}
		if _, err := h.api.CancelPayment(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		third := buy()
		if third == second || third == first {
			t.Errorf("%s: the shopper is sent to a payment that was canceled", language)
		}
		if _, err := h.DB.Exec("DELETE FROM idempotency_keys"); err != nil { // as after a day
			t.Fatal(err)
		}
		if again := buy(); again != third {
			t.Errorf("%s: asked again after a day, got %+v instead of %+v", language, again, third)
		}
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), third.Address, big.NewInt(1e12)); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, time.Minute, "the payment is confirmed",
			func() bool { return h.status(third.ID) == "confirmed" })
		if again := buy(); again != third {
			t.Errorf("%s: an order that was paid has another payment: %+v", language, again)
		}
	}
}

// TestSamplesNameTheGateway: without a gateway, or with somebody else at its address, each says where it looked.
func TestSamplesNameTheGateway(t *testing.T) {
	dead := "http://" + testkit.FreeAddr(t)
	program := filepath.Join(testkit.Programs(t, "examples/payment-go"), "payment-go")
	keyFile := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(keyFile, []byte("ck_test_none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for language, argv := range map[string][]string{
		"go":     {program, "-api", dead, "-key-file", keyFile},
		"node":   {"node", "../examples/payment-node/payment.mjs"},
		"python": {"python3", "-B", "../examples/payment-python/payment.py"},
		"php":    {"php", "../examples/payment-php/payment.php"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel() // each waits between its tries
			cmd := exec.Command(argv[0], append(argv[1:], "order-1", "devnet", "native", "1")...)
			cmd.Env = append(os.Environ(), "API_URL="+dead, "API_KEY=ck_test_none")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), dead) || !strings.Contains(strings.ToLower(string(out)), "api") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// attention is what a receiver keeps for a person: event type → what to do.
func (s *sample) attention() map[string]string {
	s.t.Helper()
	res, err := http.Get(s.url + "/attention")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var all []struct{ Event, Type, Payment, Order, Todo string }
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, a := range all {
		if a.Event == "" || a.Payment == "" || a.Todo == "" {
			s.t.Errorf("incomplete: %+v", a)
		}
		out[a.Event] = a.Type + ": " + a.Todo
	}
	return out
}

// post sends an event as the gateway does.
func (s *sample) post(secret webhook.Secret, id string, body []byte) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/hooks", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	webhook.Secrets{Current: secret}.SetHeaders(req.Header, id, time.Now(), 1, body)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		s.t.Errorf("%s: answered %d", id, res.StatusCode)
	}
}

// TestSamplesKeepMoneyForAPerson: no money is taken silently. Each receiver lists what somebody has to look at,
// once, and keeps it over a kill.
func TestSamplesKeepMoneyForAPerson(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	// The pairs are replaced in the golden body of the type; all are one payment unless they say otherwise.
	steps := []struct {
		kind    webhook.EventType
		replace []string
		want    string // "" is nothing to do
	}{
		{webhook.PaymentCreated, nil, ""},
		{webhook.PaymentPartiallyPaid, nil, ""},
		{webhook.PaymentExpired, []string{`"amount_received":"0"`, `"amount_received":"500000"`},
			"payment.expired: paid in part: refund"},
		{webhook.PaymentLate, nil, "payment.late: came too late: ship all the same, or refund"},
		{webhook.PaymentLate, []string{`"status":"expired"`, `"status":"confirmed"`}, ""}, // late money is accepted
		{webhook.PaymentExpired, []string{"pay_00000000000000000000000007", "pay_00000000000000000000000008"}, ""},
		{webhook.PaymentMisdirected, nil, "payment.misdirected: another coin or another chain: refund, or agree with the payer"},
		{webhook.PaymentOverpaid, nil, "payment.overpaid: refund what is more than the amount"},
		{webhook.PaymentConfirmed, nil, ""},
		{webhook.PaymentReorged, nil, "payment.reorged: was paid and is not: stop shipping"},
		{webhook.PaymentConfirmed, nil, ""},
		{webhook.PaymentConfirmed, []string{"pay_00000000000000000000000007", "pay_00000000000000000000000009"},
			"payment.confirmed: the order was given up or paid before: refund, or ship by hand"},
		{webhook.PaymentConfirmed, []string{`"order_id":"A-17"`, `"order_id":"C-1"`, "pay_00000000000000000000000007",
			"pay_0000000000000000000000000a", `"order_current":true`, `"order_current":false`},
			"payment.confirmed: the order was given up or paid before: refund, or ship by hand"},
	}
	type message struct {
		id   string
		body []byte
	}
	var messages []message
	want := map[string]string{}
	for i, step := range steps {
		body, err := os.ReadFile("../webhook/testdata/" + string(step.kind) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("evt_%026d", 100+i)
		replace := append([]string{"evt_00000000000000000000000001", id, `"sequence":4`, fmt.Sprintf(`"sequence":%d`, i+1)},
			step.replace...)
		changed := strings.NewReplacer(replace...).Replace(string(body))
		for j := 0; j < len(step.replace); j += 2 {
			if !strings.Contains(string(body), step.replace[j]) {
				t.Fatalf("%s has no %s", step.kind, step.replace[j])
			}
		}
		messages = append(messages, message{id, []byte(changed)})
		if step.want != "" {
			want[id] = step.want
		}
	}
	for name, s := range samples(t, secret) {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.start()
			defer s.kill()
			for _, m := range messages {
				s.post(secret, m.id, m.body)
				s.post(secret, m.id, m.body)
			}
			check := func() {
				t.Helper()
				if got := s.orders()["pay_0000000000000000000000000a"]; got != "given up" {
					t.Errorf("the order of a payment that has given it up is %q", got)
				}
				got := s.attention()
				for id, todo := range want {
					if got[id] != todo {
						t.Errorf("%s: %q instead of %q", id, got[id], todo)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d lines instead of %d: %v", len(got), len(want), got)
				}
			}
			check()
			s.kill()
			s.start()
			check()
		})
	}
}
