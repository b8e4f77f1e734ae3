package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/receivertest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// sample is one of the receivers under examples/, as a process.
type sample struct {
	t    *testing.T
	argv []string
	env  []string
	url  string
	log  string // the state, where it is a file of lines
	cmd  *exec.Cmd
}

// samples are the receivers under examples/, each with a secret and a state of its own. They do not run yet.
func samples(t *testing.T, secret webhook.Secret) map[string]*sample {
	t.Helper()
	dir := t.TempDir()
	receiver := filepath.Join(testkit.Programs(t, "examples/receiver-go"), "receiver-go")
	file := filepath.Join(dir, "secret.txt")
	if err := os.WriteFile(file, []byte(secret.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "WEBHOOK_SECRET="+secret.Reveal(), "PORT=0")
	return map[string]*sample{
		"go": {t: t, argv: []string{receiver, "-addr", "127.0.0.1:0", "-secret-file", file, "-db",
			filepath.Join(dir, "go.db")}, env: env},
		"node": {t: t, argv: []string{"node", "../examples/receiver-node/receiver.mjs"},
			env: slices.Concat(env, []string{"STATE=" + filepath.Join(dir, "node.log")}), log: filepath.Join(dir, "node.log")},
		"python": {t: t, argv: []string{"python3", "-B", "../examples/receiver-python/receiver.py"},
			env: slices.Concat(env, []string{"STATE=" + filepath.Join(dir, "python.db")})},
		"php": {t: t, argv: []string{"php", "-S", "127.0.0.1:0", "../examples/receiver-php/receiver.php"},
			env: slices.Concat(env, []string{"STATE=" + filepath.Join(dir, "php.db")})},
	}
}

var listening = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start runs the receiver on a port that is free and waits until it says which.
func (s *sample) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Env = s.env
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		s.cmd.Stderr = s.cmd.Stdout // where php -S speaks
		err = s.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if s.url = listening.FindString(line); s.url == "" {
		s.t.Fatalf("%s does not listen: %q, %v", s.argv[0], line, err)
	}
	go io.Copy(os.Stderr, lines) // until it is killed
}

func (s *sample) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
	s.cmd = nil
}

