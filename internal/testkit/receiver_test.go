package testkit_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

func post(t *testing.T, c *http.Client, url, body string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("webhook-id", "evt_1")
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func client(t *testing.T, tc *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: tc}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestReceiverRecordsAndAnswersByScript(t *testing.T) {
	r := testkit.NewReceiver(t)
	c := client(t, nil)
	r.Answers(testkit.Answer{Status: 503, Header: http.Header{"Retry-After": {"1"}}, Body: []byte("later")},
		testkit.Answer{Drop: true}, testkit.Answer{})
	if status, body, err := post(t, c, r.URL+"/hook?a=b", `{"type":"payment.created"}`); status != 503 ||
		body != "later" || err != nil {
		t.Fatal(status, body, err)
	}
	if _, _, err := post(t, c, r.URL, "{}"); err == nil {
		t.Fatal("a dropped connection gave an answer")
	}
	for range 2 {
		if status, _, err := post(t, c, r.URL, "{}"); status != 204 || err != nil {
			t.Fatal(status, err)
		}
	}
	all := r.WaitCount(t, 4, time.Second)
	got := all[0]
	if got.Seq != 1 || got.Method != "POST" || got.Path != "/hook?a=b" || got.ID() != "evt_1" ||
		got.Type() != "payment.created" ||
		string(got.Body) != `{"type":"payment.created"}` || got.At.IsZero() || got.Header.Get("Host") == "" {
		t.Errorf("%+v", got)
	}
}

func TestReceiverHangsUntilReleased(t *testing.T) {
	r := testkit.NewReceiver(t)
	r.Answers(testkit.Answer{Hang: true}, testkit.Answer{Delay: time.Hour, Status: 200})
	c := client(t, nil)
	for i, wantErr := range []bool{true, false} {
		failed := make(chan error, 1)
		go func() {
			_, _, err := post(t, c, r.URL, "{}")
			failed <- err
		}()
		r.WaitFor(t, func(got testkit.Received) bool { return got.Seq == i+1 }, 10*time.Second)
		r.Release()
		if err := <-failed; (err != nil) != wantErr {
			t.Fatalf("request %d: %v", i+1, err)
		}
	}
}

func TestReceiverGoesDownAndUp(t *testing.T) {
	r := testkit.NewTLSReceiver(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(r.CA()) {
		t.Fatal("no certificate in CA()")
	}
	c := client(t, &tls.Config{RootCAs: pool})
	if status, _, err := post(t, c, r.URL, "{}"); status != 204 || err != nil {
		t.Fatal(status, err)
	}
	c.CloseIdleConnections()
	r.Down()
	if _, _, err := post(t, c, r.URL, "{}"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	r.Up(t)
	if status, _, err := post(t, c, r.URL, "{}"); status != 204 || err != nil {
		t.Fatal(status, err)
	}
	if n := len(r.All()); n != 2 {
		t.Fatal(n)
	}
	if _, _, err := post(t, client(t, nil), r.URL, "{}"); err == nil {
		t.Fatal("trusted without the CA")
	}
}

func ExampleClock() {
	clock := testkit.NewClock(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	clock.Advance(90 * time.Second)
	fmt.Println(clock.Now().Format(time.RFC3339))
	clock.Set(time.Unix(0, 0))
	fmt.Println(clock.Now().Format(time.RFC3339))
	// Output:
	// 2026-11-01T12:01:30Z
	// 1970-01-01T00:00:00Z
}
