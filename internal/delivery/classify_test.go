package delivery_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/egress"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestJudgeEveryStatus writes the table of product.md section 5 down a second time, status by status.
func TestJudgeEveryStatus(t *testing.T) {
	for status := 100; status <= 599; status++ {
		want := delivery.Verdict{Class: delivery.ServerError, Action: delivery.Retry}
		switch {
		case status/100 == 2:
			want = delivery.Verdict{Class: delivery.Delivered, Action: delivery.Done}
		case status/100 == 3:
			want.Class = delivery.Redirected
		case status == 401, status == 403, status == 407:
			want.Class = delivery.AuthRejected
		case status == 410:
			want = delivery.Verdict{Class: delivery.Gone, Action: delivery.Die, DisableEndpoint: true}
		case status == 429:
			want.Class = delivery.Throttled
		case status/100 == 4:
			want.Class = delivery.Rejected
		}
		if got := delivery.Judge(status, "", nil, noon); got != want {
			t.Errorf("%d: %+v, want %+v", status, got, want)
		}
		if got := delivery.Judge(status, "", &egress.Error{Kind: egress.KindReset}, noon); got != want {
			t.Errorf("%d with a body that broke off: %+v, want %+v", status, got, want)
		}
		if status == 429 || status == 503 {
			want.Class, want.RetryAfter = delivery.Throttled, 7*time.Second
		}
		if got := delivery.Judge(status, "7", nil, noon); got != want {
			t.Errorf("%d with Retry-After: %+v, want %+v", status, got, want)
		}
	}
}

func TestJudgeEveryFailure(t *testing.T) {
	for kind, class := range map[egress.Kind]delivery.Class{
		egress.KindTimeout: delivery.Timeout, egress.KindConnect: delivery.Connect, egress.KindDNS: delivery.DNS,
		egress.KindReset: delivery.Reset, egress.KindProtocol: delivery.Protocol, egress.KindTLS: delivery.TLS,
		egress.KindBlocked: delivery.Blocked, "news": delivery.Protocol,
	} {
		for _, byForm := range []bool{false, true} {
			want := delivery.Verdict{Class: class, Action: delivery.Retry}
			if class == delivery.Blocked && byForm {
				want.Action = delivery.Die
			}
			err := fmt.Errorf("wrapped: %w", &egress.Error{Kind: kind, ByForm: byForm})
			if got := delivery.Judge(0, "", err, noon); got != want {
				t.Errorf("%s, by form %v: %+v, want %+v", kind, byForm, got, want)
			}
		}
	}
	if got := delivery.Judge(0, "", errors.New("?"), noon); got.Class != delivery.Protocol || got.Action != delivery.Retry {
		t.Errorf("an unknown error: %+v", got)
	}
}

func TestParseRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, " 5\t": 5 * time.Second, "86400": 24 * time.Hour, "86401": 24 * time.Hour,
		"99999999999999999999999":                          24 * time.Hour,
		noon.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		noon.Add(-time.Hour).Format(http.TimeFormat):       0,
		noon.Add(1000 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
		noon.Add(time.Minute).Format(time.RFC850):          time.Minute,
		noon.Add(time.Minute).Format(time.ANSIC):           time.Minute,
		"":                                                 -1, "-5": -1, "1.5": -1, "soon": -1, "12 s": -1, "0x10": -1, "١٢": -1, noon.Format(time.RFC3339): -1,
	} {
		got, ok := delivery.ParseRetryAfter(header, noon)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", header, got, ok, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "9223372036854775808", "Mon, 23 Nov 2026 12:00:30 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d, ok := delivery.ParseRetryAfter(header, noon)
		if d < 0 || d > delivery.MaxRetryAfter || !ok && d != 0 {
			t.Errorf("%q: %v, %v", header, d, ok)
		}
	})
}

func ExampleJudge() {
	for _, v := range []delivery.Verdict{
		delivery.Judge(204, "", nil, noon),
		delivery.Judge(404, "", nil, noon),
		delivery.Judge(503, "7200", nil, noon),
		delivery.Judge(410, "", nil, noon),
	} {
		fmt.Println(v.Class, v.Action, v.RetryAfter, v.Gate(), v.DisableEndpoint)
	}
	// Output:
	// delivered delivered 0s 0s false
	// rejected retry 0s 0s false
	// throttled retry 2h0m0s 1h0m0s false
	// gone dead 0s 0s true
}
