package webhook_test

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// Whatever the headers hold, verifying does not panic, and accepts only what Sign gives for exactly this id, time and
// body.
func FuzzVerify(f *testing.F) {
	body := mustEncode(f, webhook.PaymentConfirmed)
	evt := id("evt", "1")
	s := secret(f, vectorSecret)
	good := webhook.Sign(s, evt, time.Unix(vectorTime, 0), body)
	old := webhook.SignBody(s, body)
	for _, sig := range []string{good, "v1, " + good, "v1,bad " + good, good + "," + good, vectorV1a + " " + good, "v1,",
		"v2," + good, "", " ", good[:30], "v1,v1,v1"} {
		f.Add(evt, strconv.Itoa(vectorTime), sig, old, body)
	}
	f.Add(evt, "01614265330", good, old[:10], body)
	f.Add(evt+".1", "1614265330abc", good, strings.ToUpper(old), []byte("{}"))
	f.Add("bat_1", "-1", good, "", []byte(`{"type":"batch","events":[{}]}`))
	f.Fuzz(func(t *testing.T, webhookID, timestamp, signature, bodySignature string, body []byte) {
		h := http.Header{
			"Webhook-Id": {webhookID}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}, webhook.HeaderSignature: {bodySignature},
		}
		secrets := []webhook.Secret{secret(t, vectorOther), s}
		m, err := webhook.VerifyMessage(h, body, secrets, webhook.WithNow(at(vectorTime)))
		if err == nil {
			unix, atoi := strconv.ParseInt(timestamp, 10, 64)
			if atoi != nil || strconv.FormatInt(unix, 10) != timestamp || unix < vectorTime-300 || unix > vectorTime+300 {
				t.Errorf("accepted timestamp %q", timestamp)
			}
			signed := false
			for _, s := range secrets {
				signed = signed || strings.Contains(signature, webhook.Sign(s, webhookID, time.Unix(unix, 0), body))
			}
			if !signed {
				t.Errorf("accepted signature %q", signature)
			}
			if m.ID != webhookID || len(m.Events) == 0 || !m.Batch && m.Events[0].ID != webhookID ||
				strings.Contains(webhookID, ".") {
				t.Errorf("accepted id %q for %+v", webhookID, m)
			}
		}
		if _, err := webhook.VerifyBody(h, body, secrets); err == nil {
			lower := strings.ToLower(bodySignature)
			if !strings.Contains(lower, webhook.SignBody(s, body)) &&
				!strings.Contains(lower, webhook.SignBody(secrets[0], body)) {
				t.Errorf("accepted body signature %q", bodySignature)
			}
		}
	})
}

// A genuine signature is found among any other text in the header.
func FuzzVerifyFindsTheGoodOne(f *testing.F) {
	for _, around := range []string{"", "v1,", "v1", ",", "v1,Zm9v", "v2,x v1a,y", "  ", "v1,v1,v1,"} {
		f.Add(around, around)
	}
	s := []webhook.Secret{secret(f, vectorSecret)}
	f.Fuzz(func(t *testing.T, before, after string) {
		h := headers(vectorID, vectorTime, before+" "+vectorSig+" "+after)
		if err := webhook.VerifySignature(h, []byte(vectorBody), s, webhook.WithNow(at(vectorTime))); err != nil {
			t.Errorf("hidden by %q and %q: %v", before, after, err)
		}
	})
}

// A secret that parses comes back as issued and is never shown by an error.
func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{vectorSecret, vectorOther, "whsec_", "whsec_====", strings.Repeat("a", 24), "", "\x00",
		"whsec_\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := webhook.ParseSecret(in)
		if err != nil {
			if !s.IsZero() {
				t.Error("a refused secret is not zero")
			}
			return
		}
		if s.Reveal() != in || strings.ContainsAny(in, "\r\n\x00") || len(in) < 24 {
			t.Errorf("accepted %q", in)
		}
		if webhook.SignBody(s, nil) == "" || webhook.Sign(s, "evt_1", fixedTime, nil) == "" {
			t.Error("does not sign")
		}
	})
}

// What decodes encodes, and encoding is stable from then on.
func FuzzDecode(f *testing.F) {
	for _, body := range goldenBodies(f) {
		f.Add(body)
	}
	f.Add([]byte(`{"id":"e","type":"t","data":{"endpoint":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := webhook.Decode(body)
		if err != nil {
			return
		}
		once, err := webhook.Encode(e)
		if err != nil {
			return // without data, too large, or a year beyond four digits
		}
		back, err := webhook.Decode(once)
		if err != nil {
			t.Fatalf("cannot read its own %s: %v", once, err)
		}
		twice, err := webhook.Encode(back)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("not stable (%v):\n%s\n%s", err, once, twice)
		}
	})
}
