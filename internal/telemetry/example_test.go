package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

func ExampleNewLogger() {
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: noTime{}, Format: "text", Service: "worker"})
	if err != nil {
		panic(err)
	}
	log.Info("delivery.attempted", "class", "connect", "operator_token", "hunter2",
		"error", errors.New("dial https://user:hunter2@shop.example: refused"))
	// Output:
	// level=INFO msg=delivery.attempted service=worker class=connect operator_token=[redacted] error="dial https://[redacted]@shop.example: refused"
}

// noTime drops the time at the start of a text line.
type noTime struct{}

func (noTime) Write(line []byte) (int, error) {
	_, rest, _ := strings.Cut(string(line), " ")
	fmt.Print(rest)
	return len(line), nil
}

func ExampleMetrics_Attempt() {
	m := telemetry.NewMetrics()
	m.Attempt("delivered", 12*time.Millisecond)
	m.Attempt("timeout", 10*time.Second)

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "ctrip_webhook_attempts_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// ctrip_webhook_attempts_total{class="delivered"} 1
	// ctrip_webhook_attempts_total{class="timeout"} 1
}

func ExampleTraceparent() {
	ctx := telemetry.WithTraceparent(context.Background(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	fmt.Println(telemetry.Traceparent(ctx))
	fmt.Println(telemetry.TraceID(ctx))
	// Output:
	// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
	// 4bf92f3577b34da6a3ce929d0e0e4736
}

func ExampleTracing_Start() {
	tracing, err := telemetry.NewTracing(context.Background(), telemetry.TracingOptions{})
	if err != nil {
		panic(err)
	}
	ctx, span := tracing.Start(context.Background(), "delivery.attempt", slog.String("class", "delivered"))
	defer span.End(nil)
	fmt.Println(len(telemetry.Traceparent(ctx)), len(telemetry.TraceID(ctx)))
	// Output: 55 32
}

func ExampleScrub() {
	fmt.Println(telemetry.Scrub("401 for Bearer ck_live_abc at redis://:pw@cache:6379, whsec_c2VjcmV0"))
	// Output: 401 for Bearer [redacted] at redis://[redacted]@cache:6379, whsec_[redacted]
}
