package answer

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestJudgeEveryStatus writes the table down a second time, status by status.
func TestJudgeEveryStatus(t *testing.T) {
	for status := 100; status <= 599; status++ {
		want := Verdict{Class: ServerError, Action: Retry}
		switch {
		case status/100 == 2:
			want = Verdict{Class: Delivered, Action: Done}
		case status/100 == 3:
			want.Class = Redirected
		case status == 401, status == 403, status == 407:
			want.Class = AuthRejected
		case status == 410:
			want = Verdict{Class: Gone, Action: Die, DisableEndpoint: true}
		case status == 429:
			want.Class = Throttled
		case status/100 == 4:
			want.Class, want.SplitsBatch = Rejected, status != 408
		}
		if got := Judge(status, "", nil, noon); got != want {
			t.Errorf("%d: %+v, want %+v", status, got, want)
		}
		if got := Judge(status, "", &egress.Error{Kind: egress.KindReset}, noon); got != want {
			t.Errorf("%d with a body that broke off: %+v, want %+v", status, got, want)
		}
		if status == 429 || status == 503 {
			want.Class, want.RetryAfter = Throttled, 7*time.Second
		}
		if got := Judge(status, "7", nil, noon); got != want {
			t.Errorf("%d with Retry-After: %+v, want %+v", status, got, want)
		}
	}
}

func TestJudgeEveryFailure(t *testing.T) {
	for kind, class := range map[egress.Kind]Class{
		egress.KindTimeout: Timeout, egress.KindConnect: Connect, egress.KindDNS: DNS,
		egress.KindReset: Reset, egress.KindProtocol: Protocol, egress.KindTLS: TLS,
		egress.KindBlocked: Blocked, "news": Protocol,
	} {
		for _, byForm := range []bool{false, true} {
			want := Verdict{Class: class, Action: Retry}
			if class == Blocked && byForm {
				want.Action = Die
			}
			err := fmt.Errorf("wrapped: %w", &egress.Error{Kind: kind, ByForm: byForm})
			if got := Judge(0, "", err, noon); got != want {
				t.Errorf("%s, by form %v: %+v, want %+v", kind, byForm, got, want)
			}
		}
	}
	if got := Judge(0, "", errors.New("?"), noon); got.Class != Protocol || got.Action != Retry {
		t.Errorf("an unknown error: %+v", got)
	}
}

func TestRetryAfter(t *testing.T) {
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
		got, ok := parseRetryAfter(header, noon)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", header, got, ok, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "9223372036854775808",
		"Mon, 23 Nov 2026 12:00:30 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d, ok := parseRetryAfter(header, noon)
		if d < 0 || d > MaxRetryAfter || !ok && d != 0 {
			t.Errorf("%q: %v, %v", header, d, ok)
		}
	})
}

func ExampleJudge() {
	for _, v := range []Verdict{
		Judge(204, "", nil, noon),
		Judge(404, "", nil, noon),
		Judge(503, "7200", nil, noon),
		Judge(410, "", nil, noon),
	} {
		fmt.Println(v.Class, v.Action, v.RetryAfter, v.Gate(), v.DisableEndpoint)
	}
	// Output:
	// delivered delivered 0s 0s false
	// rejected retry 0s 0s false
	// throttled retry 2h0m0s 1h0m0s false
	// gone dead 0s 0s true
}
