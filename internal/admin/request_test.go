package admin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestParseRequest(t *testing.T) {
	for _, c := range []struct{ name, saved, header, body string }{
		{"raw", "POST /h HTTP/1.1\r\nHost: x\r\nWebhook-Id: evt_1\r\n\r\n{}", "evt_1", "{}"},
		{"lines of an editor", "webhook-id:evt_1\n\n{}\n", "evt_1", "{}\n"},
		{"a length cuts what an editor added", "webhook-id: evt_1\nContent-Length: 2\n\n{}\n", "evt_1", "{}"},
		{"an answer", "HTTP/2 200\nwebhook-id: evt_1\n\n{}", "evt_1", "{}"},
		{"no body", "webhook-id: evt_1\n\n", "evt_1", ""},
		{"empty lines in the body", "webhook-id: evt_1\n\na\n\nb", "evt_1", "a\n\nb"},
		{"chunks", "webhook-id: evt_1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "evt_1", "{}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, body, err := admin.ParseRequest([]byte(c.saved))
			if err != nil || h.Get("webhook-id") != c.header || string(body) != c.body {
				t.Errorf("%q, %q, %v", h, body, err)
			}
		})
	}
	for _, bad := range []string{"", "{}", "webhook-id: evt_1", "\n\n{}", "a b: c\n\n", "no colon\nx: y\n\n",
		"POST / HTTP/1.1\n\n",
		"content-length: 9\n\n{}", "content-length: 1\n\n{}", "content-length: -1\n\n{}", "content-length: x\n\n{}",
		"transfer-encoding: chunked\n\n5\n{}"} {
		if h, body, err := admin.ParseRequest([]byte(bad)); !errors.Is(err, admin.ErrRequest) {
			t.Errorf("%q: %v, %q, %v", bad, h, body, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("POST /h HTTP/1.1\r\nwebhook-id: evt_1\r\n\r\n{}"))
	f.Add([]byte("a: b\ntransfer-encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("content-length: 1\n\n{}\n"))
	f.Fuzz(func(t *testing.T, saved []byte) {
		h, body, err := admin.ParseRequest(saved)
		if err == nil && len(h) == 0 || len(body) > len(saved) {
			t.Errorf("%q: %v, %q, %v", saved, h, body, err)
		}
	})
}

func TestSignRefuses(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id      string
		attempt int
		body    string
		secret  webhook.Secret
	}{
		{"", 1, "no json", secret}, {"", 1, "{}", secret}, {"evt.1", 1, "{}", secret}, {"evt_1\r\nx: y", 1, "{}", secret},
		{"evt_1", 0, "{}", secret}, {"evt_1", 1, "{}", webhook.Secret{}},
	} {
		if s, err := admin.Sign(c.secret, c.id, time.Now(), c.attempt, []byte(c.body)); err == nil {
			t.Errorf("%+v: %v", c, s)
		}
	}
}

func TestVerifyExplainsWhatIsMissing(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := admin.Verify(http.Header{"X": {"y"}}, []byte("{}"), []webhook.Secret{secret}, time.Now(), 0)
	if v.Verified || len(v.Schemes) != 2 || !strings.Contains(v.Hint, "saved in full") ||
		!strings.Contains(v.Schemes[1].Problem, webhook.HeaderSignature) {
		t.Errorf("%+v", v)
	}
}
