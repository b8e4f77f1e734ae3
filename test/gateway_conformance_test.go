package test

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// vectors are bodies with their signatures, made by none of our code, under the constants of the official vector.
var vectors = []struct{ secret, body, want string }{
	{officialSecret, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	{"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", `{"test": 2432232314}`, "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="},
	{officialSecret, `{"test":2432232314}`, "v1,Vif40peJBP7Iyl0XGmu61n4MwdrcHov5CFREBpE0svs="},
	{officialSecret, "{\"test\": 2432232314}\n", "v1,FIt3hYjPQCdyuyMOw+0dZwwjGRAx1Il4CsgdFnOmrcc="},
	{officialSecret, "", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="},
	{officialSecret, `{"memo":"café ☕ 支付"}`, "v1,33Pzbet+wSAAluV1GlJf4+3dqKAE3bMx4nxj0H7FuV4="},
	{officialSecret, `{"memo":"a<b>&c"}`, "v1,BBsMHwFoddVOL7WBrkt/FfhUmu7o1t8Noe7dV8wEgY8="},
	{officialSecret, `{"memo":"a\u003cb\u003e\u0026c"}`, "v1,+o8F2ay77+7R02GqZEODkizlxX/Sczlcm0BN69yz5MQ="},
	{officialSecret, `{"amount_wei":"115792089237316195423570985008687907853269984665640564039457584007913129639935"}`,
		"v1,+2DpzY7BTReCPa7nIOT7vGmk+UHdgdnPual+gF/reOQ="},
}

const (
	officialSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	officialID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	officialTime   = 1614265330
)

// TestVectors: for every vector the official libraries and we say the same.
func TestVectors(t *testing.T) {
	node := startStranger(t, "node", "libraries.mjs")
	for _, v := range vectors {
		secret, err := webhook.ParseSecret(v.secret)
		if err != nil {
			t.Fatal(err)
		}
		if got := webhook.Sign(secret, officialID, time.Unix(officialTime, 0), []byte(v.body)); got != v.want {
			t.Errorf("%q: we sign %s, want %s", v.body, got, v.want)
		}
		question := map[string]any{"secret": v.secret, "id": officialID, "timestamp": officialTime, "body": []byte(v.body)}
		for library, got := range ask[string](node, map[string]any{"sign": question}) {
			if got != v.want {
				t.Errorf("%q: %s signs %s, want %s", v.body, library, got, v.want)
			}
		}
	}
}

// TestStrangersVerifyTheGateway: what a running gateway sends, first, retried and sent again by hand, while a secret is
// rotated and the next one waits, is verified by the official libraries with each live secret alone, and by no other. A
// retry has the id and the bytes of the first try under a new time; so has what is sent again.
func TestStrangersVerifyTheGateway(t *testing.T) {
	strangers := []*stranger{startStranger(t, "node", "libraries.mjs"), startStranger(t, "python3", "stdlib.py")}
	h := newFixture(t, gethNode(startDevnet(t), 2), "WEBHOOK_RETRY_BASE=1500ms")
	r := testkit.NewReceiver(t)
	var failed atomic.Bool
	r.Script(func(testkit.Received) testkit.Answer {
		if failed.CompareAndSwap(false, true) {
			return testkit.Answer{Status: http.StatusInternalServerError}
		}
		return testkit.Answer{}
	})
	e := h.NewEndpoint(h.merchant, client.WebhookEndpointCreate{URL: r.URL + "/hooks", Ed25519: new(true),
		Secret: new("a-secret-of-our-own-32-bytes-long")})
	rotate := func(in map[string]any) webhook.Secret {
		t.Helper()
		var out struct{ Secret string }
		if status := h.Call(h.merchant.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+e.ID+"/rotate_secret", "", in,
			&out); status != http.StatusOK {
			t.Fatalf("rotate: %d", status)
		}
		secret, err := webhook.ParseSecret(out.Secret)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	current := rotate(map[string]any{"overlap_seconds": 3600})
	next := rotate(map[string]any{"activate_in": 3600})
	h.create(t.Context(), "strangers-1", devnet.TokenSymbol, "1")
	r.WaitCount(t, 2, 30*time.Second)
	var list struct{ Data []struct{ ID string } }
	testkit.Eventually(t, 30*time.Second, "the delivery is delivered", func() bool {
		h.Call(h.merchant.Key, http.MethodGet, "/api/v1/deliveries?state=delivered&endpoint_id="+e.ID, "", nil, &list)
		return len(list.Data) == 1
	})
	if status := h.Call(h.merchant.Key, http.MethodPost, "/api/v1/deliveries/"+list.Data[0].ID+"/redeliver", "", nil,
		nil); status != http.StatusAccepted {
		t.Fatalf("redeliver: %d", status)
	}
	sent := r.WaitCount(t, 3, 30*time.Second)

	other, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]webhook.Secret{"current": current, "next": next, "previous": e.Secret, "a stranger's": other}
	for i, got := range sent {
		if got.ID() != sent[0].ID() || !bytes.Equal(got.Body, sent[0].Body) ||
			got.Header.Get("webhook-attempt") != strconv.Itoa(i+1) {
			t.Errorf("request %d is %s, attempt %s: %s", i, got.ID(), got.Header.Get("webhook-attempt"), got.Body)
		}
		if i > 0 && (got.Header.Get("webhook-timestamp") == sent[0].Header.Get("webhook-timestamp") ||
			got.Header.Get("webhook-signature") == sent[0].Header.Get("webhook-signature")) {
			t.Errorf("request %d has the time or the signature of the first: %v", i, got.Header)
		}
		entries := strings.Split(got.Header.Get("webhook-signature"), " ")
		versions := make([]string, len(entries))
		for j, entry := range entries {
			versions[j], _, _ = strings.Cut(entry, ",")
		}
		if !slices.Equal(versions, []string{"v1", "v1", "v1", "v1a"}) {
			t.Errorf("request %d has %q", i, versions)
		}
		for name, key := range map[string]webhook.Secret{"X-Webhook-Signature": current,
			"X-Webhook-Signature-Previous": e.Secret, "X-Webhook-Signature-Next": next} {
			if want := openssl(t, key.Reveal(), got.Body); got.Header.Get(name) != want {
				t.Errorf("request %d: %s is %s, openssl says %s", i, name, got.Header.Get(name), want)
			}
		}
		flat := map[string]string{}
		for k := range maps.Keys(got.Header) {
			flat[strings.ToLower(k)] = got.Header.Get(k)
		}
		for name, secret := range secrets {
			for _, s := range strangers {
				for library, ok := range ask[bool](s, map[string]toVerify{"verify": {secret.RevealStandard(), flat, got.Body}}) {
					if ok != (name != "a stranger's") {
						t.Errorf("request %d, %s secret: %s says %v", i, name, library, ok)
					}
				}
			}
		}
	}
}
