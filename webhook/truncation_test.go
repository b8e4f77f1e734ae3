package webhook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestVerifyTruncated: no beginning and no end of a good signature passes, in either scheme.
func TestVerifyTruncated(t *testing.T) {
	s := []webhook.Secret{secret(t, vectorSecret)}
	raw := strings.TrimPrefix(vectorSig, "v1,")
	for n := range raw {
		for _, cut := range []string{"v1," + raw[:n], "v1," + raw[n+1:], raw[:n], "v1," + raw[:n] +
			strings.Repeat("=", len(raw)-n), "v1," + raw[:n] + " " + raw[n:]} {
			if err := webhook.VerifySignature(headers(vectorID, vectorTime, cut), []byte(vectorBody), s,
				webhook.WithNow(at(vectorTime))); err == nil && cut != vectorSig {
				t.Errorf("%q passed", cut)
			}
		}
	}
	body := mustEncode(t, webhook.PaymentConfirmed)
	good := webhook.SignBody(s[0], body)
	for n := range good {
		for _, cut := range []string{good[:n], good[n+1:], good[:n] + " " + good[n:], good[:n] +
			strings.Repeat("0", len(good)-n)} {
			h := http.Header{}
			h.Set(webhook.HeaderSignature, cut)
			if _, err := webhook.VerifyBody(h, body, s); err == nil && strings.TrimSpace(cut) != good {
				t.Errorf("%q passed for a body", cut)
			}
		}
	}
}
