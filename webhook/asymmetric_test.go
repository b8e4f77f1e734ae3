package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// vectorSigningKey is the key of vectorV1a, from the tests of Svix.
const vectorSigningKey = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="

func signingKey(t testing.TB, s string) webhook.SigningKey {
	t.Helper()
	key, err := webhook.ParseSigningKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func freshKey(t testing.TB) webhook.SigningKey {
	t.Helper()
	key, err := webhook.NewSigningKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAsymmetricVector(t *testing.T) {
	key := signingKey(t, vectorSigningKey)
	if got := key.Sign(vectorID, time.Unix(vectorTime, 0), []byte(vectorBody)); got != vectorV1a {
		t.Fatalf("got %s, want %s", got, vectorV1a)
	}
	if !key.Public().Verify(vectorV1a, vectorID, time.Unix(vectorTime, 0), []byte(vectorBody)) {
		t.Fatal("the vector does not verify")
	}
	if key.Reveal() != vectorSigningKey {
		t.Fatal("the key does not read back")
	}
	for _, broken := range []string{
		"", "v1a,", strings.TrimSuffix(vectorV1a, "=="), vectorV1a[:len(vectorV1a)-8] + "==", "v1," + vectorV1a[4:], vectorV1a + " ", strings.ReplaceAll(vectorV1a, "/", "_"),
	} {
		if key.Public().Verify(broken, vectorID, time.Unix(vectorTime, 0), []byte(vectorBody)) {
			t.Errorf("%q verifies", broken)
		}
	}
}

// TestAsymmetricBesideSecrets: a request with both kinds verifies with either, with the official library too, and a v1a
// signature alone counts only for the merchant's own events.
func TestAsymmetricBesideSecrets(t *testing.T) {
	now := time.Now()
	s, newest, older := secret(t, vectorSecret), freshKey(t), freshKey(t)
	live := webhook.Secrets{Current: s, SigningKeys: []webhook.SigningKey{newest, older}}
	for name, body := range goldenBodies(t) {
		e, err := webhook.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		live.SetHeaders(h, e.ID, now, 1, body)
		if entries := strings.Split(h.Get(webhook.HeaderStandardSignature), " "); len(entries) != 3 ||
			!strings.HasPrefix(entries[0], "v1,") || !strings.HasPrefix(entries[2], "v1a,") {
			t.Fatalf("%s: %q", name, entries)
		}
		official, err := standardwebhooks.NewWebhook(vectorSecret)
		if err != nil {
			t.Fatal(err)
		}
		if err := official.Verify(body, h); err != nil {
			t.Errorf("%s: the official library: %v", name, err)
		}
		own := func(keys ...webhook.SigningKey) webhook.Option {
			var public []webhook.PublicKey
			for _, k := range keys {
				public = append(public, k.Public())
			}
			return webhook.WithPublicKeys(e.MerchantID, public...)
		}
		for what, err := range map[string]error{
			"by the secret":     verify(h, body, []webhook.Secret{s}),
			"by the newest key": verify(h, body, nil, own(newest)),
			"by the older key":  verify(h, body, nil, own(freshKey(t), older)),
			"by both":           verify(h, body, []webhook.Secret{secret(t, vectorOther)}, own(newest)),
		} {
			if err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
		tampered := bytes.Replace(body, []byte(`"nonce":"`), []byte(`"nonce": "`), 1)
		for what, c := range map[string]struct {
			err  error
			want error
		}{
			"a stranger's key":   {verify(h, body, nil, own(freshKey(t))), webhook.ErrBadSignature},
			"no key":             {verify(h, body, nil), webhook.ErrNoSecrets},
			"another body":       {verify(h, tampered, nil, own(newest)), webhook.ErrBadSignature},
			"another merchant's": {verify(h, body, nil, webhook.WithPublicKeys("mer_other", newest.Public())), webhook.ErrMerchant},
			"nobody's":           {verify(h, body, nil, webhook.WithPublicKeys("", newest.Public())), webhook.ErrMerchant},
			"late":               {verify(h, body, nil, own(newest), webhook.WithNow(func() time.Time { return now.Add(6 * time.Minute) })), webhook.ErrTimestamp},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %s: %v, want %v", name, what, c.err, c.want)
			}
		}
	}
}

// TestLeakedSecretForgesNothing: a receiver that goes by v1a refuses what is signed with the endpoint's secret alone.
func TestLeakedSecretForgesNothing(t *testing.T) {
	s, key := secret(t, vectorSecret), freshKey(t)
	var body []byte
	for _, body = range goldenBodies(t) {
		break
	}
	e, err := webhook.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	handled := 0
	h, err := webhook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled++ }), webhook.Options{
		PublicKeys: []webhook.PublicKey{key.Public()}, MerchantID: e.MerchantID,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		live webhook.Secrets
		want int
	}{{webhook.Secrets{Current: s}, http.StatusUnauthorized},
		{webhook.Secrets{Current: s, SigningKeys: []webhook.SigningKey{key}}, http.StatusOK}} {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		c.live.SetHeaders(r.Header, e.ID, time.Now(), 1, body)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("answered %d, want %d", w.Code, c.want)
		}
	}
	if handled != 1 {
		t.Errorf("%d handled", handled)
	}
	if _, err := webhook.Handler(http.NotFoundHandler(),
		webhook.Options{PublicKeys: []webhook.PublicKey{key.Public()}}); err == nil {
		t.Error("public keys without a merchant were accepted")
	}
}

