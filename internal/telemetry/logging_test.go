package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestGuardRedacts(t *testing.T) {
	const planted = "hunter2Hunter2"
	attrs := []any{
		"secret", planted, "webhook_secret", planted, "operator-token", planted, "authorization", planted, "password", planted,
		"api_key", planted, "Set-Cookie", planted, "tokens", []string{planted}, "credentials", struct{ A string }{planted},
		"note", "whsec_" + planted + "==", "header", "Bearer " + planted, "basic", "Basic " + planted, "key", "ck_live_" + planted,
		"error", errors.New("dial https://user:" + planted + "@host/: refused"), "wrapped", fmt.Errorf("x: %w", errors.New("ck_test_"+planted)),
		"url", &url.URL{Scheme: "redis", User: url.UserPassword("u", planted), Host: "h"}, "list", []string{"ck_live_" + planted},
		"bytes", []byte("whsec_" + planted), "xpub", "xprv9s21ZrQH143K" + planted,
		"pem", "-----BEGIN EC PRIVATE KEY-----\n" + planted + "\n-----END EC PRIVATE KEY-----",
	}
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLogger(LogOptions{Writer: &out, Format: format, Level: "debug"})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("endpoint.created whsec_"+planted, attrs...)
		log.With(attrs...).WithGroup("request").Debug("again", append(attrs, slog.Group("deep", attrs...))...)
		if i := strings.Index(out.String(), planted); i >= 0 {
			t.Errorf("%s: %s", format, out.String()[max(0, i-60):i+len(planted)])
		}
		if strings.Count(out.String(), redacted) < 60 {
			t.Errorf("%s: lines are missing: %s", format, out.String())
		}
	}
}

func TestGuardKeepsWhatIsNoSecret(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Writer: &out, Service: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	var nilURL *url.URL
	zone := time.FixedZone("far", 5*3600)
	log.Info("payment.moved", "token_symbol", "USDC", "fencing_token", 7, "secret", "", "url", "https://shop.test/a@b",
		"at", time.Date(2026, 11, 23, 15, 0, 0, 0, zone), "took", 2*time.Second, "none", nil, "nil_url", nilURL,
		"password_set", true)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for key, want := range map[string]any{
		"token_symbol": "USDC", "fencing_token": 7.0, "secret": "", "url": "https://shop.test/a@b", "at": "2026-11-23T10:00:00Z",
		"took": 2e9, "none": nil, "nil_url": "*url.URL(?)", "password_set": true, "service": "worker", "msg": "payment.moved",
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
	if at, ok := line["time"].(string); !ok || !strings.HasSuffix(at, "Z") {
		t.Errorf("time %v is not UTC", line["time"])
	}
}

func TestLoggerOptions(t *testing.T) {
	for _, o := range []LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := NewLogger(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Writer: &out, Level: "warn", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if strings.Contains(out.String(), "quiet") || !strings.Contains(out.String(), "msg=loud") {
		t.Errorf("got %s", out.String())
	}
}

func TestLinesCarryTheTrace(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Writer: &out, Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	var tracing *Tracing
	ctx, _ := tracing.Start(context.Background(), "work")
	log.InfoContext(ctx, "inside")
	if want := "trace_id=" + TraceID(ctx); TraceID(ctx) == "" || !strings.Contains(out.String(), want) {
		t.Errorf("want %s in %s", want, out.String())
	}
	out.Reset()
	log.InfoContext(context.Background(), "outside")
	if strings.Contains(out.String(), "trace_id") {
		t.Errorf("got %s", out.String())
	}
}
