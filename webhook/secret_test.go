package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestParseSecret(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n)) }
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"24 bytes", "whsec_" + b64(24), nil},
		{"32 bytes", "whsec_" + b64(32), nil},
		{"64 bytes", "whsec_" + b64(64), nil},
		{"23 bytes", "whsec_" + b64(23), webhook.ErrSecretLength},
		{"65 bytes", "whsec_" + b64(65), webhook.ErrSecretLength},
		{"prefix alone", "whsec_", webhook.ErrSecretLength},
		{"unpadded", "whsec_" + strings.TrimRight(b64(32), "="), webhook.ErrSecretEncoding},
		{"base64url", "whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32)), webhook.ErrSecretEncoding},
		{"newline at the end", "whsec_" + b64(32) + "\n", webhook.ErrSecretEncoding},
		{"newline inside", "whsec_" + b64(32)[:8] + "\r\n" + b64(32)[8:], webhook.ErrSecretEncoding},
		{"stray bits", "whsec_" + strings.Replace(b64(25), "+w==", "+x==", 1), webhook.ErrSecretEncoding},
		{"empty", "", webhook.ErrSecretLength},
		{"brought, 24", strings.Repeat("a", 24), nil},
		{"brought, 23", strings.Repeat("a", 23), webhook.ErrSecretLength},
		{"brought, 128", strings.Repeat("a", 128), nil},
		{"brought, 129", strings.Repeat("a", 129), webhook.ErrSecretLength},
		{"brought, newline", strings.Repeat("a", 24) + "\n", webhook.ErrSecretControl},
		{"brought, NUL", strings.Repeat("a", 24) + "\x00", webhook.ErrSecretControl},
		{"brought, not UTF-8", strings.Repeat("a", 24) + "\xff", webhook.ErrSecretControl},
		{"brought, other letters", strings.Repeat("支", 8), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := webhook.ParseSecret(c.in)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				if !s.IsZero() {
					t.Fatal("a refused secret is not zero")
				}
				if len(c.in) > 10 && strings.Contains(err.Error(), c.in[6:10]) {
					t.Fatalf("the error shows the secret: %v", err)
				}
				return
			}
			if s.Reveal() != c.in {
				t.Fatal("Reveal differs from what was issued")
			}
			again, err := webhook.ParseSecret(s.RevealStandard())
			if strings.HasPrefix(c.in, "whsec_") {
				if err != nil || !again.Equal(s) {
					t.Fatalf("the standard form differs: %v", err)
				}
			} else if err == nil && webhook.Sign(again, "a", fixedTime, nil) != webhook.Sign(s, "a", fixedTime, nil) {
				t.Fatal("the standard form signs otherwise")
			}
		})
	}
}

func TestNewSecret(t *testing.T) {
	fixed, err := webhook.NewSecret(bytes.NewReader(make([]byte, 32)))
	if err != nil || fixed.Reveal() != "whsec_"+strings.Repeat("A", 43)+"=" {
		t.Fatalf("%q, %v", fixed.Reveal(), err)
	}
	a, errA := webhook.NewSecret(nil)
	b, errB := webhook.NewSecret(nil)
	if errA != nil || errB != nil || a.Equal(b) {
		t.Fatal("two new secrets are equal")
	}
	if _, err := webhook.ParseSecret(a.Reveal()); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if _, err := webhook.NewSecret(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if _, err := webhook.NewSecret(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Fatal("31 random bytes made a secret")
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := secret(t, vectorSecret)
	type holder struct {
		Public  webhook.Secret
		private webhook.Secret
		list    []webhook.Secret
		byName  map[string]webhook.Secret
		pointer *webhook.Secret
		All     webhook.Secrets
	}
	h := holder{s, s, []webhook.Secret{s}, map[string]webhook.Secret{"a": s}, &s,
		webhook.Secrets{Current: s, Previous: []webhook.Secret{s}, Next: &s}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p", "%c", "%b"} {
		for _, v := range []any{s, &s, h, &h, h.All} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "secret", s, "pointer", &s, "holder", h, "all", h.All)
	}
	for _, v := range []any{s, h, h.All, map[string]any{"s": s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	type element struct {
		S webhook.Secret `xml:"s,attr"`
	}
	x, err := xml.Marshal(element{s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(x)
	fmt.Fprint(&out, errors.New(s.String()), s.GoString())
	for _, leak := range []string{"MfKQ9r8G", "4d664b5139", "4D664B5139", "31f290f6", "31F290F6", "0x31, 0xf2", "[49 242",
		"119 104 115"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q was printed", leak)
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was redacted")
	}
}

func TestZeroSecretSignsNothing(t *testing.T) {
	var none webhook.Secret
	if webhook.SignBody(none, nil) != "" || webhook.Sign(none, "evt_1", fixedTime, nil) != "" || none.Reveal() != "" ||
		none.RevealStandard() != "" {
		t.Fatal("the zero secret signed")
	}
	if !none.IsZero() || !none.Equal(webhook.Secret{}) || none.Equal(secret(t, vectorSecret)) {
		t.Fatal("the zero secret is not zero")
	}
}
