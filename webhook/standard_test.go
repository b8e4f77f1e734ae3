package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// The constants of the official Standard Webhooks vector.
const (
	vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorOther  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	vectorID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime   = 1614265330
	vectorBody   = `{"test": 2432232314}`
	vectorSig    = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorSig2   = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="
	// An ed25519 signature of the same message: a version that this package does not know.
	vectorV1a = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	// The secret used as text instead of being decoded.
	vectorAsText = "v1,ELhqG0Ku1gwOc1f4jyKdp3SFGFLAOdJ9bvpWLciCakI="
)

func secret(t testing.TB, s string) webhook.Secret {
	t.Helper()
	parsed, err := webhook.ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func at(unix int64) func() time.Time { return func() time.Time { return time.Unix(unix, 0) } }

func TestSignVectors(t *testing.T) {
	const max256 = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for _, c := range []struct{ name, secret, body, want string }{
		{"official", vectorSecret, vectorBody, vectorSig},
		{"rotation pair", vectorOther, vectorBody, vectorSig2},
		{"compact", vectorSecret, `{"test":2432232314}`, "v1,Vif40peJBP7Iyl0XGmu61n4MwdrcHov5CFREBpE0svs="},
		{"newline at the end", vectorSecret, vectorBody + "\n", "v1,FIt3hYjPQCdyuyMOw+0dZwwjGRAx1Il4CsgdFnOmrcc="},
		{"empty", vectorSecret, "", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="},
		{"beyond ASCII", vectorSecret, `{"memo":"café ☕ 支付"}`, "v1,33Pzbet+wSAAluV1GlJf4+3dqKAE3bMx4nxj0H7FuV4="},
		{"HTML", vectorSecret, `{"memo":"a<b>&c"}`, "v1,BBsMHwFoddVOL7WBrkt/FfhUmu7o1t8Noe7dV8wEgY8="},
		{"HTML escaped", vectorSecret, `{"memo":"a\u003cb\u003e\u0026c"}`, "v1,+o8F2ay77+7R02GqZEODkizlxX/Sczlcm0BN69yz5MQ="},
		{"2^256-1", vectorSecret, `{"amount_wei":"` + max256 + `"}`, "v1,+2DpzY7BTReCPa7nIOT7vGmk+UHdgdnPual+gF/reOQ="},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := secret(t, c.secret)
			got := webhook.Sign(s, vectorID, time.Unix(vectorTime, 0), []byte(c.body))
			if got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if got == vectorAsText {
				t.Fatal("the secret was used as text")
			}
			h := http.Header{}
			h.Set("webhook-id", vectorID)
			h.Set("webhook-timestamp", "1614265330")
			h.Set("webhook-signature", c.want)
			if err := webhook.VerifySignature(h, []byte(c.body), []webhook.Secret{s},
				webhook.WithNow(at(vectorTime))); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestOfficialLibraryVerifiesOurs(t *testing.T) {
	now := time.Now()
	current, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	previous, next := secret(t, vectorSecret), secret(t, "brought along, 30 bytes of text")
	live := webhook.Secrets{Current: current, Previous: []webhook.Secret{previous}, Next: &next}
	for name, body := range goldenBodies(t) {
		h := http.Header{}
		live.SetHeaders(h, "evt_01", now, 3, body)
		for _, s := range live.All() {
			wh, err := standardwebhooks.NewWebhook(s.RevealStandard())
			if err != nil {
				t.Fatal(err)
			}
			if err := wh.Verify(body, h); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := wh.Verify(append([]byte(" "), body...), h); err == nil {
				t.Errorf("%s: another body passed", name)
			}
		}
		stranger, err := standardwebhooks.NewWebhook(vectorOther)
		if err != nil {
			t.Fatal(err)
		}
		if stranger.Verify(body, h) == nil {
			t.Errorf("%s: a stranger's secret passed", name)
		}
	}
}

func TestWeVerifyOfficialLibrary(t *testing.T) {
	now := time.Now()
	for name, body := range goldenBodies(t) {
		e, err := webhook.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []webhook.Secret{secret(t, vectorSecret), secret(t, strings.Repeat("k", 24))} {
			wh, err := standardwebhooks.NewWebhook(s.RevealStandard())
			if err != nil {
				t.Fatal(err)
			}
			sig, err := wh.Sign(e.ID, now, body)
			if err != nil {
				t.Fatal(err)
			}
			if ours := webhook.Sign(s, e.ID, now, body); ours != sig {
				t.Errorf("%s: we sign %s, the library %s", name, ours, sig)
			}
			h := headers(e.ID, now.Unix(), sig)
			got, err := webhook.Verify(h, body, []webhook.Secret{secret(t, vectorOther), s})
			if err != nil || got.ID != e.ID {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := webhook.Verify(h, body, []webhook.Secret{secret(t, vectorOther)}); err == nil {
				t.Errorf("%s: a stranger's secret passed", name)
			}
		}
	}
}