func TestKeySet(t *testing.T) {
	key := signingKey(t, vectorSigningKey)
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	document, err := json.Marshal(webhook.KeySet{Keys: []webhook.KeySetKey{webhook.NewKeySetKey("sgk_1", key.Public(),
		end.AddDate(0, -1, 0), &end)}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"keys":[{"kid":"sgk_1","kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","x":"1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4",` +
		`"public_key":"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=","active_from":"2026-11-01T00:00:00.000Z","expires_at":"2026-12-01T00:00:00.000Z"}]}`
	if string(document) != want {
		t.Fatalf("got  %s\nwant %s", document, want)
	}
	keys, err := webhook.ParseKeySet(document)
	if err != nil || len(keys) != 1 || keys[0].String() != key.Public().String() {
		t.Fatalf("%v, %v", keys, err)
	}
	// A kind of key that is yet to come does not hide the others; it alone is no key set.
	const coming = `{"kid":"sgk_9","kty":"AKP","alg":"ML-DSA-65","pub":"AA"}`
	if keys, err := webhook.ParseKeySet([]byte(strings.Replace(want, `[`, `[`+coming+`,`, 1))); err != nil ||
		len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, bad := range []string{``, `{}`, `{"keys":[]}`, `[]`, `{"keys":[{"public_key":"whpk_"}]}`, `{"keys":[` + coming +
		`]}`,
		strings.Replace(want, "whpk_1S", "whpk_", 1), strings.Replace(want, "whpk_", "whsk_", 1)} {
		if _, err := webhook.ParseKeySet([]byte(bad)); !errors.Is(err, webhook.ErrKeySet) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSigningKeysDoNotPrint(t *testing.T) {
	key := signingKey(t, vectorSigningKey)
	plain := vectorSigningKey[5:40]
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "all",
		[]any{key, &key, struct{ K webhook.SigningKey }{key}})
	encoded, err := json.Marshal(map[string]any{"key": key})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", key, key, key, key, key, key, key),
		fmt.Sprintf("%+v %#v", struct{ k webhook.SigningKey }{key}, &key), log.String(), string(encoded)} {
		if strings.Contains(text, plain) || strings.Contains(text, fmt.Sprintf("%x", plain[:8])) {
			t.Errorf("it printed: %s", text)
		}
	}
	for _, bad := range []string{"", "whsk_", vectorSigningKey[:20], strings.Replace(vectorSigningKey, "6X", "7X", 1),
		"whpk_" + vectorSigningKey[5:], vectorSigningKey + "\n"} {
		if _, err := webhook.ParseSigningKey(bad); !errors.Is(err, webhook.ErrSigningKey) {
			t.Errorf("a broken key: %v", err)
		}
	}
}

func verify(h http.Header, body []byte, secrets []webhook.Secret, opts ...webhook.Option) error {
	_, err := webhook.Verify(h, body, secrets, opts...)
	return err
}