// tear leaves half a line at the end of the state, as when the power fails.
func (s *sample) tear() {
	s.t.Helper()
	if s.log == "" {
		return
	}
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"id":"evt_half","data":{`)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// orders is what the receiver made of its events.
func (s *sample) orders() map[string]string {
	s.t.Helper()
	res, err := http.Get(s.url + "/orders")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	all := map[string]string{}
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// TestSampleReceivers: each lets through what is ours and new, and nothing else, also over a kill -9.
func TestSampleReceivers(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range samples(t, secret) {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.start()
			defer s.kill()
			fire := func() {
				t.Helper()
				report, err := receivertest.Run(t.Context(), receivertest.Options{URL: s.url + "/hooks",
					EffectURL: s.url + "/orders", Secret: secret, Batches: true, Now: time.Now})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range report.Results {
					if !r.OK {
						t.Errorf("%s: should be %s, got %d, effect %v: %s", r.Name, r.Want, r.Status, *r.Effect, r.Why)
					}
				}
			}
			fire()
			body, err := os.ReadFile("../webhook/testdata/payment.confirmed.json")
			if err != nil {
				t.Fatal(err)
			}
			e, err := webhook.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			post := func(change func([]byte) []byte, id string) int {
				t.Helper()
				body := change(bytes.Clone(body))
				req, err := http.NewRequest(http.MethodPost, s.url+"/hooks", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				webhook.Secrets{Current: secret}.SetHeaders(req.Header, id, time.Now(), 1, body)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				return res.StatusCode
			}
			same := func(b []byte) []byte { return b }
			if status := post(same, e.ID); status != http.StatusOK || s.orders()[e.Data.Payment.ID] != "confirmed" {
				t.Fatalf("answered %d, orders %v", status, s.orders())
			}
			s.kill()
			s.tear()
			s.start()
			before := s.orders()
			if before[e.Data.Payment.ID] != "confirmed" {
				t.Fatalf("forgotten over a kill: %v", before)
			}
			// The same id again, with a status that would show if it were handled anew.
			canceled := func(b []byte) []byte {
				b = bytes.Replace(b, []byte(`"status":"confirmed"`), []byte(`"status":"canceled"`), 1)
				return bytes.Replace(b, []byte(`"sequence":4`), []byte(`"sequence":5`), 1)
			}
			if status := post(canceled, e.ID); status != http.StatusOK || s.orders()[e.Data.Payment.ID] != "confirmed" {
				t.Errorf("a duplicate after a kill: %d, %v", status, s.orders()[e.Data.Payment.ID])
			}
			batch := fmt.Appendf(nil, `{"type":"batch","events":[%s,%s]}`, body,
				bytes.ReplaceAll(canceled(bytes.Clone(body)), []byte(e.ID), []byte("evt_00000000000000000000000009")))
			if status := post(func([]byte) []byte { return batch }, "bat_00000000000000000000000001"); status != http.StatusOK ||
				s.orders()[e.Data.Payment.ID] != "canceled" {
				t.Errorf("a batch with a new event: %d, %v", status, s.orders()[e.Data.Payment.ID])
			}
			fire()
		})
	}
}

// TestSampleReceiversRefuseNoSecret: with an empty or broken secret a receiver does not start; under an empty key
// anybody could sign. PHP has a process of its own for each request, and refuses each.
func TestSampleReceiversRefuseNoSecret(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range samples(t, secret) {
		for _, bad := range []string{"", "whsec_", "whsec_====", "whsec_AAAA", "short",
			strings.TrimRight(secret.Reveal(), "=")} {
			file := filepath.Join(t.TempDir(), "secret.txt")
			if err := os.WriteFile(file, []byte(bad+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "php" {
				refusesAll(t, s, bad)
				continue
			}
			argv := slices.Clone(s.argv)
			if i := slices.Index(argv, "-secret-file"); i >= 0 {
				argv[i+1] = file
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.Env = append(slices.Clone(s.env), "WEBHOOK_SECRET="+bad)
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || ctx.Err() != nil {
				t.Errorf("%s runs with the secret %q: %v", name, bad, err)
			}
			cancel()
		}
	}
}

// refusesAll starts a receiver with a bad secret and asks it with a request that is signed under the empty key.
func refusesAll(t *testing.T, s *sample, bad string) {
	t.Helper()
	broken := *s
	broken.env = append(slices.Clone(s.env), "WEBHOOK_SECRET="+bad)
	broken.start()
	defer broken.kill()
	body, id, now := `{"id":"evt_1","type":"payment.confirmed"}`, "evt_1", strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte(id + "." + now + "." + body))
	req, err := http.NewRequest(http.MethodPost, broken.url+"/hooks", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"webhook-id": id, "webhook-timestamp": now,
		"webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("with the secret %q it answers %s", bad, res.Status)
	}
}

// printedPayment is what these programs print of a payment.
type printedPayment struct{ ID, Address string }

// takePayment runs one of the programs under examples/ that create payments.
func (h *fixture) takePayment(argv []string, order, asset, amount string) (
	p printedPayment, printed string, err error) {
	h.t.Helper()
	cmd := exec.Command(argv[0], append(slices.Clone(argv[1:]), order, h.Chain, asset, amount)...)
	cmd.Env = append(os.Environ(), "API_URL="+h.APIURL, "API_KEY="+h.merchant.Key)
	out, err := cmd.CombinedOutput()
	if fields := strings.Fields(string(out)); err == nil && len(fields) == 3 && strings.HasPrefix(fields[2], "http") {
		p = printedPayment{ID: fields[0], Address: fields[1]}
	} else if err == nil {
		h.t.Errorf("%v printed %s", argv, out)
	}
	return p, string(out), err
}

// TestLineToSampleReceivers is the whole line in four languages, from a payment that a program of one creates to the
// receivers of all, and what their merchant can prove afterwards with nothing but a node and an exported document.
func TestLineToSampleReceivers(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2))
	all := samples(t, secret)
	for _, s := range all {
		s.start()
		defer s.kill()
		h.NewEndpoint(h.merchant, client.WebhookEndpointCreate{URL: s.url + "/hooks", Secret: new(secret.Reveal()),
			Ed25519: new(true)})
	}
	paid := map[string]string{} // payment → language that created it
	for language, argv := range h.payers() {
		p, printed, err := h.takePayment(argv, "order-"+language, devnet.TokenSymbol, "0.000001")
		if err != nil {
			t.Fatalf("%s: %v\n%s", language, err, printed)
		}
		if again, _, err := h.takePayment(argv, "order-"+language, devnet.TokenSymbol, "0.000001"); err != nil || again != p {
			t.Errorf("%s: asked again, %v, got %+v instead of %+v", language, err, again, p)
		}
		if _, printed, err := h.takePayment(argv, "refused-"+language, "BTC", "0.000001"); err == nil ||
			!strings.Contains(printed, "unprocessable") || !strings.Contains(printed, "asset") {
			t.Errorf("%s: an asset that does not exist: %v\n%s", language, err, printed)
		}
		if _, err := c.SendToken(t.Context(), c.DemoPayer(), p.Address, big.NewInt(1e12)); err != nil {
			t.Fatal(err)
		}
		paid[p.ID] = language
	}
	for name, s := range all {
		for id, language := range paid {
			testkit.Eventually(t, time.Minute, "the order from "+language+" is confirmed at the receiver in "+name,
				func() bool { return s.orders()[id] == "confirmed" })
		}
	}
	got := h.receiver.WaitFor(t, func(r testkit.Received) bool { return r.Type() == string(webhook.PaymentConfirmed) },
		time.Minute)
	h.prove(c, got)
	h.evidence(got.ID())
}

// prove saves a request as a receiver would and holds it against the chain.
func (h *fixture) prove(c *devnet.Chain, r testkit.Received) {
	h.t.Helper()
	dir := h.t.TempDir()
	var saved bytes.Buffer
	if err := r.Header.Write(&saved); err != nil {
		h.t.Fatal(err)
	}
	saved.WriteString("\r\n")
	saved.Write(r.Body)
	request, secret := filepath.Join(dir, "saved.http"), filepath.Join(dir, "secret.txt")
	for path, content := range map[string][]byte{request: saved.Bytes(), secret: []byte(h.secret.Reveal())} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	var v struct {
		Verified  bool `json:"verified"`
		Transfers []struct{ Finding, Reason string }
	}
	gateway.Decode(h.t, h.Ctl("webhook", "verify", "--secret-file", secret, "--request", request, "--rpc", c.URL(),
		"--json"), &v)
	if !v.Verified || len(v.Transfers) != 1 || v.Transfers[0].Finding != "proven" {
		h.t.Errorf("%+v", v)
	}
}

// evidence exports what is known of an event's delivery, checks it with the published keys, and spoils it.
func (h *fixture) evidence(eventID string) {
	h.t.Helper()
	var delivered client.Delivery
	testkit.Eventually(h.t, 30*time.Second, "a delivery of the event is delivered", func() bool {
		for d, err := range h.api.Deliveries(h.t.Context(), client.ListDeliveriesParams{EventID: &eventID,
			State: new(client.DeliveryStateDelivered)}) {
			if err != nil {
				h.t.Fatal(err)
			}
			delivered = d
		}
		return delivered.ID != ""
	})
	res, err := h.Client.Get(h.APIURL + "/.well-known/webhook-keys.json")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var keys bytes.Buffer
	if _, err := keys.ReadFrom(res.Body); err != nil {
		h.t.Fatal(err)
	}
	dir := h.t.TempDir()
	document, keyFile := filepath.Join(dir, "evidence.json"), filepath.Join(dir, "keys.json")
	if err := os.WriteFile(keyFile, keys.Bytes(), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.Ctl("delivery", "evidence", delivered.ID, "--out", document)
	var v struct {
		OK        bool
		Attempts  int
		MessageID string `json:"message_id"`
	}
	gateway.Decode(h.t, h.Ctl("delivery", "check", document, "--keys-file", keyFile, "--json"), &v)
	if !v.OK || v.Attempts < 1 || v.MessageID != eventID {
		h.t.Errorf("%+v", v)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.Contains(string(text), h.secret.Reveal()) || strings.Contains(string(text), "whsk_") {
		h.t.Error("a secret is in the evidence")
	}
	spoiled := bytes.Replace(text, []byte(`"class":"delivered"`), []byte(`"class":"throttled"`), 1)
	if bytes.Equal(spoiled, text) {
		h.t.Fatal("nothing to spoil")
	}
	if err := os.WriteFile(document, spoiled, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if out, err := exec.Command(gateway.Binary(h.t, "ctripctl"), "delivery", "check", document, "--keys-file",
		keyFile).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("the seal does not fit")) {
		h.t.Errorf("spoiled evidence: %v\n%s", err, out)
	}
}
