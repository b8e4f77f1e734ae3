package webhook_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func headers(id string, unix int64, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(unix, 10))
	h.Set("webhook-signature", signature)
	return h
}

func TestVerifySignatureHeader(t *testing.T) {
	const bad = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	good := vectorSig
	raw := strings.TrimPrefix(good, "v1,")
	for _, c := range []struct {
		name, header string
		want         error
	}{
		{"good", good, nil},
		{"bad then good", bad + " " + good, nil},
		{"good then bad", good + " " + bad, nil},
		{"unknown versions around it", "v2,abc " + vectorV1a + " " + good + " v9", nil},
		{"not base64 before it", "v1,!!!! " + good, nil},
		{"truncated before it", "v1, " + good, nil},
		{"no comma before it", "v1 nonsense " + good, nil},
		{"many commas before it", ",,,, v1,,v1 " + good, nil},
		{"double space", bad + "  " + good, nil},
		{"spaces around", "  " + good + " ", nil},
		{"merged by a proxy", bad + ", " + good, nil},
		{"merged without a space", bad + "," + good, nil},
		{"comma at the end", good + ",", nil},
		{"empty", "", webhook.ErrNoSignature},
		{"truncated", "v1,", webhook.ErrBadSignature},
		{"version alone", "v1", webhook.ErrBadSignature},
		{"half", good[:len(good)/2], webhook.ErrBadSignature},
		{"one short", good[:len(good)-1], webhook.ErrBadSignature},
		{"one more", good + "=", webhook.ErrBadSignature},
		{"twice in one", good + raw, webhook.ErrBadSignature},
		{"without version", raw, webhook.ErrBadSignature},
		{"version with a space", "v1 " + raw, webhook.ErrBadSignature},
		{"another version", "v2," + raw, webhook.ErrBadSignature},
		{"capital version", "V1," + raw, webhook.ErrBadSignature},
		{"v1a alone", vectorV1a, webhook.ErrBadSignature},
		{"v1a with the v1 bytes", "v1a," + raw, webhook.ErrBadSignature},
		{"base64url", strings.NewReplacer("+", "-", "/", "_").Replace(good), webhook.ErrBadSignature},
		{"unpadded", strings.TrimRight(good, "="), webhook.ErrBadSignature},
		{"stray bits", strings.Replace(good, "OE=", "OF=", 1), webhook.ErrBadSignature},
		{"capitals", strings.ToUpper(good), webhook.ErrBadSignature},
		{"hex", "v1,83484cf52b04f8e4cf2531adfed9882ad4b2665137b852442d594d20e2c9d4e1", webhook.ErrBadSignature},
		{"secret as text", vectorAsText, webhook.ErrBadSignature},
		{"newline inside", good[:10] + "\n" + good[10:], webhook.ErrBadSignature},
		{"commas only", ",,,,", webhook.ErrBadSignature},
		{"spaces only", "   ", webhook.ErrBadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := webhook.VerifySignature(headers(vectorID, vectorTime, c.header), []byte(vectorBody),
				[]webhook.Secret{secret(t, vectorSecret)}, webhook.WithNow(at(vectorTime)))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestVerifyOtherHeaders(t *testing.T) {
	s := []webhook.Secret{secret(t, vectorSecret)}
	for _, c := range []struct {
		name string
		edit func(http.Header)
		want error
	}{
		{"lower case map", func(h http.Header) {
			for k, v := range h.Clone() {
				delete(h, k)
				h[strings.ToLower(k)] = v
			}
		}, nil},
		{"capitals map", func(h http.Header) {
			for k, v := range h.Clone() {
				delete(h, k)
				h[strings.ToUpper(k)] = v
			}
		}, nil},
		{"signature in two headers", func(h http.Header) { h["Webhook-Signature"] = []string{"v1,", vectorSig} }, nil},
		{"no id", func(h http.Header) { h.Del("webhook-id") }, webhook.ErrNoSignature},
		{"no timestamp", func(h http.Header) { h.Del("webhook-timestamp") }, webhook.ErrNoSignature},
		{"no signature", func(h http.Header) { h.Del("webhook-signature") }, webhook.ErrNoSignature},
		{"none", func(h http.Header) { clear(h) }, webhook.ErrNoSignature},
		{"another id", func(h http.Header) { h.Set("webhook-id", "msg_other") }, webhook.ErrBadSignature},
		{"two ids", func(h http.Header) { h.Add("webhook-id", vectorID) }, webhook.ErrMalformed},
		{"two ids in two spellings", func(h http.Header) { h["WEBHOOK-ID"] = []string{"msg_other"} }, webhook.ErrMalformed},
		{"two timestamps", func(h http.Header) { h.Add("webhook-timestamp", "1614265331") }, webhook.ErrMalformed},
		{"dot in the id", func(h http.Header) { h.Set("webhook-id", vectorID+".1614265330") }, webhook.ErrMalformed},
		{"another second", func(h http.Header) { h.Set("webhook-timestamp", "1614265331") }, webhook.ErrBadSignature},
		{"digits and letters", func(h http.Header) { h.Set("webhook-timestamp", "1614265330abc") }, webhook.ErrMalformed},
		{"leading zero", func(h http.Header) { h.Set("webhook-timestamp", "01614265330") }, webhook.ErrMalformed},
		{"leading space", func(h http.Header) { h.Set("webhook-timestamp", " 1614265330") }, webhook.ErrMalformed},
		{"plus", func(h http.Header) { h.Set("webhook-timestamp", "+1614265330") }, webhook.ErrMalformed},
		{"minus", func(h http.Header) { h.Set("webhook-timestamp", "-1614265330") }, webhook.ErrMalformed},
		{"fraction", func(h http.Header) { h.Set("webhook-timestamp", "1614265330.0") }, webhook.ErrMalformed},
		{"exponent", func(h http.Header) { h.Set("webhook-timestamp", "1.61426533e9") }, webhook.ErrMalformed},
		{"hex", func(h http.Header) { h.Set("webhook-timestamp", "0x6037bbf2") }, webhook.ErrMalformed},
		{"underscore", func(h http.Header) { h.Set("webhook-timestamp", "1_614_265_330") }, webhook.ErrMalformed},
		{"other digits", func(h http.Header) { h.Set("webhook-timestamp", "١٦١٤٢٦٥٣٣٠") }, webhook.ErrMalformed},
		{"milliseconds", func(h http.Header) { h.Set("webhook-timestamp", "1614265330000") }, webhook.ErrMalformed},
		{"RFC 3339", func(h http.Header) { h.Set("webhook-timestamp", "2021-02-25T15:02:10Z") }, webhook.ErrMalformed},
		{"infinity", func(h http.Header) { h.Set("webhook-timestamp", "Infinity") }, webhook.ErrMalformed},
		{"beyond int64", func(h http.Header) { h.Set("webhook-timestamp", strings.Repeat("9", 30)) }, webhook.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := headers(vectorID, vectorTime, vectorSig)
			c.edit(h)
			if err := webhook.VerifySignature(h, []byte(vectorBody), s, webhook.WithNow(at(vectorTime))); !errors.Is(err,
				c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestVerifyTolerance(t *testing.T) {
	s := []webhook.Secret{secret(t, vectorSecret)}
	for _, c := range []struct {
		ahead time.Duration // of the receiver's clock
		opts  []webhook.Option
		want  error
	}{
		{0, nil, nil},
		{299 * time.Second, nil, nil},
		{300 * time.Second, nil, nil},
		{300*time.Second + 999*time.Millisecond, nil, nil},
		{301 * time.Second, nil, webhook.ErrTimestamp},
		{-300 * time.Second, nil, nil},
		{-301 * time.Second, nil, webhook.ErrTimestamp},
		{-302 * time.Second, nil, webhook.ErrTimestamp},
		{365 * 24 * time.Hour, nil, webhook.ErrTimestamp},
		{59 * time.Second, []webhook.Option{webhook.WithTolerance(time.Minute)}, nil},
		{61 * time.Second, []webhook.Option{webhook.WithTolerance(time.Minute)}, webhook.ErrTimestamp},
		{time.Second, []webhook.Option{webhook.WithTolerance(0)}, webhook.ErrTimestamp},
		{0, []webhook.Option{webhook.WithTolerance(0)}, nil},
		{0, []webhook.Option{webhook.WithTolerance(-time.Hour)}, nil},
		{-time.Second, []webhook.Option{webhook.WithTolerance(-time.Hour)}, webhook.ErrTimestamp},
	} {
		now := time.Unix(vectorTime, 0).Add(c.ahead)
		opts := append(c.opts, webhook.WithNow(func() time.Time { return now }))
		if err := webhook.VerifySignature(headers(vectorID, vectorTime, vectorSig), []byte(vectorBody), s,
			opts...); !errors.Is(err, c.want) {
			t.Errorf("%v ahead: got %v, want %v", c.ahead, err, c.want)
		}
	}
}

func TestVerifyEvent(t *testing.T) {
	s := secret(t, vectorSecret)
	event := mustEncode(t, webhook.PaymentConfirmed)
	evt := id("evt", "1")
	now := webhook.WithNow(at(vectorTime))
	for _, c := range []struct {
		name, id string
		body     []byte
		secrets  []webhook.Secret
		want     error
	}{
		{"good", evt, event, []webhook.Secret{s}, nil},
		{"second secret", evt, event, []webhook.Secret{secret(t, vectorOther), s}, nil},
		{"zero secrets beside it", evt, event, []webhook.Secret{{}, s, {}}, nil},
		{"no secret", evt, event, nil, webhook.ErrNoSecrets},
		{"zero secret", evt, event, []webhook.Secret{{}}, webhook.ErrNoSecrets},
		{"another secret", evt, event, []webhook.Secret{secret(t, vectorOther)}, webhook.ErrBadSignature},
		{"id of another event", id("evt", "2"), event, []webhook.Secret{s}, webhook.ErrIDMismatch},
		{"batch id on an event", id("bat", "1"), event, []webhook.Secret{s}, webhook.ErrIDMismatch},
		{"not JSON", evt, []byte("x"), []webhook.Secret{s}, webhook.ErrMalformed},
		{"empty", evt, nil, []webhook.Secret{s}, webhook.ErrMalformed},
		{"not UTF-8", evt, bytes.Replace(event, []byte("A-17"), []byte("A\xff17"), 1), []webhook.Secret{s}, webhook.ErrMalformed},
		{"two documents", evt, append(bytes.Clone(event), event...), []webhook.Secret{s}, webhook.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := headers(c.id, vectorTime, webhook.Sign(s, c.id, time.Unix(vectorTime, 0), c.body))
			e, err := webhook.Verify(h, c.body, c.secrets, now)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && (e.ID != evt || e.Data.Payment.Sequence != 4) {
				t.Errorf("read %+v", e)
			}
			if err != nil && e.ID != "" {
				t.Error("an event was returned with the error")
			}
		})
	}
	// One flipped bit anywhere in the body is noticed.
	h := headers(evt, vectorTime, webhook.Sign(s, evt, time.Unix(vectorTime, 0), event))
	for i := range event {
		flipped := bytes.Clone(event)
		flipped[i] ^= 1
		if _, err := webhook.Verify(h, flipped, []webhook.Secret{s}, now); !errors.Is(err, webhook.ErrBadSignature) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// X-Webhook-Signature alone must not pass Verify: it never grows old.
func TestVerifyNeedsTheStandardScheme(t *testing.T) {
	s := secret(t, vectorSecret)
	body := mustEncode(t, webhook.PaymentConfirmed)
	h := http.Header{}
	webhook.Secrets{Current: s}.SetHeaders(h, id("evt", "1"), time.Unix(vectorTime, 0), 1, body)
	later := webhook.WithNow(at(vectorTime + 3600))
	if _, err := webhook.Verify(h, body, []webhook.Secret{s}, later); !errors.Is(err, webhook.ErrTimestamp) {
		t.Fatal(err)
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		h.Del(name)
		if _, err := webhook.Verify(h, body, []webhook.Secret{s}, later); !errors.Is(err, webhook.ErrNoSignature) {
			t.Fatalf("without %s: %v", name, err)
		}
	}
	if m, err := webhook.VerifyBody(h, body, []webhook.Secret{s}); err != nil || m.ID != id("evt", "1") ||
		!m.Timestamp.IsZero() {
		t.Fatalf("%+v, %v", m, err)
	}
}

func TestVerifyBody(t *testing.T) {
	s, other := secret(t, vectorSecret), secret(t, vectorOther)
	body := mustEncode(t, webhook.PaymentConfirmed)
	good := webhook.SignBody(s, body)
	for _, c := range []struct {
		name, header, value string
		want                error
	}{
		{"good", webhook.HeaderSignature, good, nil},
		{"capitals", webhook.HeaderSignature, strings.ToUpper(good), nil},
		{"spaces", webhook.HeaderSignature, " " + good + " ", nil},
		{"previous", webhook.HeaderSignaturePrevious, good, nil},
		{"next", webhook.HeaderSignatureNext, good, nil},
		{"merged", webhook.HeaderSignature, "00, " + good, nil},
		{"half", webhook.HeaderSignature, good[:32], webhook.ErrBadSignature},
		{"one more", webhook.HeaderSignature, good + "0", webhook.ErrBadSignature},
		{"prefixed", webhook.HeaderSignature, "sha256=" + good, webhook.ErrBadSignature},
		{"standard signature", webhook.HeaderSignature, webhook.Sign(s, "a", fixedTime, body), webhook.ErrBadSignature},
		{"of another body", webhook.HeaderSignature, webhook.SignBody(s, body[1:]), webhook.ErrBadSignature},
		{"empty", webhook.HeaderSignature, "", webhook.ErrNoSignature},
		{"none", "X-Other", "x", webhook.ErrNoSignature},
	} {
		h := http.Header{}
		h.Set(c.header, c.value)
		if _, err := webhook.VerifyBody(h, body, []webhook.Secret{other, s}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if _, err := webhook.VerifyBody(h, body, []webhook.Secret{other}); err == nil {
			t.Errorf("%s: a stranger's secret passed", c.name)
		}
		if _, err := webhook.VerifyBody(h, body, []webhook.Secret{{}}); !errors.Is(err, webhook.ErrNoSecrets) {
			t.Errorf("%s: the zero secret passed: %v", c.name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	now := time.Unix(vectorTime, 0)
	body := mustEncode(t, webhook.PaymentConfirmed)
	evt := id("evt", "1")
	a, b, c := secret(t, vectorSecret), secret(t, vectorOther), secret(t, strings.Repeat("n", 32))
	for name, live := range map[string]webhook.Secrets{
		"one":         {Current: a},
		"after":       {Current: a, Previous: []webhook.Secret{b}},
		"after twice": {Current: a, Previous: []webhook.Secret{b, c}},
		"before":      {Current: a, Next: &b},
		"all three":   {Current: a, Previous: []webhook.Secret{b}, Next: &c},
		"zero beside": {Current: a, Previous: []webhook.Secret{{}}, Next: &webhook.Secret{}},
	} {
		h := http.Header{}
		for _, stale := range []string{webhook.HeaderSignaturePrevious, webhook.HeaderSignatureNext, webhook.HeaderID} {
			h.Set(stale, "left over")
		}
		live.SetHeaders(h, evt, now, 2, body)
		var want []string
		for _, s := range live.All() {
			want = append(want, webhook.Sign(s, evt, now, body))
			if _, err := webhook.Verify(h, body, []webhook.Secret{s}, webhook.WithNow(at(vectorTime))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := h.Get("webhook-signature"); got != strings.Join(want, " ") ||
			!strings.HasPrefix(got, webhook.Sign(a, evt, now, body)) {
			t.Errorf("%s: webhook-signature: %s", name, got)
		}
		if h.Get("X-Webhook-Signature") != webhook.SignBody(a, body) || h.Get("webhook-id") != evt ||
			h.Get("webhook-timestamp") != fmt.Sprint(vectorTime) || h.Get("webhook-attempt") != "2" {
			t.Errorf("%s: %v", name, h)
		}
		previous, next := "", ""
		if len(live.Previous) > 0 {
			previous = webhook.SignBody(live.Previous[0], body)
		}
		if live.Next != nil {
			next = webhook.SignBody(*live.Next, body)
		}
		if h.Get("X-Webhook-Signature-Previous") != previous || h.Get("X-Webhook-Signature-Next") != next {
			t.Errorf("%s: previous or next: %v", name, h)
		}
		for k, v := range h {
			if len(v) != 1 || v[0] == "" {
				t.Errorf("%s: %s is %q", name, k, v)
			}
		}
	}
	h := http.Header{webhook.HeaderSignature: {"left over"}}
	webhook.Secrets{Previous: []webhook.Secret{b}}.SetHeaders(h, evt, now, 1, body)
	for k := range h {
		if strings.Contains(k, "Signature") {
			t.Errorf("without a current secret %s is set", k)
		}
	}
}

func TestBatch(t *testing.T) {
	s := []webhook.Secret{secret(t, vectorSecret)}
	now := webhook.WithNow(at(vectorTime))
	one := func(n int) []byte {
		e := sample(webhook.PaymentConfirmed)
		e.ID = id("evt", strconv.Itoa(n))
		b, err := webhook.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	signed := func(webhookID string, body []byte) http.Header {
		return headers(webhookID, vectorTime, webhook.Sign(s[0], webhookID, time.Unix(vectorTime, 0), body))
	}
	body, err := webhook.EncodeBatch([][]byte{one(1), one(2)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"type":"batch","events":[` + string(one(1)) + `,` + string(one(2)) + `]}`; string(body) != want {
		t.Fatalf("got %s", body)
	}
	if len(body) != webhook.BatchSize(2, len(one(1))+len(one(2))) {
		t.Error("BatchSize is wrong")
	}
	bat := id("bat", "1")
	m, err := webhook.VerifyMessage(signed(bat, body), body, s, now)
	if err != nil || !m.Batch || m.ID != bat || len(m.Events) != 2 || m.Events[1].ID != id("evt", "2") ||
		m.Timestamp.Unix() != vectorTime {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := webhook.Verify(signed(bat, body), body, s, now); !errors.Is(err, webhook.ErrBatch) {
		t.Error(err)
	}
	if _, err := webhook.VerifyMessage(signed(id("evt", "1"), body), body, s, now); !errors.Is(err,
		webhook.ErrIDMismatch) {
		t.Error(err)
	}
	h := http.Header{}
	h.Set(webhook.HeaderSignature, webhook.SignBody(s[0], body))
	if m, err := webhook.VerifyBody(h, body, s); err != nil || m.ID != "" || !m.Batch {
		t.Error(m, err)
	}
	for name, bad := range map[string]string{
		"no events":   `{"type":"batch"}`,
		"empty":       `{"type":"batch","events":[]}`,
		"null":        `{"type":"batch","events":null}`,
		"text":        `{"type":"batch","events":"x"}`,
		"null event":  `{"type":"batch","events":[null]}`,
		"nested":      `{"type":"batch","events":[` + string(body) + `]}`,
		"twice":       `{"type":"batch","events":[` + string(one(1)) + `,` + string(one(1)) + `]}`,
		"101 of them": `{"type":"batch","events":[` + strings.Repeat(`{"id":"e","type":"t"},`, 100) + `{"id":"e","type":"t"}]}`,
	} {
		if _, err := webhook.VerifyMessage(signed(bat, []byte(bad)), []byte(bad), s, now); !errors.Is(err,
			webhook.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	big := bytes.Repeat([]byte("x"), 64<<10)
	for name, bodies := range map[string][][]byte{"none": nil, "101": make([][]byte, 101),
		"too large": {big, big, big, big}} {
		if _, err := webhook.EncodeBatch(bodies); !errors.Is(err, webhook.ErrBatchSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
